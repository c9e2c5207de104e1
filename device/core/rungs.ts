/**
 * One rung at a time: which voucher comes next, when to send it again, what an answer means.
 *
 * Promise: M1 (a rung is above all that was signed, or one of the same ladder, byte for byte) and one
 * purchase in flight, which any rise of `charged` answers, whether the rung was charged whole or in part. Counters
 * only move up, so a lost, repeated or late answer changes nothing.
 */
import type { ChannelMark, Grant, Offer, Terms } from "./events.ts";
import type { DeviceRefusal } from "./refusal.ts";

/** The channel a device buys on. */
export interface Channel {
  readonly id: string;
  readonly terms: Terms;
  /** Money of a rung on the present ladder. */
  readonly quantumAtomic: number;
  /** Money of a rung that the latest offer asks for; taken up between two purchases. */
  readonly quantumOfferedAtomic: number;
  readonly pricePerMillionUnits: number;
  readonly balance: number;
  readonly charged: number;
  readonly granted: number;
  readonly signed: number;
  /** Highest rung that may have been signed: `signed`, or after a power cut all that was reserved. On the ladder. */
  readonly maybeSigned: number;
  readonly reserved: number;
  /** False until the first charge of a rung signed now, on a channel this device knew nothing of when it was offered. */
  readonly remembered: boolean;
}

export interface Pending {
  readonly maxClaimable: number;
  readonly attempts: number;
  readonly nextMs: number;
}

/** Bounded exponential back-off with full jitter above one half. */
export interface Retry {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Rungs that one checkpoint covers. After a power cut the device accepts any `charged` up to the
 * reserve and nothing above, so it needs one write per 16 payments instead of one per payment.
 */
export const RESERVED_RUNGS = 16;

/** First four bytes of a channel id as a number. */
export function channelTagOf(channelId: string): number {
  return parseInt(channelId.slice(2, 10), 16);
}

/** The channel of an offer: known from a checkpoint, or new to this device. */
export function openChannel(offer: Offer, mark: ChannelMark | null): Channel {
  const signed = mark === null ? offer.charged : Math.max(mark.signed, offer.charged);
  return {
    id: offer.channelId,
    terms: offer.terms,
    quantumAtomic: mark === null ? offer.quantumAtomic : mark.quantumAtomic,
    quantumOfferedAtomic: offer.quantumAtomic,
    pricePerMillionUnits: offer.pricePerMillionUnits,
    balance: offer.balance,
    charged: mark === null ? offer.charged : Math.max(mark.charged, offer.charged),
    granted: mark === null ? offer.granted : Math.max(mark.granted, offer.granted),
    signed,
    maybeSigned: mark === null ? signed : mark.reserved,
    reserved: mark === null ? signed : mark.reserved,
    remembered: mark !== null,
  };
}

/** The same channel offered again: counters rise, price and quantum follow the newer revision. */
export function renewChannel(channel: Channel, offer: Offer): Channel {
  return {
    ...channel,
    terms: offer.terms,
    quantumOfferedAtomic: offer.quantumAtomic,
    pricePerMillionUnits: offer.pricePerMillionUnits,
    balance: Math.max(channel.balance, offer.balance),
    charged: Math.max(channel.charged, offer.charged),
    granted: Math.max(channel.granted, offer.granted),
    signed: Math.max(channel.signed, offer.charged),
    maybeSigned: Math.max(channel.maybeSigned, offer.charged),
    reserved: Math.max(channel.reserved, offer.charged),
  };
}

/**
 * Why a seller's counter cannot be: nothing above what was signed can have been charged, and on a ladder signed ahead
 * only whole rungs of it lead on. What is not above the counters known needs no check, it changes nothing.
 * @param onDemand vouchers are signed when they are needed: any part of one may have been charged
 */
export function refuseCharged(mark: ChannelMark, charged: number, onDemand: boolean): DeviceRefusal | null {
  if (charged <= mark.charged) return null;
  if (charged > mark.reserved) return "charged-above-signed";
  return onDemand || (mark.reserved - charged) % mark.quantumAtomic === 0 ? null : "counter-off-ladder";
}

/** The channel after an authentic answer. The caller has checked `charged`. */
export function answerChannel(channel: Channel, grant: Grant): Channel {
  // The price of an echo is an old one; 0 is no price.
  const news = grant.refusal === null && grant.charged > channel.charged && grant.pricePerMillionUnits > 0;
  return {
    ...channel,
    charged: Math.max(channel.charged, grant.charged),
    granted: Math.max(channel.granted, grant.granted),
    signed: Math.max(channel.signed, grant.charged),
    pricePerMillionUnits: news ? grant.pricePerMillionUnits : channel.pricePerMillionUnits,
    // Charged is what this life signed: nothing that an earlier one signed can be above it.
    remembered: news || channel.remembered,
  };
}

/**
 * Takes up an offered quantum between two purchases. On a ladder that is when all that may be signed was charged. Of
 * one that was charged in part that never is; there the next voucher has to be above all that was signed, so that no
 * amount of a channel is ever signed on two counters. The reserve beyond what was signed goes with the old quantum, so
 * the next rung is stored together with its quantum.
 */
export function settleQuantum(channel: Channel, onDemand: boolean): Channel {
  const { charged, maybeSigned, quantumOfferedAtomic } = channel;
  const isFree =
    charged >= maybeSigned ||
    (onDemand && channel.signed === maybeSigned && charged + quantumOfferedAtomic > maybeSigned);
  if (!isFree || channel.quantumAtomic === quantumOfferedAtomic) return channel;
  return { ...channel, quantumAtomic: quantumOfferedAtomic, reserved: Math.max(charged, maybeSigned) };
}

/** The next rung's cumulative amount: a stock seller takes exactly what it has charged and one quantum more. */
export function nextRung(channel: Channel): number {
  return channel.charged + channel.quantumAtomic;
}

/** The channel with a rung's signing reserved; the same object when the reserve already covers it. */
export function reserveRung(channel: Channel, rung: number): Channel {
  if (rung <= channel.reserved) return channel;
  // By upto all that was signed counts for the day, so no more is reserved than is signed.
  if (channel.terms.scheme === "upto") return { ...channel, reserved: rung };
  // Whole rungs only: what a power cut leaves of the ladder is known from its top.
  const rungsFunded = Math.floor((channel.balance - rung) / channel.quantumAtomic);
  const ahead = Math.max(0, Math.min(RESERVED_RUNGS - 1, rungsFunded));
  return { ...channel, reserved: rung + ahead * channel.quantumAtomic };
}

/** What a checkpoint keeps of a channel. */
export function markOf(channel: Channel): ChannelMark {
  return {
    id: channel.id,
    charged: channel.charged,
    signed: channel.signed,
    reserved: channel.reserved,
    granted: channel.granted,
    quantumAtomic: channel.quantumAtomic,
  };
}

/** The same of a channel left behind: nothing more will be signed on it, so the reserve ends where the signing did. */
export function closedMarkOf(channel: Channel): ChannelMark {
  return { ...markOf(channel), reserved: channel.maybeSigned };
}

/** Monotonic time of the next attempt after `attempts` of them; jitter keeps a fleet from marching in step. */
export function nextAttemptMs(retry: Retry, attempts: number, nowMs: number, random: number): number {
  const full = Math.min(retry.maxMs, retry.firstMs * 2 ** Math.min(attempts - 1, 30));
  return nowMs + Math.ceil(full * (0.5 + random / 2));
}
