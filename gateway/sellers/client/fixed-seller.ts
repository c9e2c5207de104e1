/**
 * Any stock x402 seller: one price, one resource, and each paid answer worth a configured number of units.
 *
 * Promise: nothing is asked of the seller but x402; grants are counted here, by answers that were paid: each is
 * worth its units when what was signed for it was charged in full, and its share of them else, whatever the
 * price is by now.
 */
import { PRICE_MAX, PRICED_UNITS } from "#core/units";
import type { PaymentToken } from "#protocol/payment-token";
import type { ChannelRecord, Sale, Seller } from "../../purchase/ports.ts";
import { ExtensionEcho, presentPayment } from "./extension-echo.ts";
import {
  chargedInReceipt,
  chooseRequirements,
  movedInReceipt,
  otherVersionIn,
  type Payable,
  sponsoredBy,
  unpaidBy,
  wanting,
} from "./requirements.ts";
import { type Http, isElsewhere, refusalIn } from "./seller-http.ts";

interface FixedSale {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly unit: string;
  /** Metered units that one paid answer is worth. */
  readonly unitsPerPayment: number;
  /** It charges by what was used, at most its price. */
  readonly metered: boolean;
}

export function fixedSeller(http: Http, sale: FixedSale, payable: Payable): Seller {
  const { url, method, unit, unitsPerPayment, metered } = sale;
  const echo = new ExtensionEcho();

  /** @param wanted taken up at the tariff's price alone, `priceAtomic`, as a price in another token is another price */
  async function quote(priceAtomic?: number, wanted?: readonly PaymentToken[]): ReturnType<Seller["quote"]> {
    const answer = await http.call(method, url, null);
    if (answer.kind !== "payment-required") {
      const other = answer.kind === "refused" ? otherVersionIn(answer.status, answer.body) : null;
      if (other !== null) return { ...other, quote: null, reason: `${method} ${url}: ${other.reason}` };
      const found = answer.kind === "unavailable" ? answer.reason : `found HTTP ${answer.status}`;
      return {
        quote: null,
        reason: `${method} ${url}: expected HTTP 402 with payment requirements, ${found}`,
      };
    }
    echo.heard(url, answer.required);
    const asked = chooseRequirements(answer.required, wanting(payable, wanted));
    const isAtPrice = asked.requirements?.amount === String(priceAtomic);
    const { requirements, ...others } = isAtPrice ? asked : chooseRequirements(answer.required, payable);
    // The resource is named as the seller names it: it may compare it with what it was paid for.
    const resource = answer.required.resource?.url ?? url;
    const quoted = requirements && { resource, requirements, sponsored: sponsoredBy(answer.required) };
    return { ...others, quote: quoted, reason: `${method} ${url}: ${others.reason}` };
  }

  return {
    async tariff() {
      const quoted = await quote();
      if (quoted.quote === null) {
        const { quote: _, ...others } = quoted;
        return { ...others, tariff: null };
      }
      const amount = Number(quoted.quote.requirements.amount);
      const pricePerMillionUnits = priceOf(amount, unitsPerPayment);
      if (pricePerMillionUnits > PRICE_MAX) {
        const reason =
          `${url}: ${amount} atomic units for ${unitsPerPayment} ${unit} is a price above ${PRICE_MAX} per million; ` +
          "count a finer unit and raise seller.unitsPerPayment";
        return { tariff: null, reason };
      }
      return {
        tariff: { unit, pricePerMillionUnits, validUntilSeconds: 0, menu: [amount], metered },
        reason: "",
      };
    },
    quote,
    async pay(channel, amountAtomic, payload): Promise<Sale> {
      const answer = await presentPayment(http, echo, sale, payload, channel.charged);
      if (answer.kind === "unavailable") return answer;
      if (answer.kind === "payment-required") {
        return unpaidBy(answer.error, answer.required);
      }
      if (answer.kind === "refused") {
        const reason = `${url}: ${refusalIn(answer)}`;
        return { kind: isElsewhere(answer) ? "unavailable" : "unpaid", reason, charged: null };
      }
      if (answer.receipt === null) {
        const reason = `${url}: expected a PAYMENT-RESPONSE header, found none`;
        return { kind: "unavailable", reason, isUnknown: true };
      }
      const signed = channel.charged + amountAtomic;
      const moved = channel.requirements.scheme === "upto" ? movedInReceipt(answer.receipt) : null;
      const charged = chargedInReceipt(answer.receipt) ?? (moved === null ? signed : channel.charged + moved);
      if (charged < channel.charged || charged > signed) {
        const reason = `${url}: expected ${channel.charged} to ${signed} charged in PAYMENT-RESPONSE, found ${charged}`;
        return { kind: "unavailable", reason, isUnknown: true };
      }
      return {
        kind: "paid",
        counters: { charged, granted: grantedAt(channel, charged, amountAtomic, unitsPerPayment) },
        pricePerMillionUnits: Math.min(PRICE_MAX, priceOf(amountAtomic, unitsPerPayment)),
        validUntilSeconds: 0,
        transaction: answer.receipt.transaction,
      };
    },
    async recover(channel, charged, quantumAtomic) {
      return { charged, granted: grantedAt(channel, charged, quantumAtomic, unitsPerPayment) };
    },
  };
}

/**
 * Units for all that was charged since the channel's counters: whole payments, and of a part its share.
 * @param quantumAtomic what was signed for each
 */
function grantedAt(
  channel: ChannelRecord,
  charged: number,
  quantumAtomic: number,
  unitsPerPayment: number,
): number {
  const more = Math.max(0, charged - channel.charged);
  const share = Math.floor(((more % quantumAtomic) / quantumAtomic) * unitsPerPayment);
  return channel.granted + unitsPerPayment * Math.floor(more / quantumAtomic) + share;
}

function priceOf(amountAtomic: number, units: number): number {
  return Math.max(1, Math.round((amountAtomic * PRICED_UNITS) / units));
}
