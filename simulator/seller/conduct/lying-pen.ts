/**
 * What a lying seller writes under its signature in the place of what is so: one lie of those that `verify` convicts of.
 *
 * Promise: each lie contradicts what the seller has signed elsewhere, or the chain, and nothing else does; a lie that
 * takes two receipts is told from a channel's second one on.
 */
import type { Lie } from "#market/judge";
import type { OfferPayload } from "#market/signed-offer";
import type { Terms } from "#market/terms-of-sale";
import type { UsageReceipt } from "#market/usage-receipt";
import type { Account } from "../accounts/accounts.ts";
import type { Channel } from "../ports.ts";

const DAY_SECONDS = 86_400;
/** Channels whose latest receipt is remembered; of one that was forgotten the next receipt is honest. */
const REMEMBERED_MAX = 10_000;
const PRICED_UNITS = 1_000_000;

/** What the seller knows of a channel when it signs a receipt of it. */
export interface Books {
  readonly account: Account;
  readonly channel: Channel | undefined;
  /** Atomic units per million units. */
  readonly price: number;
}

export class LyingPen {
  readonly #lie: Lie;
  /** By channel. */
  readonly #latest = new Map<string, UsageReceipt>();

  constructor(lie: Lie) {
    this.#lie = lie;
  }

  /** An offer as it is signed. */
  offer(payload: OfferPayload): OfferPayload {
    if (this.#lie !== "offer-contradicts-terms") return payload;
    return { ...payload, validUntil: payload.validUntil + DAY_SECONDS };
  }

  /** The terms that a receipt names. */
  termsOf(terms: Terms): Terms {
    if (this.#lie === "terms-of-another-sale") {
      const asset = terms.asset.slice(0, -1) + (terms.asset.endsWith("0") ? "1" : "0");
      return { ...terms, asset };
    }
    if (this.#lie !== "terms-not-in-force") return terms;
    const fromSeconds = terms.fromSeconds - DAY_SECONDS;
    const [[, price]] = terms.price as [[number, number]];
    return { ...terms, fromSeconds, untilSeconds: terms.fromSeconds, price: [[fromSeconds, price]] };
  }

  /** A receipt as it is signed. */
  receipt(honest: UsageReceipt, books: Books): UsageReceipt {
    const before = this.#latest.get(honest.channelId);
    const receipt = this.#told(honest, before, books);
    for (const id of this.#latest.keys()) if (this.#latest.size >= REMEMBERED_MAX) this.#latest.delete(id);
    this.#latest.set(honest.channelId, receipt);
    return receipt;
  }

  #told(honest: UsageReceipt, before: UsageReceipt | undefined, books: Books): UsageReceipt {
    const granted = Math.max(0, (before?.granted ?? 0) - 1);
    switch (this.#lie) {
      case "counters-fell":
        if (before === undefined) return honest;
        return { ...honest, granted, toSeconds: Math.max(honest.toSeconds, before.toSeconds + 1) };
      case "receipts-contradict": {
        if (before === undefined) return honest;
        const charged = Math.max(honest.charged, before.charged + 1);
        return { ...honest, charged, granted, toSeconds: before.toSeconds };
      }
      case "charged-above-deposit": {
        const charged = Math.max(Number(books.channel?.balance ?? 0), before?.charged ?? 0) + 1;
        const added = Math.ceil(((charged - books.account.charged) * PRICED_UNITS) / books.price);
        return { ...honest, charged, granted: books.account.granted + added };
      }
      case "claimed-above-charged":
        return { ...honest, charged: 0 };
      default:
        return honest;
    }
  }
}
