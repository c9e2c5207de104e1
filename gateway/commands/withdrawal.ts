/**
 * Getting a channel's unspent deposit back: from a seller that gives it, or by the payer's own right when the
 * seller is gone.
 *
 * Promise: what is under way is in the ledger before anything is sent, so no deposit follows it; a run that
 * was cut off anywhere is taken up by the next one, which finds on chain what became of it; what the device
 * was charged stays for the seller.
 */
import type { ChannelConfig, OfferedRequirements } from "#protocol/messages";
import type { PaymentPayload } from "#protocol/x402";
import type { LedgerStore, WithdrawalRecord } from "../ledger/store.ts";
import type { ChannelRecord, WallClock } from "../purchase/ports.ts";
import type { Escrow } from "../treasury/escrow.ts";

export interface WithdrawalParts {
  readonly ledger: LedgerStore;
  readonly escrow: Escrow;
  readonly now: WallClock;
}

/** A channel of batch-settlement; an exact account has no escrow. */
export type EscrowedChannel = ChannelRecord & { readonly config: ChannelConfig };

export type Withdrawn =
  | { readonly kind: "finalized"; readonly amountAtomic: number; readonly transaction: string }
  /** The chain's delay runs: nothing can be done before `readyAtSeconds`, Unix time of the chain. */
  | { readonly kind: "waiting"; readonly amountAtomic: number; readonly readyAtSeconds: number }
  | { readonly kind: "nothing"; readonly reason: string };

/** Asks a seller for its signature under a refund; resolves with its refusal, or null when it agreed. */
type AskRefund = (payload: PaymentPayload) => Promise<string | null>;

export function isEscrowed(channel: ChannelRecord): channel is EscrowedChannel {
  return channel.config !== null;
}

/** The payer's timed withdrawal: begins it, or ends it once the delay is over. Run it again until it is final. */
export async function withdraw(parts: WithdrawalParts, channel: EscrowedChannel): Promise<Withdrawn> {
  const { ledger, escrow } = parts;
  const onChain = await escrow.channel(channel.id);
  const open = await openWithdrawal(ledger, channel.id);
  if (onChain.withdrawal !== null) {
    const row = open ?? (await begin(parts, channel, "withdraw", onChain.withdrawal.amountAtomic));
    const readyAtSeconds = onChain.withdrawal.initiatedAtSeconds + channel.config.withdrawDelay;
    if ((await escrow.nowSeconds()) < readyAtSeconds) {
      return { kind: "waiting", amountAtomic: row.amountAtomic, readyAtSeconds };
    }
    const { transaction, amountAtomic } = await escrow.finalizeWithdraw(channel.config);
    return finish(parts, row, amountAtomic, transaction);
  }
  if (open !== null) {
    const movedAtomic = (await heldAtomic(ledger, channel.id)) - onChain.balance;
    if (movedAtomic > 0) return finish(parts, open, movedAtomic, open.transaction);
  }
  const amountAtomic = onChain.balance - Math.max(channel.charged, onChain.totalClaimed);
  if (amountAtomic <= 0) {
    if (open !== null) await finish(parts, open, 0, open.transaction);
    return { kind: "nothing", reason: `balance ${onChain.balance}, charged ${channel.charged}` };
  }
  const row = open ?? (await begin(parts, channel, "withdraw", amountAtomic));
  const { transaction } = await escrow.initiateWithdraw(channel.config, amountAtomic);
  await ledger.saveWithdrawal({ ...row, kind: "withdraw", amountAtomic, transaction });
  const readyAtSeconds = (await escrow.nowSeconds()) + channel.config.withdrawDelay;
  return { kind: "waiting", amountAtomic, readyAtSeconds };
}

/** The seller's cooperative refund: all that was not charged comes back at once, if the seller agrees. */
export async function refund(
  parts: WithdrawalParts,
  channel: EscrowedChannel,
  ask: AskRefund,
): Promise<Withdrawn> {
  const { ledger, escrow } = parts;
  const voucher = await ledger.payment(channel.id, channel.charged);
  if (voucher === null) {
    return { kind: "nothing", reason: `the ledger has no voucher over exactly ${channel.charged}` };
  }
  const before = await escrow.channel(channel.id);
  const open = await openWithdrawal(ledger, channel.id);
  if (before.withdrawal !== null || open?.kind === "withdraw") {
    return { kind: "nothing", reason: "a withdrawal is under way; end it by withdraw" };
  }
  const movedAtomic = (await heldAtomic(ledger, channel.id)) - before.balance;
  if (open !== null && movedAtomic > 0) return finish(parts, open, movedAtomic, "");
  const amountAtomic = before.balance - channel.charged;
  if (amountAtomic <= 0) {
    if (open !== null) await finish(parts, open, 0, "");
    return { kind: "nothing", reason: `balance ${before.balance}, charged ${channel.charged}` };
  }
  const row = open ?? (await begin(parts, channel, "refund", amountAtomic));
  const refusal = await ask(refundPayload(channel, voucher.signature));
  const after = await escrow.channel(channel.id);
  if (after.balance < before.balance) return finish(parts, row, before.balance - after.balance, "");
  // Answered or not, nothing moved: an answer still on its way is found by the next run, or by reconcile.
  await finish(parts, row, 0, "");
  return { kind: "nothing", reason: refusal ?? "the seller agreed and nothing moved" };
}

/** x402 batch-settlement: a voucher over what was charged already, for all that is left. */
function refundPayload(channel: EscrowedChannel, signature: string): PaymentPayload {
  const voucher = { channelId: channel.id, maxClaimableAmount: String(channel.charged), signature };
  const accepted: OfferedRequirements = channel.requirements;
  return {
    x402Version: 2,
    resource: { url: channel.resource },
    accepted: accepted as PaymentPayload["accepted"],
    payload: { type: "refund", channelConfig: channel.config, voucher },
  };
}

async function begin(
  { ledger, now }: WithdrawalParts,
  channel: EscrowedChannel,
  kind: WithdrawalRecord["kind"],
  amountAtomic: number,
): Promise<WithdrawalRecord> {
  const { length } = await ledger.withdrawals(channel.id);
  const atSeconds = Math.floor(now());
  const common = { channelId: channel.id, index: length, kind, amountAtomic, atSeconds };
  const row: WithdrawalRecord = { ...common, state: "initiated", transaction: "" };
  await ledger.saveWithdrawal(row);
  return row;
}

async function finish(
  { ledger }: WithdrawalParts,
  row: WithdrawalRecord,
  amountAtomic: number,
  transaction: string,
): Promise<Withdrawn> {
  await ledger.saveWithdrawal({ ...row, amountAtomic, transaction, state: "finalized" });
  return { kind: "finalized", amountAtomic, transaction };
}

async function openWithdrawal(ledger: LedgerStore, channelId: string): Promise<WithdrawalRecord | null> {
  return (await ledger.withdrawals(channelId)).find(({ state }) => state === "initiated") ?? null;
}

/** What the chain should hold if nothing is under way, atomic units. */
async function heldAtomic(ledger: LedgerStore, channelId: string): Promise<number> {
  let sum = 0;
  for (const { state, amountAtomic } of await ledger.deposits(channelId)) {
    if (state === "confirmed") sum += amountAtomic;
  }
  for (const { state, amountAtomic } of await ledger.withdrawals(channelId)) {
    if (state === "finalized") sum -= amountAtomic;
  }
  return sum;
}
