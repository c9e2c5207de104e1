/**
 * An honest gateway with its seller in one, and the settings of a device that deals with them.
 *
 * Promise: counters only rise, a rung is charged once, and energy is granted for it at the price of the day.
 */
import type { Grant, Offer, Payment, Terms } from "#core/events";
import type { Settings } from "#core/machine";
import type { Policy } from "#core/policy";
import type { WireRefusal } from "#core/refusal";
import { channelTagOf } from "#core/rungs";
import { unitsForQuantum } from "#core/units";

export const TERMS = {
  scheme: "batch-settlement",
  network: "eip155:31337",
  asset: `0x${"aa".repeat(20)}`,
  payTo: `0x${"bb".repeat(20)}`,
  contract: `0x${"cc".repeat(20)}`,
  tokenName: "USD Coin",
  tokenVersion: "2",
} as const;

export const SETTINGS: Settings = {
  policy: {
    schemes: ["batch-settlement"],
    network: TERMS.network,
    asset: TERMS.asset,
    contracts: [TERMS.contract],
    payees: [TERMS.payTo],
    unit: "mWh",
    priceCeiling: 400_000,
    quantumMaxAtomic: 200,
    dailyBudgetAtomic: 4_000,
    unpaid: { kind: "off" },
  },
  meter: { rollOverAt: 0, powerMaxMilliwatts: 100_000 },
  ratedMilliwatts: 60_000,
  lowMarkPermille: 700,
  retry: { firstMs: 2_000, maxMs: 20_000 },
  tickMs: 10_000,
  readingMs: 60_000,
  signsOnDemand: false,
  levelWithoutClock: 100,
};

/** The largest energy that one quantum buys here, mWh: quantumMax at the lowest price the street has. */
export const PRICE_MIN = 100_000;
export const QUANTUM_UNITS_MAX = unitsForQuantum(SETTINGS.policy.quantumMaxAtomic, PRICE_MIN);

/** The same device on a host that signs each voucher when it is needed. */
export const ON_DEMAND: Settings = { ...SETTINGS, signsOnDemand: true };

/** Of another seller, in another token on another chain, with a budget of its own. */
export const OTHER_TERMS = {
  ...TERMS,
  network: "eip155:31338",
  asset: `0x${"dd".repeat(20)}`,
  payTo: `0x${"ee".repeat(20)}`,
} as const;

const OTHER_POLICY: Policy = {
  ...SETTINGS.policy,
  network: OTHER_TERMS.network,
  asset: OTHER_TERMS.asset,
  payees: [OTHER_TERMS.payTo],
  priceCeiling: 300_000,
  quantumMaxAtomic: 150,
  dailyBudgetAtomic: 2_500,
};

/** A device that may pay with either token. */
export const TWO_TOKENS: Settings = { ...ON_DEMAND, policies: [SETTINGS.policy, OTHER_POLICY] };

interface SellerChannel {
  readonly id: string;
  readonly terms: Terms;
  charged: number;
  /** The highest amount that was charged, whole or in part: one presented again is answered again. */
  signed: number;
  granted: number;
  balance: number;
}

export class Seller {
  readonly channels: SellerChannel[] = [1, 2, 3].map((n) => ({
    id: `0x${`0${n}`.repeat(32)}`,
    terms: TERMS as Terms,
    charged: 0,
    signed: 0,
    granted: 0,
    balance: 1_000_000,
  }));
  present = 0;
  quantumAtomic = 100;
  pricePerMillionUnits = 200_000;
  refusing: WireRefusal | null = null;
  /** Thousandths of each purchase that are charged; whole ones when null. */
  chargedPermille: number | null = null;
  private readonly quantaOffered = new Set<number>();
  private revision = 0;

  /** From the second channel on they are in the other token. */
  sellInTwoTokens(): void {
    for (const [index, channel] of this.channels.entries()) {
      if (index > 0) this.channels[index] = { ...channel, terms: OTHER_TERMS };
    }
  }

  offer(): Offer {
    const { id, terms, charged, granted, balance } = this.channels[this.present]!;
    this.revision++;
    this.quantaOffered.add(this.quantumAtomic);
    return {
      revision: this.revision,
      channelId: id,
      terms,
      unit: "mWh",
      quantumAtomic: this.quantumAtomic,
      pricePerMillionUnits: this.pricePerMillionUnits,
      balance,
      charged,
      granted,
      metered: this.chargedPermille !== null,
    };
  }

  answer(payment: Payment): Grant {
    const channel = this.channels.find((one) => one.id === payment.channelId);
    if (channel === undefined) {
      const unknown = { id: payment.channelId, terms: TERMS, charged: 0, signed: 0, granted: 0, balance: 0 };
      return this.grantOf(unknown, "unknown-channel");
    }
    const amount = payment.maxClaimable - channel.charged;
    if (this.refusing !== null) return this.grantOf(channel, this.refusing);
    if (amount > SETTINGS.policy.quantumMaxAtomic) return this.grantOf(channel, "counter-mismatch");
    if (payment.maxClaimable > channel.signed) {
      // A stock seller takes what it has charged and one quantum more, and nothing else.
      const isExpected = this.chargedPermille === null || this.quantaOffered.has(amount);
      if (!isExpected) return this.grantOf(channel, "counter-mismatch");
      const charged = Math.ceil((amount * (this.chargedPermille ?? 1000)) / 1000);
      channel.signed = payment.maxClaimable;
      channel.charged += charged;
      channel.granted += unitsForQuantum(charged, this.pricePerMillionUnits);
    }
    return this.grantOf(channel, null);
  }

  grantedUnits(): number {
    return this.channels.reduce((sum, channel) => sum + channel.granted, 0);
  }

  private grantOf(channel: SellerChannel, refusal: WireRefusal | null): Grant {
    return {
      refusal,
      channelTag: channelTagOf(channel.id),
      charged: channel.charged,
      granted: channel.granted,
      pricePerMillionUnits: this.pricePerMillionUnits,
      validUntilSeconds: 0,
    };
  }
}
