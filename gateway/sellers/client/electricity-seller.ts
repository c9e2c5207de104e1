/**
 * A seller that speaks the electricity API: a tariff, a menu of quanta, cumulative grants.
 *
 * Promise: counters come from the seller's own answers; a sale whose answer was lost is read back from
 * its accounts.
 */

import { z } from "zod";
import { COUNTER_MAX, PRICE_MAX, QUANTUM_MAX } from "#core/units";
import type { ReceiptSource } from "#market/documents";
import type { PricePublisher } from "#market/price-series";
import { withTerms } from "#market/signed-offer";
import { termsHash } from "#market/terms-of-sale";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import type { ChannelRecord, Sale, Seller, SellerCounters, Tariff } from "../../purchase/ports.ts";
import { ExtensionEcho, presentPayment } from "./extension-echo.ts";
import {
  chooseRequirements,
  otherVersionIn,
  type Payable,
  sponsoredBy,
  unpaidBy,
  wanting,
} from "./requirements.ts";
import { type Answer, type Http, isElsewhere, refusalIn } from "./seller-http.ts";
import { SellerTerms } from "./seller-terms.ts";

const counter = z.number().int().min(0).max(COUNTER_MAX);
const price = z.number().int().min(1).max(PRICE_MAX);
const SECONDS_MAX = 4_294_967_295;
const seconds = z.number().int().min(0).max(SECONDS_MAX);

const TARIFF = z.object({
  unit: z.string().max(16),
  pricePerMillionUnits: price,
  validUntilSeconds: seconds,
  menu: z.array(counter.min(1).max(QUANTUM_MAX)).min(1).max(64),
  metered: z.boolean().optional(),
  resources: z
    .array(z.string().regex(/^(\/[\w.~-]{1,64}){1,8}$/))
    .max(32)
    .optional(),
});
const ACCOUNT = z.object({ charged: counter, granted: counter });

/** Of an API that names no resources. */
const ENERGY = "/v1/energy";

/**
 * @param baseUrl of the API, as "http://127.0.0.1:4021"
 * @param resource what is bought there, as "/v1/energy"; the first that its tariff names when absent
 * @param termsKeys that may sign its terms beside its payee, addresses in lower case
 */
export function electricitySeller(
  http: Http,
  baseUrl: string,
  payable: Payable,
  resource?: string,
  termsKeys: readonly string[] = [],
): Seller & ReceiptSource & PricePublisher {
  const base = baseUrl.replace(/\/+$/, "");
  const echo = new ExtensionEcho();
  const signed = new SellerTerms(http, base, termsKeys);
  let heard: Tariff | null = null;
  let path = resource ?? ENERGY;
  const urlOf = (quantumAtomic: number, of = path) => `${base}${of}?quantum=${quantumAtomic}`;
  return {
    async tariff() {
      const answer = await http.call("GET", `${base}/v1/tariff`, null);
      const parsed = answer.kind === "paid" ? TARIFF.safeParse(jsonIn(answer)) : null;
      if (parsed?.success) {
        const { resources, menu, ...tariff } = parsed.data;
        path = resource ?? resources?.[0] ?? ENERGY;
        heard = { ...tariff, menu: menu.toSorted((a, b) => a - b) };
        return { tariff: heard, reason: "" };
      }
      return { tariff: null, reason: `${base}/v1/tariff: expected a tariff, ${found(answer)}` };
    },
    async quote(quantumAtomic, wanted) {
      const url = urlOf(quantumAtomic);
      const answer = await http.call("POST", url, null);
      if (answer.kind !== "payment-required") {
        const other = answer.kind === "refused" ? otherVersionIn(answer.status, answer.body) : null;
        if (other !== null) return { ...other, quote: null, reason: `${url}: ${other.reason}` };
        return { quote: null, reason: `${url}: expected payment requirements, ${found(answer)}` };
      }
      echo.heard(url, answer.required);
      const { requirements, ...others } = chooseRequirements(answer.required, wanting(payable, wanted));
      if (requirements === null) return { ...others, quote: null, reason: `${url}: ${others.reason}` };
      const { offered, reason, ...proof } = await signed.termsFor(answer.required, requirements, heard);
      if (reason !== "") return { ...proof, quote: null, reason: `${url}: ${reason}` };
      const quote = { requirements, sponsored: sponsoredBy(answer.required) };
      if (offered === null) return { quote: { ...quote, resource: url }, reason: "" };
      const named = withTerms(url, termsHash(offered.terms));
      return { quote: { ...quote, resource: named, offered }, reason: "" };
    },
    receipt: (...asked) => signed.receipt(...asked),
    async publishedPrices() {
      const url = `${base}/v1/prices`;
      const answer = await http.call("GET", url, null);
      if (answer.kind === "paid") return jsonIn(answer) ?? {};
      if (answer.kind === "refused" && answer.status === 404) return null;
      throw new Watt402Error("unreachable", `${url}: expected a price series, ${found(answer)}`);
    },
    async pay(channel, amountAtomic, payload): Promise<Sale> {
      const resource = {
        method: "POST",
        url: urlOf(amountAtomic, pathIn(channel.resource, base) ?? path),
      } as const;
      const answer = await presentPayment(http, echo, resource, payload, channel.charged);
      if (answer.kind === "unavailable") return answer;
      if (answer.kind === "payment-required") {
        return unpaidBy(answer.error, answer.required);
      }
      if (answer.kind === "refused") {
        return { kind: isElsewhere(answer) ? "unavailable" : "unpaid", reason: found(answer), charged: null };
      }
      const sold = soldIn(jsonIn(answer));
      if (sold === null) {
        const reason = `${channel.resource}: expected counters, ${found(answer)}`;
        return { kind: "unavailable", reason, isUnknown: true };
      }
      const { charged, granted, pricePerMillionUnits, validUntilSeconds } = sold;
      return {
        kind: "paid",
        counters: { charged, granted },
        pricePerMillionUnits,
        validUntilSeconds,
        transaction: answer.receipt?.transaction ?? "",
      };
    },
    async recover(channel, _charged): Promise<SellerCounters | null> {
      const answer = await http.call("GET", `${base}/v1/accounts/${accountOf(channel)}`, null);
      const account = answer.kind === "paid" ? ACCOUNT.safeParse(jsonIn(answer)) : null;
      return account?.success ? account.data : null;
    },
  };
}

/** What a sale is answered with, checked by hand: it is read for every purchase. */
type Sold = Readonly<Record<"charged" | "granted" | "pricePerMillionUnits" | "validUntilSeconds", number>>;

function soldIn(answer: unknown): Sold | null {
  if (typeof answer !== "object" || answer === null) return null;
  const sold = answer as Sold;
  const { charged, granted, pricePerMillionUnits, validUntilSeconds } = sold;
  const fits =
    isWhole(charged, 0, COUNTER_MAX) &&
    isWhole(granted, 0, COUNTER_MAX) &&
    isWhole(pricePerMillionUnits, 1, PRICE_MAX) &&
    isWhole(validUntilSeconds, 0, SECONDS_MAX);
  return fits ? sold : null;
}

function isWhole(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

/** The path that a channel was offered for, whatever the tariff names first by now. */
function pathIn(resource: string, base: string): string | null {
  const end = resource.indexOf("?");
  return resource.startsWith(base) && end > base.length ? resource.slice(base.length, end) : null;
}

/** The API keeps exact accounts by the payer's address. */
function accountOf(channel: ChannelRecord): string {
  return channel.config === null ? `0x${channel.device}` : channel.id;
}

type Paid = Extract<Answer, { kind: "paid" }>;

const JSON_TYPE = /^application\/(\w[\w.+-]*\+)?json\b/i;

/** Undefined for what is not JSON, or does not say that it is. */
function jsonIn({ type, body }: Paid): unknown {
  if (type !== undefined && !JSON_TYPE.test(type)) return undefined;
  try {
    return parseJson(body);
  } catch {
    return undefined;
  }
}

function found(answer: Answer): string {
  if (answer.kind === "unavailable") return answer.reason;
  if (answer.kind === "payment-required") return `found HTTP 402 ${answer.error}`;
  if (answer.kind === "refused") return `found ${refusalIn(answer)}`;
  return `found HTTP ${answer.status} of type ${answer.type}: ${answer.body.slice(0, 120)}`;
}
