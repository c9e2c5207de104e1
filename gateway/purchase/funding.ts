/**
 * How much the treasury may put into channels, and when.
 *
 * Promise: no deposit leaves the limits per channel and per day, whatever devices ask for; an intended
 * deposit counts as spent until the chain says otherwise.
 */
import type { Ledger } from "./ports.ts";

export interface FundingLimits {
  /** Money of one deposit, atomic units. A seller's minimum raises it. */
  readonly depositAtomic: number;
  /** Most ever deposited into one channel, atomic units. */
  readonly perChannelAtomic: number;
  /** Most deposited into all channels within 24 hours, atomic units. */
  readonly perDayAtomic: number;
}

const DAY_SECONDS = 86_400;

/**
 * The size of the next deposit into a channel.
 * @returns atomic units; 0 when a limit forbids it
 */
export function nextDepositAtomic(
  limits: FundingLimits,
  ledger: Ledger,
  channelId: string,
  minDepositAtomic: number,
  nowSeconds: number,
): number {
  const amount = Math.max(limits.depositAtomic, minDepositAtomic);
  let inChannel = 0;
  for (const deposit of ledger.deposits(channelId)) inChannel += deposit.amountAtomic;
  if (inChannel + amount > limits.perChannelAtomic) return 0;
  if (ledger.depositedSince(nowSeconds - DAY_SECONDS) + amount > limits.perDayAtomic) return 0;
  return amount;
}

/** The smallest deposit a seller announces, atomic units; 0 when it announces none. */
export function minDepositOf(extra: Readonly<Record<string, unknown>>): number {
  const announced = extra.minDeposit;
  return typeof announced === "string" && /^[0-9]{1,15}$/.test(announced) ? Number(announced) : 0;
}
