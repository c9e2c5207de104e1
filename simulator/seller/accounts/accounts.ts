// The seller's arithmetic: money in, energy out, both counted cumulatively per account. A charge and its
// grant are one step. Integers throughout; nothing here knows a database, a socket or a clock.

import { Watt402Error } from "#payment/watt402-error";
import type { Quote } from "../sale/tariff.ts";

export type Scheme = "batch-settlement" | "exact" | "upto";

/** What the seller knows of one buyer. Every field only rises, but the remainder. */
export interface Account {
  /** channel id (0x and 64 hex digits) or, for exact and upto, payer address (0x and 40), lower case */
  readonly account: string;
  /** By which it was opened: exact and upto of one payer share an account. */
  readonly scheme: Scheme;
  /** atomic units, cumulative, from 0 to MAX_COUNTER */
  readonly charged: number;
  /** metered units, cumulative, from 0 to MAX_COUNTER */
  readonly granted: number;
  /** Money not yet turned into units, in millionths of an atomic unit; always below the price of one unit. */
  readonly remainderMicroAtomic: number;
  /** purchases made, cumulative */
  readonly purchases: number;
}

/** The answer to a buyer about one purchase, word for word the body of the 200. */
export interface Answer {
  readonly account: string;
  readonly charged: number;
  readonly granted: number;
  readonly pricePerMillionUnits: number;
  readonly validUntilSeconds: number;
}

/** Counters travel in six bytes. */
export const MAX_COUNTER = 2 ** 48 - 1;

const UNITS_PER_PRICE = 1_000_000n;

class CounterOverflow extends Watt402Error {
  constructor(account: string, counter: string) {
    super("limit-reached", `account ${account}: ${counter} would pass ${MAX_COUNTER}; open a new channel`);
  }
}

export function newAccount(account: string, scheme: Scheme): Account {
  return { account, scheme, charged: 0, granted: 0, remainderMicroAtomic: 0, purchases: 0 };
}

/**
 * Charges `quantumAtomic` and grants what it buys at the quoted price.
 *
 * granted += floor((quantum x 1e6 + remainder) / price); what the division leaves over is carried as money,
 * not as units, so a change of price neither makes nor loses any: over any run of purchases the money not
 * yet turned into energy is less than the price of one unit.
 *
 * `chargedAfterAtomic` is the scheme's own cumulative figure: a channel met anew may start above zero.
 */
export function purchase(
  account: Account,
  quantumAtomic: number,
  quote: Quote,
  chargedAfterAtomic = account.charged + quantumAtomic,
): { readonly account: Account; readonly answer: Answer } {
  if (!Number.isSafeInteger(quantumAtomic) || quantumAtomic <= 0) {
    throw new RangeError(`purchase: expected a quantum of at least 1 atomic unit, found ${quantumAtomic}`);
  }
  const price = BigInt(quote.pricePerMillionUnits);
  const money = BigInt(quantumAtomic) * UNITS_PER_PRICE + BigInt(account.remainderMicroAtomic);
  const granted = BigInt(account.granted) + money / price;
  if (chargedAfterAtomic > MAX_COUNTER) throw new CounterOverflow(account.account, "charged");
  if (granted > BigInt(MAX_COUNTER)) throw new CounterOverflow(account.account, "granted");
  const after: Account = {
    ...account,
    charged: chargedAfterAtomic,
    granted: Number(granted),
    remainderMicroAtomic: Number(money % price),
    purchases: account.purchases + 1,
  };
  return {
    account: after,
    answer: {
      account: after.account,
      charged: after.charged,
      granted: after.granted,
      pricePerMillionUnits: quote.pricePerMillionUnits,
      validUntilSeconds: quote.validUntilSeconds,
    },
  };
}
