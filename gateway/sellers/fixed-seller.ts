/**
 * Any stock x402 seller: one price, one resource, and each paid answer worth a configured number of units.
 *
 * Promise: nothing is asked of the seller but x402; grants are counted here, from the seller's own count
 * of what it charged.
 */
import { PRICED_UNITS } from "#core/units";
import { type ChannelRecord, PRICE_MAX, type Sale, type Seller } from "../purchase/ports.ts";
import { type Http, isElsewhere, refusalIn } from "./http.ts";
import { ownPaymentHeader } from "./payment-header.ts";
import { chargedInReceipt, chargedInRequired, chooseRequirements, type Payable } from "./requirements.ts";

export interface FixedSale {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly unit: string;
  /** Metered units that one paid answer is worth. */
  readonly unitsPerPayment: number;
}

export function fixedSeller(http: Http, sale: FixedSale, payable: Payable): Seller {
  const { url, method, unit, unitsPerPayment } = sale;

  async function quote(): ReturnType<Seller["quote"]> {
    const answer = await http.call(method, url, null);
    if (answer.kind !== "payment-required") {
      const found = answer.kind === "unavailable" ? answer.reason : `found HTTP ${answer.status}`;
      return {
        quote: null,
        reason: `${method} ${url}: expected HTTP 402 with payment requirements, ${found}`,
      };
    }
    const { requirements, reason } = chooseRequirements(answer.required, payable);
    // The resource is named as the seller names it: it may compare it with what it was paid for.
    const resource = answer.required.resource?.url ?? url;
    return { quote: requirements && { resource, requirements }, reason: `${url}: ${reason}` };
  }

  return {
    async tariff() {
      const quoted = await quote();
      if (quoted.quote === null) return { tariff: null, reason: quoted.reason };
      const amount = Number(quoted.quote.requirements.amount);
      const pricePerMillionUnits = priceOf(amount, unitsPerPayment);
      if (pricePerMillionUnits > PRICE_MAX) {
        const reason =
          `${url}: ${amount} atomic units for ${unitsPerPayment} ${unit} is a price above ${PRICE_MAX} per million; ` +
          "count a finer unit and raise seller.unitsPerPayment";
        return { tariff: null, reason };
      }
      return { tariff: { unit, pricePerMillionUnits, validUntilSeconds: 0, menu: [amount] }, reason: "" };
    },
    quote,
    async pay(channel, amountAtomic, payload): Promise<Sale> {
      const answer = await http.call(method, url, ownPaymentHeader(payload));
      if (answer.kind === "unavailable") return answer;
      if (answer.kind === "payment-required") {
        return { kind: "unpaid", reason: answer.error, charged: chargedInRequired(answer.required) };
      }
      if (answer.kind === "refused") {
        const reason = `${url}: ${refusalIn(answer)}`;
        return { kind: isElsewhere(answer) ? "unavailable" : "unpaid", reason, charged: null };
      }
      if (answer.receipt === null) {
        return { kind: "unavailable", reason: `${url}: expected a PAYMENT-RESPONSE header, found none` };
      }
      const signed = channel.charged + amountAtomic;
      const charged = chargedInReceipt(answer.receipt) ?? signed;
      if (charged < channel.charged || charged > signed) {
        const reason = `${url}: expected ${channel.charged} to ${signed} charged in PAYMENT-RESPONSE, found ${charged}`;
        return { kind: "unavailable", reason };
      }
      return {
        kind: "paid",
        counters: { charged, granted: grantedAt(channel, charged, unitsPerPayment) },
        pricePerMillionUnits: Math.min(PRICE_MAX, priceOf(amountAtomic, unitsPerPayment)),
        validUntilSeconds: 0,
        transaction: answer.receipt.transaction,
      };
    },
    async recover(channel, charged) {
      return { charged, granted: grantedAt(channel, charged, unitsPerPayment) };
    },
  };
}

/** Units for all that was charged since the channel's counters: whole payments, and of a part its share. */
function grantedAt(channel: ChannelRecord, charged: number, unitsPerPayment: number): number {
  const quantum = Number(channel.requirements.amount);
  const more = Math.max(0, charged - channel.charged);
  const share = Math.floor(((more % quantum) / quantum) * unitsPerPayment);
  return channel.granted + unitsPerPayment * Math.floor(more / quantum) + share;
}

function priceOf(amountAtomic: number, units: number): number {
  return Math.max(1, Math.round((amountAtomic * PRICED_UNITS) / units));
}
