// Deposits and approvals through Permit2, by the rules alone.

import type { Hex } from "viem";
import { expect, test } from "vitest";
import { channelFor } from "#gateway/purchase/channels";
import { approvalNeed } from "#gateway/purchase/permit2/approval-needed";
import { depositApproval } from "#gateway/purchase/permit2/deposit-permit";
import type { Permit2OnChain } from "#gateway/purchase/permit2/permit2-on-chain";
import type { ChannelRecord, DepositRecord } from "#gateway/purchase/ports";
import { fromHex } from "#payment/bytes";
import { recoverAddress } from "#payment/key";
import { tokenPermitDigest } from "#payment/permit2/approval";
import {
  type Bench,
  clientOf,
  deviceOf,
  NOW_SECONDS,
  newBench,
  newKey,
  QUANTUM,
  requirementsOf,
  TOKEN,
} from "./fixtures.ts";

const key = newKey();

async function channelBy(bench: Bench, method: "eip3009" | "permit2", scheme: "batch-settlement" | "exact") {
  const requirements = requirementsOf(scheme, QUANTUM);
  const extra = { ...requirements.extra, assetTransferMethod: method };
  const quote = { resource: "http://seller/energy", requirements: { ...requirements, extra } };
  const buyer = { device: deviceOf(key), client: clientOf(bench.seller), signsAhead: false, leaves: false };
  const found = await channelFor(bench.parts(), buyer, quote, NOW_SECONDS * 1000);
  await bench.ledger.saveChannel(found);
  return found;
}

/** A chain whose Permit2 answers so. */
function withPermit2(bench: Bench, permit2: Partial<Permit2OnChain>) {
  const approved: number[] = [];
  const approve = async (_token: string, amountAtomic: number) => void approved.push(amountAtomic);
  Object.assign(bench.chain.permit2, { approve, ...permit2 });
  return approved;
}

const depositOf = (channel: ChannelRecord): DepositRecord => ({
  channelId: channel.id,
  index: 0,
  amountAtomic: 1000,
  validBeforeSeconds: NOW_SECONDS + 600,
  signature: "0x",
  state: "intended",
  atSeconds: NOW_SECONDS,
  isNewcomer: false,
  token: TOKEN,
});

test("a channel's deposits go one way for its whole life, so no index of it is paid by both", async () => {
  for (const scheme of ["batch-settlement", "exact"] as const) {
    const bench = newBench();
    const byToken = await channelBy(bench, "eip3009", scheme);
    const byPermit2 = await channelBy(bench, "permit2", scheme);
    expect(byPermit2.id).not.toBe(byToken.id);
    expect((await channelBy(bench, "eip3009", scheme)).id).toBe(byToken.id);
    expect((await channelBy(bench, "permit2", scheme)).id).toBe(byPermit2.id);
  }
});

test("a treasury that has approved Permit2 adds nothing to a deposit; one that has not permits this deposit alone", async () => {
  const bench = newBench();
  const channel = await channelBy(bench, "permit2", "batch-settlement");
  const deposit = depositOf(channel);
  const approved = withPermit2(bench, { allowance: async () => 1000 });
  expect(await depositApproval(bench.parts(), channel, deposit)).toBeNull();

  withPermit2(bench, {
    allowance: async () => 999,
    approvalTerms: async (kind) => ({ kind, nonce: 3 }),
  });
  const extensions = await depositApproval(bench.parts(), channel, deposit);
  const { info } = extensions!.eip2612GasSponsoring as { info: Record<string, string> };
  const token = { chainId: 31_337, address: TOKEN, name: "USD Coin", version: "2" };
  const permit = {
    owner: bench.treasury.address,
    amountAtomic: 1000,
    nonce: 3,
    deadlineSeconds: NOW_SECONDS + 600,
  };
  expect(info.amount).toBe("1000");
  expect(recoverAddress(tokenPermitDigest(token, permit), fromHex(info.signature as Hex))).toBe(
    bench.treasury.address,
  );
  expect(approved).toEqual([]);
});

test("a treasury whose token takes no permits approves Permit2 itself, for a day's deposits and no more", async () => {
  const bench = newBench({ perDayAtomic: 5_000 });
  const channel = await channelBy(bench, "permit2", "batch-settlement");
  const approved = withPermit2(bench, { allowance: async () => 0, approvalTerms: async () => null });
  expect(await depositApproval(bench.parts(), channel, depositOf(channel))).toBeNull();
  expect(approved).toEqual([5_000]);
  const byToken = await channelBy(bench, "eip3009", "batch-settlement");
  expect(await depositApproval(bench.parts(), byToken, depositOf(byToken))).toBeNull();
  expect(approved).toEqual([5_000]);
});

test("a device is asked for an approval only where the chain lacks it and the seller brings it there", async () => {
  const bench = newBench();
  const channel = await channelBy(bench, "permit2", "exact");
  const both = { sponsored: ["eip2612", "erc20"] as const };
  withPermit2(bench, { allowance: async () => QUANTUM });
  expect(await approvalNeed(bench.chain, channel, both)).toEqual({
    allowanceAtomic: QUANTUM,
    approval: null,
  });

  withPermit2(bench, {
    allowance: async () => QUANTUM - 1,
    // A token without permits.
    approvalTerms: async (kind) => (kind === "erc20" ? { kind, nonce: 5, maxFeePerGas: 2 } : null),
  });
  const need = await approvalNeed(bench.chain, channel, both);
  expect(need.approval).toEqual({ kind: "erc20", nonce: 5, maxFeePerGas: 2 });
  expect((await approvalNeed(bench.chain, channel, {})).approval).toBeNull();
  const byToken = await channelBy(bench, "eip3009", "exact");
  expect(await approvalNeed(bench.chain, byToken, both)).toEqual({
    allowanceAtomic: Infinity,
    approval: null,
  });
});
