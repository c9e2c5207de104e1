/**
 * One rung at a time: which voucher comes next, when to send it again, what an answer means.
 *
 * Promise: M1 (a rung is above all that was signed, or one of the same ladder, byte for byte) and one
 * purchase in flight. Counters only move up, so a lost, repeated or late answer changes nothing.
 */
import type { ChannelMark, Grant, Offer, Terms } from "./events.ts";

/** The channel a device buys on. */
export interface Channel {
  readonly id: string;
  readonly revision: number;
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
  readonly reserved: number;
  /** A grant was heard since power-up, so no rung of an earlier life is in flight. */
  readonly confirmed: boolean;
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
    revision: offer.revision,
    terms: offer.terms,
    quantumAtomic: mark === null ? offer.quantumAtomic : mark.quantumAtomic,
    quantumOfferedAtomic: offer.quantumAtomic,
    pricePerMillionUnits: offer.pricePerMillionUnits,
    balance: offer.balance,
    charged: offer.charged,
    granted: mark === null ? offer.granted : Math.max(mark.granted, offer.granted),
    signed,
    reserved: mark === null ? signed : mark.reserved,
    confirmed: mark === null,
  };
}

/** The same channel offered again: counters rise, price and quantum follow the newer revision. */
export function renewChannel(channel: Channel, offer: Offer): Channel {
  return {
    ...channel,
    revision: offer.revision,
    terms: offer.terms,
    quantumOfferedAtomic: offer.quantumAtomic,
    pricePerMillionUnits: offer.pricePerMillionUnits,
    balance: Math.max(channel.balance, offer.balance),
    charged: Math.max(channel.charged, offer.charged),
    granted: Math.max(channel.granted, offer.granted),
    signed: Math.max(channel.signed, offer.charged),
  };
}

/** The channel after an authentic answer. The caller has checked `charged` against the reserve. */
export function answerChannel(channel: Channel, grant: Grant): Channel {
  const granted = grant.refusal === null;
  return {
    ...channel,
    charged: Math.max(channel.charged, grant.charged),
    granted: Math.max(channel.granted, grant.granted),
    signed: Math.max(channel.signed, grant.charged),
    pricePerMillionUnits: granted ? grant.pricePerMillionUnits : channel.pricePerMillionUnits,
    confirmed: channel.confirmed || granted,
  };
}

/** Takes up an offered quantum, but never while a rung of the old ladder may still be in flight. */
export function settleQuantum(channel: Channel): Channel {
  const idle = channel.confirmed && channel.charged === channel.signed;
  if (!idle || channel.quantumAtomic === channel.quantumOfferedAtomic) return channel;
  return { ...channel, quantumAtomic: channel.quantumOfferedAtomic };
}

/**
 * The next rung's cumulative amount; null when the seller's counter is not on this ladder, which
 * would mean signing a new amount below one already signed.
 */
export function nextRung(channel: Channel): number | null {
  const rung = channel.charged + channel.quantumAtomic;
  const below = channel.signed - rung;
  return below <= 0 || below % channel.quantumAtomic === 0 ? rung : null;
}

/** The channel with a rung's signing reserved; the same object when the reserve already covers it. */
export function reserveRung(channel: Channel, rung: number): Channel {
  if (rung <= channel.reserved) return channel;
  const ahead = rung + (RESERVED_RUNGS - 1) * channel.quantumAtomic;
  return { ...channel, reserved: Math.max(rung, Math.min(ahead, channel.balance)) };
}

/** What a checkpoint keeps of a channel. */
export function markOf(channel: Channel): ChannelMark {
  return {
    id: channel.id,
    signed: channel.signed,
    reserved: channel.reserved,
    granted: channel.granted,
    quantumAtomic: channel.quantumAtomic,
  };
}

/** Monotonic time of the next attempt after `attempts` of them; jitter keeps a fleet from marching in step. */
export function nextAttemptMs(retry: Retry, attempts: number, nowMs: number, random: number): number {
  const full = Math.min(retry.maxMs, retry.firstMs * 2 ** Math.min(attempts - 1, 30));
  return nowMs + Math.ceil(full * (0.5 + random / 2));
}
