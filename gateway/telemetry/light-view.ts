/**
 * One light as an operator sees it: what it last said, what it paid, and how long its deposit lasts.
 *
 * Promise: bounded memory per light, counters that never fall, and a rate of spending measured over one
 * to two days, so that a night and a day both count.
 */
import { isSameToken, type PaymentToken } from "#protocol/payment-token";
import type { ChannelRecord, Tariff } from "../purchase/ports.ts";
import type { Location } from "./locations.ts";
import type { LightStatus } from "./shapes.ts";

export interface Light extends LightStatus {
  /** Position among the fleet's lights; it never changes. */
  readonly index: number;
  readonly device: string;
  /** Of the fleet's tokens, what it pays in; the first before its first offer. */
  tokenIndex: number;
  readonly location: Location | null;
  /** Of the fleet's changes, the one before it took the position of a light that left; 0 for the first there. */
  readonly bornRevision: number;
  /** Of the fleet's changes, the last that touched this light. */
  revision: number;
  /** Spending at two moments, at most two spans ago. */
  before: Mark;
  since: Mark;
}

interface Mark {
  readonly atSeconds: number;
  readonly spentAtomic: number;
}

/** Spending is averaged over one to two of these. */
const SPAN_SECONDS = 86_400;

/** Nothing is said of a rate that was watched for less. */
const RATE_MIN_SECONDS = 60;

export function newLight(
  index: number,
  device: string,
  location: Location | null,
  nowSeconds: number,
  bornRevision = 0,
): Light {
  const mark = { atSeconds: nowSeconds, spentAtomic: 0 };
  return {
    index,
    device,
    location,
    bornRevision,
    revision: 0,
    tokenIndex: 0,
    condition: "new",
    model: "",
    firmware: "",
    meter: "",
    unit: "mWh",
    powerMilliwatts: 0,
    voltageMillivolts: null,
    currentMilliamps: null,
    frequencyMillihertz: null,
    meterQuality: null,
    levelPercent: 0,
    wantedPercent: 0,
    refusal: null,
    unknownSinceSeconds: null,
    noOffer: null,
    register: 0,
    credit: 0,
    channelId: null,
    seller: null,
    scheme: null,
    network: null,
    asset: null,
    resource: null,
    quantumAtomic: 0,
    pricePerMillionUnits: 0,
    promised: 0,
    charged: 0,
    granted: 0,
    payments: 0,
    refusals: 0,
    spentAtomic: 0,
    heardSeconds: nowSeconds,
    paidSeconds: 0,
    before: mark,
    since: mark,
  };
}

/** Takes over a channel's counters; another channel than before replaces them, the same one only raises them. */
export function takeChannel(
  light: Light,
  channel: ChannelRecord,
  tariff: Tariff | null,
  nowSeconds: number,
): void {
  const isSame = light.channelId === channel.id;
  const { network, asset } = channel.requirements;
  if (
    light.network !== null &&
    light.asset !== null &&
    !isSameToken(channel.requirements, light as PaymentToken)
  ) {
    // What was spent in another token is no part of a sum in this one.
    light.spentAtomic = 0;
    light.before = light.since = { atSeconds: nowSeconds, spentAtomic: 0 };
  }
  light.unknownSinceSeconds = channel.unknown?.sinceSeconds ?? null;
  light.network = network;
  light.asset = asset;
  light.channelId = channel.id;
  light.seller = channel.seller;
  light.scheme = channel.requirements.scheme;
  light.resource = channel.resource;
  light.quantumAtomic = Number(channel.requirements.amount);
  light.promised = isSame ? Math.max(light.promised, channel.promised) : channel.promised;
  light.charged = isSame ? Math.max(light.charged, channel.charged) : channel.charged;
  light.granted = isSame ? Math.max(light.granted, channel.granted) : channel.granted;
  if (tariff !== null) light.pricePerMillionUnits = tariff.pricePerMillionUnits;
}

/** Counts money that was charged. */
export function spend(light: Light, amountAtomic: number, nowSeconds: number): void {
  if (nowSeconds - light.since.atSeconds >= SPAN_SECONDS) {
    light.before = light.since;
    light.since = { atSeconds: nowSeconds, spentAtomic: light.spentAtomic };
  }
  light.spentAtomic += amountAtomic;
}

/** Money spent a day, atomic units; null while it was watched for less than a minute, or has not paid. */
export function spentPerDayAtomic(light: Light, nowSeconds: number): number | null {
  const seconds = nowSeconds - light.before.atSeconds;
  const spent = light.spentAtomic - light.before.spentAtomic;
  return seconds < RATE_MIN_SECONDS || spent <= 0 ? null : (spent * 86_400) / seconds;
}

/** Days that what is left of the deposit lasts at the present rate; null when no rate is known. */
export function daysLeft(light: Light, nowSeconds: number): number | null {
  const perDay = spentPerDayAtomic(light, nowSeconds);
  return perDay === null ? null : Math.max(0, light.promised - light.charged) / perDay;
}
