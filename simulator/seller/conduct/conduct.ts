/**
 * How a seller behaves: honestly, or in one named way that is not.
 *
 * Promise: whoever is told to lie tells that one lie alone, to every buyer; all else it says and does is as an honest
 * seller's.
 */
import { LIES, type Lie } from "#market/judge";
import type { Quote } from "../sale/tariff.ts";

/** `greedy`: its price rises while it sells. `vanishing`: it is paid and answers nobody any more. Each lie: as `verify` names it. */
export const CONDUCTS = ["honest", "greedy", "vanishing", ...LIES] as const;
export type Conduct = (typeof CONDUCTS)[number];

/** The lie that a seller tells in what it signs; null for who signs what is so. */
export function lieOf(conduct: Conduct): Lie | null {
  return LIES.find((lie) => lie === conduct) ?? null;
}

/** What a seller that breaks its terms takes for a unit, as a multiple of what it has signed. */
const OVERCHARGE = 2;

/** The price that goods are handed out at, of the price that was quoted. */
export function takenQuote(conduct: Conduct, quoted: Quote): Quote {
  if (conduct !== "granted-below-terms") return quoted;
  return { ...quoted, pricePerMillionUnits: quoted.pricePerMillionUnits * OVERCHARGE };
}
