/** What either database has to do with what sellers have signed. */
import { expect } from "vitest";
import type { LedgerStore } from "#gateway/ledger/store";
import type { ChannelRecord, PaymentRecord } from "#gateway/purchase/ports";

/** @param payment one that is on the channel */
export async function expectDocuments(
  ledger: LedgerStore,
  channel: ChannelRecord,
  payment: PaymentRecord,
): Promise<void> {
  const resource = `https://power.example/v1/energy?quantum=100&terms=0x${"ab".repeat(32)}`;
  const due = { channelId: channel.id, device: channel.device, seller: channel.seller };
  await ledger.saveChannel({ ...channel, resource });
  await ledger.recordPayment(payment, { ...channel, resource });
  // Payments come into the tables a moment after they are durable.
  await expect
    .poll(() => ledger.receiptsDue(10))
    .toEqual([{ ...due, payTo: channel.requirements.payTo, register: payment.register }]);
  const once = { isCountersigned: false };
  const receipt = {
    ...{ kind: "receipt" as const, channelId: channel.id, name: `${channel.id} 1`, charged: 1 },
    ...once,
  };
  await ledger.saveDocument({ ...receipt, text: "[1]" });
  await ledger.saveDocument({ ...receipt, text: "[2]" });
  await ledger.saveDocument({ kind: "terms", channelId: "", name: "0x12", charged: 0, ...once, text: "[3]" });
  expect([await ledger.receiptsOf(channel.device), await ledger.terms()]).toEqual([["[1]"], ["[3]"]]);
  expect(await ledger.receiptsOf("00".repeat(20))).toEqual([]);
  expect(await ledger.receiptsDue(10)).toHaveLength(1);
  expect([await ledger.document("receipt", receipt.name), await ledger.document("terms", "0x13")]).toEqual([
    "[1]",
    null,
  ]);
  // The device's signature comes later, and stays.
  await ledger.saveDocument({ ...receipt, isCountersigned: true, text: "[1, 2]" });
  await ledger.saveDocument({ ...receipt, text: "[1]" });
  expect(await ledger.receiptsOf(channel.device)).toEqual(["[1, 2]"]);
  await ledger.saveDocument({ ...receipt, name: "all of it", charged: channel.charged, text: "[4]" });
  expect(await ledger.receiptsDue(10)).toEqual([]);
}
