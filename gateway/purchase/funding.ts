/**
 * How much the treasury may put into channels, and when.
 *
 * Promise: no deposit leaves the limits per channel, device, day and fleet, whatever devices ask for; an
 * intended deposit counts as spent until the chain says otherwise. Devices that were never seen to buy share a budget
 * of their own, so that keys that are free to generate take nothing from devices that buy.
 */
import { type PaymentToken, tokenName } from "#protocol/payment-token";
import type { ChannelRecord, DepositRecord, DepositTotals, Ledger, Read } from "./ports.ts";

/** What the treasury may put into channels, in one token. */
export interface FundingLimits {
  /** Money of one deposit while a device's use is unknown, atomic units. A seller's minimum raises it. */
  readonly depositAtomic: number;
  /** Days of the device's own use that later deposits pay for; 0 keeps to `depositAtomic`. */
  readonly depositDays: number;
  /** Most ever deposited into one channel, atomic units. */
  readonly perChannelAtomic: number;
  /** Most deposited for one device within 24 hours, atomic units. */
  readonly perDevicePerDayAtomic: number;
  /** Most deposited into all channels within 24 hours, atomic units. */
  readonly perDayAtomic: number;
  /** Most ever deposited into all channels, atomic units. */
  readonly fleetAtomic: number;
  /** Most deposited within 24 hours for all devices that never bought and are not enrolled, atomic units. */
  readonly newcomersPerDayAtomic: number;
}

/** What the size of a deposit is decided on. */
export interface FundingParts {
  readonly ledger: Ledger;
  readonly limits: FundingLimits;
  /** Is a device on the allow-list, or approved? Then it is no newcomer. */
  readonly isEnrolled: (device: string) => Read<boolean>;
}

export const DAY_SECONDS = 86_400;

/** Use is known after a whole day: a lamp burns by night only. */
const KNOWN_USE_SECONDS = DAY_SECONDS;

/**
 * The size of the next deposit into a channel.
 * @returns atomic units; 0 when a limit forbids it
 */
export async function nextDepositAtomic(
  parts: FundingParts,
  channel: ChannelRecord,
  nowSeconds: number,
): Promise<number> {
  const { limits, ledger } = parts;
  const minimum = minDepositOf(channel.requirements.extra);
  const usual = Math.max(limits.depositAtomic, minimum);
  const sized = Math.max((await useAtomic(limits, ledger, channel, nowSeconds)) ?? usual, minimum);
  const newcomer = await isNewcomer(parts, channel.device);
  const totals = await ledger.depositTotals(channel, nowSeconds - DAY_SECONDS);
  // What the device uses may be more than a limit leaves room for; the usual size may still fit.
  for (const amount of [sized, Math.min(sized, usual)]) {
    if (isWithin(limits, totals, amount, newcomer)) return amount;
  }
  return 0;
}

/** A device that was never seen to buy and is not enrolled. */
export async function isNewcomer(
  { ledger, isEnrolled }: Pick<FundingParts, "isEnrolled"> & { readonly ledger: Pick<Ledger, "channelsOf"> },
  device: string,
): Promise<boolean> {
  if (await isEnrolled(device)) return false;
  return (await ledger.channelsOf(device)).every(({ charged }) => charged === 0);
}

/** May a deposit of this size follow the others? */
export function isWithin(
  limits: FundingLimits,
  totals: DepositTotals,
  amountAtomic: number,
  newcomer: boolean,
): boolean {
  const [spentToday, perDay] = newcomer
    ? [totals.newcomersDayAtomic, limits.newcomersPerDayAtomic]
    : [totals.fleetDayAtomic, limits.perDayAtomic];
  return (
    totals.channelAtomic + amountAtomic <= limits.perChannelAtomic &&
    totals.deviceDayAtomic + amountAtomic <= limits.perDevicePerDayAtomic &&
    spentToday + amountAtomic <= perDay &&
    totals.fleetAtomic + amountAtomic <= limits.fleetAtomic
  );
}

/** A deposit beside what is known of its channel. */
export interface CountedDeposit {
  readonly deposit: DepositRecord;
  readonly isOfChannel: boolean;
  readonly isOfDevice: boolean;
  /** Was anything ever charged to its device? */
  readonly hasBought: boolean;
}

/** The sums of deposits in one token, as every ledger counts them; one that names no token counts in each. */
export function totalsOf(
  counted: Iterable<CountedDeposit>,
  daySinceSeconds: number,
  token: PaymentToken,
): DepositTotals {
  const name = tokenName(token);
  const sums = {
    channelAtomic: 0,
    deviceDayAtomic: 0,
    fleetDayAtomic: 0,
    fleetAtomic: 0,
    newcomersDayAtomic: 0,
  };
  for (const { deposit, isOfChannel, isOfDevice, hasBought } of counted) {
    const isOther = deposit.token !== "" && deposit.token !== name;
    if (deposit.state === "expired" || isOther) continue;
    const { amountAtomic } = deposit;
    const isToday = deposit.atSeconds >= daySinceSeconds;
    if (isOfChannel) sums.channelAtomic += amountAtomic;
    if (isOfDevice && isToday) sums.deviceDayAtomic += amountAtomic;
    if (deposit.isNewcomer && !hasBought) {
      if (isToday) sums.newcomersDayAtomic += amountAtomic;
      continue;
    }
    sums.fleetAtomic += amountAtomic;
    if (isToday) sums.fleetDayAtomic += amountAtomic;
  }
  return sums;
}

/** What a channel used in `depositDays`, by its use so far; null while that is not known. */
async function useAtomic(
  limits: FundingLimits,
  ledger: Ledger,
  channel: ChannelRecord,
  nowSeconds: number,
): Promise<number | null> {
  if (limits.depositDays === 0) return null;
  const [first] = await ledger.paymentsAfter(channel.id, 0, 1);
  const seconds = first === undefined ? 0 : nowSeconds - first.atSeconds;
  if (first === undefined || seconds < KNOWN_USE_SECONDS) return null;
  const perSecond = (channel.charged - first.charged) / seconds;
  return Math.max(1, Math.ceil(perSecond * DAY_SECONDS * limits.depositDays));
}

/** The smallest deposit a seller announces, atomic units; 0 when it announces none. */
function minDepositOf(extra: Readonly<Record<string, unknown>>): number {
  const announced = extra.minDeposit;
  return typeof announced === "string" && /^[0-9]{1,15}$/.test(announced) ? Number(announced) : 0;
}
