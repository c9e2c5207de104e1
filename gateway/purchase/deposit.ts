/**
 * One deposit: intended in the ledger, signed by the treasury, carried by the device's next payment, or
 * for exact sent to the device's wallet.
 *
 * Promise: the intent is stored before the signature leaves, and its index is the nonce; so a crash at
 * any point ends in the same deposit sent again, which the token admits once.
 */

import {
  type Authorization,
  depositNonce,
  receiveDigest,
  type Token,
  transferDigest,
} from "#payment/authorization";
import { fromHex, toHex } from "#payment/bytes";
import { DEPOSIT_COLLECTOR_ADDRESS } from "#payment/channel";
import { chainIdOf } from "#payment/eip712";
import { permitDigest } from "#payment/permit2/permit";
import { Watt402Error } from "#payment/watt402-error";
import type { OfferedRequirements } from "#protocol/messages";
import { type PaymentToken, tokenName } from "#protocol/payment-token";
import {
  DAY_SECONDS,
  type FundingLimits,
  type FundingParts,
  isNewcomer,
  isWithin,
  nextDepositAtomic,
} from "./funding.ts";
import { depositMethodOf } from "./permit2/deposit-permit.ts";
import type {
  Chain,
  ChannelKey,
  ChannelRecord,
  DepositRecord,
  Ledger,
  Timing,
  Treasury,
  WallClock,
} from "./ports.ts";

/** What paying in one token needs. */
export interface TokenParts {
  readonly chain: Chain;
  readonly limits: FundingLimits;
}

/** What the configuration says of a token; null when it does not name it. */
export type FindToken = (token: PaymentToken) => TokenParts | null;

/** Chain and limits are those of the channel's token. */
export interface DepositParts extends FundingParts, TokenParts {
  readonly treasury: Treasury;
  readonly timing: Timing;
  readonly now: WallClock;
}

/** Life of a deposit's authorization, seconds: longer than an outage that a payment waits out. */
const DEPOSIT_LIFE_SECONDS = 3600;

/** Signed anew when less than this is left of it, seconds. */
const DEPOSIT_MARGIN_SECONDS = 60;

/** Overdue deposits that are looked up on the chain at once. */
const OVERDUE_AT_ONCE = 64;

/** The deposit that is under way into a channel, if any. */
export async function openDeposit(ledger: Ledger, channelId: string): Promise<DepositRecord | null> {
  return (await ledger.deposits(channelId)).find((deposit) => deposit.state === "intended") ?? null;
}

/**
 * Stores what the treasury signed, before anyone sees it: the deposit under way, or a new one of this size.
 * @param channel its `balance` is what the new one was reckoned with
 * @param amountAtomic size of a new one, at least 1
 * @returns the deposit in force; null when the limits leave no room for it any more, or the balance is another
 */
export async function intendDeposit(
  parts: DepositParts,
  channel: ChannelRecord,
  amountAtomic: number,
): Promise<DepositRecord | null> {
  const known = await parts.ledger.deposits(channel.id);
  const open = known.find((deposit) => deposit.state === "intended");
  const now = Math.floor(parts.now());
  if (open && open.validBeforeSeconds - now > DEPOSIT_MARGIN_SECONDS) return open;
  // Reckoned without a deposit that arrived meanwhile, by another gateway's hand: it needs no second one.
  // Read after those it is the sum of, so none of them can be missed.
  if (!open && (await parts.ledger.balanceOf(channel.id)) !== channel.balance) return null;

  const index = open ? open.index : known.length;
  const amount = open ? open.amountAtomic : amountAtomic;
  const validBeforeSeconds = now + DEPOSIT_LIFE_SECONDS;
  const digest = digestOf(parts, channel, index, amount, validBeforeSeconds);
  const record: DepositRecord = {
    channelId: channel.id,
    index,
    amountAtomic: amount,
    validBeforeSeconds,
    signature: toHex(await parts.treasury.sign(digest)),
    state: "intended",
    atSeconds: open ? open.atSeconds : now,
    isNewcomer: open ? open.isNewcomer : await isNewcomer(parts, channel.device),
    token: tokenName(channel.requirements),
  };
  return parts.ledger.intendDeposit(channel, index, now - DAY_SECONDS, (there, totals) => {
    // Another gateway may have been first.
    if (there !== null && there.state !== "intended") return null;
    if (there && there.validBeforeSeconds - now > DEPOSIT_MARGIN_SECONDS) return there;
    // The same index moves its money once: signed again, it adds nothing to the sums.
    return there || isWithin(parts.limits, totals, amount, record.isNewcomer) ? record : null;
  });
}

/**
 * The size of the deposit under way into a channel, or of the next one; 0 when the limits allow none, even without
 * those whose authorization has ended.
 */
export async function depositSize(parts: DepositParts, channel: ChannelRecord): Promise<number> {
  const open = await openDeposit(parts.ledger, channel.id);
  if (open !== null) return open.amountAtomic;
  const amount = await nextDepositAtomic(parts, channel, parts.now());
  if (amount > 0 || (await closeOverdue(parts, channel)) === 0) return amount;
  return nextDepositAtomic(parts, channel, parts.now());
}

/**
 * Learns from the chain what became of intended deposits in a channel's token whose authorization has ended: one that
 * was never used can be used no more, and its money is free again.
 * @returns how many are under way no more; what the chain cannot be asked about stays
 */
async function closeOverdue(parts: DepositParts, { requirements }: ChannelKey): Promise<number> {
  const now = Math.floor(parts.now());
  const overdue = await parts.ledger.overdueDeposits(requirements, now, OVERDUE_AT_ONCE);
  let closed = 0;
  try {
    // Read before the nonces: one that is unused after this moment stays so.
    const chainSeconds = overdue.length === 0 ? 0 : await parts.chain.timeSeconds();
    for (const { deposit, channel } of overdue) {
      if (deposit.validBeforeSeconds > chainSeconds) continue;
      const nonce = depositNonce(channel.id, deposit.index);
      const isUsed = await isNonceUsed(parts, channel.requirements, nonce);
      const ended = await parts.ledger.intendDeposit(channel, deposit.index, now - DAY_SECONDS, (there) => {
        // Another payment may have had it signed anew meanwhile.
        const isSame = there?.state === "intended" && there.signature === deposit.signature;
        return isSame ? { ...there, state: isUsed ? "confirmed" : "expired" } : null;
      });
      if (ended !== null) closed += 1;
    }
  } catch {
    // The chain does not answer: what it does not say stays reserved.
  }
  return closed;
}

/** Marks a deposit as arrived; the channel's balance is the sum of these. */
export async function confirmDeposit(
  parts: DepositParts,
  channel: ChannelRecord,
  deposit: DepositRecord,
): Promise<ChannelRecord> {
  await parts.ledger.saveDeposit({ ...deposit, state: "confirmed" });
  parts.timing.deposited(channel.requirements, deposit.amountAtomic);
  const balance = channel.balance + deposit.amountAtomic;
  return { ...channel, balance, promised: Math.max(channel.promised, balance) };
}

/** Asks the chain whether a deposit whose answer was lost arrived after all; null while it does not answer. */
export async function hasArrived(
  parts: DepositParts,
  channel: ChannelRecord,
  deposit: DepositRecord,
): Promise<boolean | null> {
  const nonce = depositNonce(channel.id, deposit.index);
  try {
    return await isNonceUsed(parts, channel.requirements, nonce);
  } catch {
    return null;
  }
}

/** Sends an intended deposit to a device's own wallet (exact), unless it arrived before. Rejects when the chain fails. */
export async function fundWallet(
  parts: DepositParts,
  channel: ChannelRecord,
  deposit: DepositRecord,
): Promise<ChannelRecord> {
  const arrived = await hasArrived(parts, channel, deposit);
  if (arrived === null)
    throw new Watt402Error("unreachable", "the chain does not answer whether a deposit arrived");
  if (!arrived) {
    const { index, amountAtomic, validBeforeSeconds } = deposit;
    const authorization = authorizationOf(parts, channel, index, amountAtomic, validBeforeSeconds);
    await parts.chain.submitTransfer(channel.requirements.asset, authorization, fromHex(deposit.signature));
  }
  return confirmDeposit(parts, channel, deposit);
}

/** What the treasury signs: a deposit by the channel's own method, or a transfer to a device's wallet. */
function digestOf(
  parts: DepositParts,
  channel: ChannelRecord,
  index: number,
  amountAtomic: number,
  validBeforeSeconds: number,
): Uint8Array {
  const token = tokenOf(channel);
  if (depositMethodOf(channel.requirements) === "permit2") {
    return permitDigest({
      chainId: token.chainId,
      token: token.address,
      amountAtomic,
      nonce: depositNonce(channel.id, index),
      deadlineSeconds: validBeforeSeconds,
      witness: { kind: "deposit", channelId: channel.id },
    });
  }
  const authorization = authorizationOf(parts, channel, index, amountAtomic, validBeforeSeconds);
  return channel.config ? receiveDigest(token, authorization) : transferDigest(token, authorization);
}

async function isNonceUsed(
  { chain, treasury }: DepositParts,
  requirements: OfferedRequirements,
  nonce: string,
): Promise<boolean> {
  return depositMethodOf(requirements) === "permit2"
    ? chain.permit2.isUsed(treasury.address, nonce)
    : chain.authorizationUsed(requirements.asset, treasury.address, nonce);
}

function authorizationOf(
  parts: DepositParts,
  channel: ChannelRecord,
  index: number,
  value: number,
  validBeforeSeconds: number,
): Authorization {
  return {
    from: parts.treasury.address,
    to: channel.config ? DEPOSIT_COLLECTOR_ADDRESS : `0x${channel.device}`,
    value,
    validBeforeSeconds,
    nonce: depositNonce(channel.id, index),
  };
}

function tokenOf({ requirements }: ChannelRecord): Token {
  return {
    chainId: chainIdOf(requirements.network),
    address: requirements.asset,
    name: String(requirements.extra.name),
    version: String(requirements.extra.version),
  };
}
