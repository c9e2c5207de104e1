/**
 * Terms of sale: what is sold, in which unit, at what price over time, paid how, and until when that holds.
 *
 * Promise: terms have one form as bytes (RFC 8785), so whoever has the document can tell from its hash alone that it is
 * the one that was signed; a document that is read is bounded, and has a price for each second of its window.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import canonicalize from "canonicalize";
import { z } from "zod";
import { QUANTUM_MAX } from "#core/units";
import { type Hex, toHex } from "#payment/bytes";
import { CURVE, curveFaults, priceAt } from "./price-series.ts";

const QUANTA_MAX = 64;

const address = z.string().regex(/^0x[0-9a-f]{40}$/);

const TERMS = z
  .strictObject({
    version: z.literal(1),
    unit: z.enum(["mWh", "ms", "s", "request", "byte"]),
    /** Where the seller is reached, without a slash at its end: whatever it sells there is sold under these terms. */
    api: z
      .url({ protocol: /^https?$/ })
      .regex(/[^/]$/)
      .max(512),
    /** CAIP-2. */
    network: z.string().regex(/^eip155:[1-9]\d{0,14}$/),
    asset: address,
    payTo: address,
    /** What one payment may buy, atomic units, ascending. */
    quantaAtomic: z.array(z.int().min(1).max(QUANTUM_MAX)).min(1).max(QUANTA_MAX),
    /** Less than a quantum may be charged of one. */
    metered: z.boolean(),
    ...CURVE,
  })
  .superRefine((terms, context) => {
    const say = (path: string, message: string) =>
      context.addIssue({ code: "custom", path: [path], message });
    const { quantaAtomic } = terms;
    for (const [path, message] of curveFaults(terms)) say(path, message);
    if (quantaAtomic.some((quantum, at) => at > 0 && quantum <= quantaAtomic[at - 1]!))
      say("quantaAtomic", "expected rising quanta, found some that are not");
  });

export type Terms = z.infer<typeof TERMS>;

/** Terms, or one line that says what was expected of a document of strangers. */
export function readTerms(document: unknown): { readonly terms: Terms | null; readonly reason: string } {
  const read = TERMS.safeParse(document);
  if (read.success) return { terms: read.data, reason: "" };
  const { path, message } = read.error.issues[0]!;
  const where = path.join(".").slice(0, 80) || "the document";
  return { terms: null, reason: `terms: ${where}: ${message.slice(0, 200)}` };
}

/** SHA-256 of the terms' one form: 0x and 64 lower-case hex digits. */
export function termsHash(terms: Terms): Hex {
  return toHex(sha256(utf8ToBytes(canonicalize(terms)!)));
}

/** The highest price within a span that the window covers, both ends included; null where it does not reach at all. */
export function highestPrice(terms: Terms, fromSeconds: number, toSeconds: number): number | null {
  const from = Math.max(fromSeconds, terms.fromSeconds);
  const to = Math.min(toSeconds, terms.untilSeconds - 1);
  if (from > to) return null;
  const within = terms.price.filter(([start]) => start > from && start <= to).map(([, price]) => price);
  return Math.max(priceAt(terms, from)!, ...within);
}
