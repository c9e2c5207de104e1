/**
 * The gateway's ledger on simulated tables.
 *
 * Promise: as the SQLite ledger: a payment is keyed by its money and stays as it was first recorded, a
 * channel's counters only rise, its balance is the sum of its confirmed deposits.
 */
import { type CountedDeposit, totalsOf } from "#gateway/purchase/funding";
import type {
  ChannelKey,
  ChannelRecord,
  DepositRecord,
  DepositTotals,
  DeviceRecord,
  Ledger,
  OverdueDeposit,
  PaymentRecord,
} from "#gateway/purchase/ports";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { Tables } from "../engine/tables.ts";

/** @param touched called for every write asked for */
export function ledgerOn(tables: Tables, life: ProcessLifetime, touched: () => void): Ledger {
  const commit = (work: () => void): Promise<void> => {
    touched();
    return tables.commit(life, work);
  };
  const depositsOf = (channelId: string) => tables.get<readonly DepositRecord[]>("deposits", channelId) ?? [];

  function putChannel(record: ChannelRecord): void {
    const known = tables.get<ChannelRecord>("channel", record.id);
    const raised = {
      ...record,
      promised: Math.max(record.promised, known?.promised ?? 0),
      charged: Math.max(record.charged, known?.charged ?? 0),
      granted: Math.max(record.granted, known?.granted ?? 0),
      revision: Math.max(record.revision, known?.revision ?? 0),
    };
    tables.put("channel", record.id, raised);
    const ids = tables.get<readonly string[]>("channels", record.device) ?? [];
    if (!ids.includes(record.id)) tables.put("channels", record.device, [...ids, record.id]);
  }

  function balanceOf(channelId: string): number {
    let balance = 0;
    for (const { state, amountAtomic } of depositsOf(channelId)) {
      if (state === "confirmed") balance += amountAtomic;
    }
    return balance;
  }

  function depositTotals({ id, device }: ChannelKey, daySinceSeconds: number): DepositTotals {
    const ofDevice = tables.get<readonly string[]>("channels", device) ?? [];
    function* counted(): Generator<CountedDeposit> {
      for (const deposits of tables.rows<readonly DepositRecord[]>("deposits")) {
        for (const deposit of deposits) {
          const isOfChannel = deposit.channelId === id;
          const isOfDevice = isOfChannel || ofDevice.includes(deposit.channelId);
          yield { deposit, isOfChannel, isOfDevice, hasBought: hasBought(deposit.channelId) };
        }
      }
    }
    return totalsOf(counted(), daySinceSeconds);
  }

  function hasBought(channelId: string): boolean {
    const device = tables.get<ChannelRecord>("channel", channelId)?.device ?? "";
    const ids = tables.get<readonly string[]>("channels", device) ?? [];
    return ids.some((id) => tables.get<ChannelRecord>("channel", id)!.charged > 0);
  }

  function overdueDeposits(nowSeconds: number, limit: number): OverdueDeposit[] {
    const overdue: OverdueDeposit[] = [];
    for (const deposits of tables.rows<readonly DepositRecord[]>("deposits")) {
      for (const deposit of deposits) {
        if (deposit.state !== "intended" || deposit.validBeforeSeconds > nowSeconds) continue;
        const { id, device, requirements } = tables.get<ChannelRecord>("channel", deposit.channelId)!;
        overdue.push({ deposit, channel: { id, device }, token: requirements.asset });
      }
    }
    overdue.sort((left, right) => left.deposit.validBeforeSeconds - right.deposit.validBeforeSeconds);
    return overdue.slice(0, limit);
  }

  function putDeposit(record: DepositRecord): void {
    const others = depositsOf(record.channelId).filter(({ index }) => index !== record.index);
    const deposits = [...others, record].sort((left, right) => left.index - right.index);
    tables.put("deposits", record.channelId, deposits);
  }

  return {
    device: (device) => tables.get<DeviceRecord>("device", device) ?? null,
    saveDevice: (record) => commit(() => tables.put("device", record.device, record)),
    channelsOf: (device) =>
      (tables.get<readonly string[]>("channels", device) ?? []).map((id) => ({
        ...tables.get<ChannelRecord>("channel", id)!,
        balance: balanceOf(id),
      })),
    saveChannel: (record) => commit(() => putChannel(record)),
    payment: (channelId, maxClaimable) =>
      tables.get<PaymentRecord>("payment", paymentKey(channelId, maxClaimable)) ?? null,
    paymentsAfter(channelId, charged, limit) {
      const after: PaymentRecord[] = [];
      for (const payment of tables.rows<PaymentRecord>("payment")) {
        if (payment.channelId === channelId && payment.maxClaimable > charged) after.push(payment);
      }
      return after.sort((left, right) => left.maxClaimable - right.maxClaimable).slice(0, limit);
    },
    recordPayment: (payment, channel) =>
      commit(() => {
        const key = paymentKey(payment.channelId, payment.maxClaimable);
        if (tables.get("payment", key) === undefined) tables.put("payment", key, payment);
        putChannel(channel);
      }),
    deposits: depositsOf,
    balanceOf,
    depositTotals,
    overdueDeposits,
    async intendDeposit(channel, index, daySinceSeconds, decide) {
      touched();
      return tables.commit(life, () => {
        const known = depositsOf(channel.id).find((deposit) => deposit.index === index) ?? null;
        const decided = decide(known, depositTotals(channel, daySinceSeconds));
        if (decided !== null && decided !== known) putDeposit(decided);
        return decided;
      });
    },
    saveDeposit: (record) => commit(() => putDeposit(record)),
  };
}

export function paymentKey(channelId: string, maxClaimable: number): string {
  return `${channelId} ${maxClaimable}`;
}
