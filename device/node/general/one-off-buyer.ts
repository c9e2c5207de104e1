/**
 * A device that buys single resources over the general transport (x402-over-mqtt.md), beside what it buys on its channel.
 *
 * Promise: an order is reserved in the day's budget, then signed, once; from then on the same payment is sent until it is
 * answered or cannot be charged any more, over any number of lost links and restarted gateways. Orders under way,
 * attempts and waits are bounded.
 *
 *   asked ---- payment-required -> reserved -> signed -> paying ---- response -> bought, or refused
 *     +------- response ---------------------------------------------------------> bought (free), or refused
 */
import { detach } from "#core/detach";
import type { Policy } from "#core/policy";
import type { Clock, Random } from "#core/ports";
import type { DeviceRefusal } from "#core/refusal";
import { nextAttemptMs, type Retry } from "#core/rungs";
import type { Key } from "#payment/key";
import { readPaymentRequired, readResponse } from "#protocol/messages";
import type { PaymentToken } from "#protocol/payment-token";
import { isPaymentRequired, type PaymentPayload, type PaymentRequirements } from "#protocol/x402";
import { chooseTransfer, type OneOffOrder, signTransfer } from "./one-off-order.ts";

export type OneOffResult =
  | { readonly kind: "bought"; readonly body: string; readonly amountAtomic: number }
  /** Nothing was signed, or what was signed was refused. */
  | {
      readonly kind: "refused";
      readonly reason: DeviceRefusal | "too-many-orders" | "no-answer" | "resource-refused";
      readonly text: string;
    }
  /** It was signed and never answered: it may have been charged. */
  | { readonly kind: "unknown"; readonly amountAtomic: number };

export interface BuyerParts {
  readonly key: Key;
  readonly clock: Pick<Clock, "nowMs" | "at">;
  /** Unix seconds as the chain counts them; null while unknown: then nothing is signed. */
  readonly chainSeconds: () => number | null;
  readonly random: Random;
  /** The owner's. */
  readonly policy: Policy;
  reserve(amountAtomic: number, token: PaymentToken): Promise<DeviceRefusal | null>;
  send(leaf: "request" | "payment", payload: Uint8Array): void;
}

const ORDERS_MAX = 4;
/** Without a link an attempt is not counted. */
const ATTEMPTS_MAX = 12;
const RETRY: Retry = { firstMs: 3_000, maxMs: 30_000 };
/** Of what a resource says, characters. */
const SHOWN_MAX = 160;

interface UnderWay {
  readonly order: OneOffOrder;
  readonly finish: (result: OneOffResult) => void;
  payment: PaymentPayload | null;
  amountAtomic: number;
  isReserving: boolean;
  attempts: number;
  cancel: () => void;
}

export class OneOffBuyer {
  readonly #parts: BuyerParts;
  readonly #orders = new Map<string, UnderWay>();
  #isUp = false;

  constructor(parts: BuyerParts) {
    this.#parts = parts;
  }

  buy(order: OneOffOrder): Promise<OneOffResult> {
    if (this.#orders.size >= ORDERS_MAX || this.#orders.has(order.id)) {
      return Promise.resolve(refused("too-many-orders", `expected at most ${ORDERS_MAX} orders at once`));
    }
    return new Promise((finish) => {
      const under: UnderWay = {
        ...{ order, finish, payment: null, amountAtomic: 0, isReserving: false, attempts: 0 },
        cancel: () => {},
      };
      this.#orders.set(order.id, under);
      this.#send(under);
    });
  }

  linkChanged(up: boolean): void {
    this.#isUp = up;
    if (up) for (const under of this.#orders.values()) this.#send(under);
  }

  /** Takes a message of the general transport. */
  take(leaf: "payment-required" | "response", payload: Uint8Array): void {
    const text = new TextDecoder().decode(payload);
    const { message } = leaf === "response" ? readResponse(text) : readPaymentRequired(text);
    const under = message === null ? undefined : this.#orders.get(message.id);
    if (message === null || under === undefined) return;
    if ("paymentRequired" in message) this.#pay(under, message.paymentRequired);
    else this.#answered(under, message.status, message.body, message.error);
  }

  /** Ends what is under way: signed and unanswered it is unknown. */
  stop(): void {
    for (const under of [...this.#orders.values()]) this.#giveUp(under);
  }

  #pay(under: UnderWay, asked: unknown): void {
    const { order, payment } = under;
    // The gateway forgot the request, or heard it twice: what was signed is sent again.
    if (payment !== null) this.#publish("payment", { v: 1, id: order.id, payment });
    if (payment !== null || under.isReserving) return;
    const { chosen, refusal } = isPaymentRequired(asked)
      ? chooseTransfer(asked, this.#parts.policy, order)
      : { chosen: null, refusal: "resource-refused" as const };
    if (chosen === null) {
      this.#finish(under, refused(refusal, "its terms are outside the policy, or none of x402 version 2"));
      return;
    }
    under.isReserving = true;
    under.amountAtomic = Number(chosen.amount);
    const signed = this.#reserveAndSign(under, chosen);
    detach(signed, () => this.#finish(under, refused("signer-failed", "the payment could not be made")));
  }

  async #reserveAndSign(under: UnderWay, chosen: PaymentRequirements): Promise<void> {
    const outside = await this.#parts.reserve(under.amountAtomic, chosen);
    const nowSeconds = this.#parts.chainSeconds();
    if (outside !== null || nowSeconds === null) {
      this.#finish(under, refused(outside ?? "clock-unset", `${under.amountAtomic} atomic units`));
      return;
    }
    if (!this.#orders.has(under.order.id)) return;
    under.payment = signTransfer(this.#parts.key, under.order, chosen, nowSeconds);
    under.attempts = 0;
    this.#send(under);
  }

  #answered(under: UnderWay, status: number, body: string, error?: string): void {
    const { payment, amountAtomic, attempts } = under;
    if (status >= 200 && status < 300) {
      this.#finish(under, { kind: "bought", body, amountAtomic: payment === null ? 0 : amountAtomic });
      return;
    }
    const isSettled = status === 402 || status === 409;
    // A request that the gateway does not remember goes before its payment; what may be charged comes again by itself.
    if (payment !== null && status === 400) this.#request(under);
    if (!isSettled && (payment !== null || status >= 500)) return;
    // What was presented before may have been charged then.
    if (payment !== null && attempts > 1) this.#finish(under, { kind: "unknown", amountAtomic });
    else
      this.#finish(
        under,
        refused("resource-refused", `HTTP ${status}: ${(error ?? body).slice(0, SHOWN_MAX)}`),
      );
  }

  /** Sends what is to be answered, and again after a back-off. */
  #send(under: UnderWay): void {
    under.cancel();
    if (!this.#isUp) return;
    under.attempts += 1;
    if (under.attempts > ATTEMPTS_MAX) {
      this.#giveUp(under);
      return;
    }
    if (under.payment === null) this.#request(under);
    else this.#publish("payment", { v: 1, id: under.order.id, payment: under.payment });
    const { clock, random } = this.#parts;
    under.cancel = clock.at(nextAttemptMs(RETRY, under.attempts, clock.nowMs(), random()), () =>
      this.#send(under),
    );
  }

  #request({ order: { id, method, url } }: UnderWay): void {
    this.#publish("request", { v: 1, id, method, url });
  }

  #publish(leaf: "request" | "payment", message: object): void {
    if (this.#isUp) this.#parts.send(leaf, new TextEncoder().encode(JSON.stringify(message)));
  }

  #giveUp(under: UnderWay): void {
    const { payment, amountAtomic } = under;
    const text = `no answer to ${ATTEMPTS_MAX} attempts`;
    this.#finish(under, payment === null ? refused("no-answer", text) : { kind: "unknown", amountAtomic });
  }

  #finish(under: UnderWay, result: OneOffResult): void {
    under.cancel();
    if (this.#orders.delete(under.order.id)) under.finish(result);
  }
}

function refused(reason: Extract<OneOffResult, { kind: "refused" }>["reason"], text: string): OneOffResult {
  return { kind: "refused", reason, text };
}
