/**
 * Asks the gateway for the prices ahead, over the general transport, and has a plan that answers them looked at.
 *
 * Promise: asked at each connection and each quarter of an hour; an answer that is none leaves what was known, which is good
 * until its end. Nothing is paid by it, and without it the plan goes on as it would without prices.
 */
import type { Clock, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import { PRICES_URL, readPriceSeries } from "#market/price-series";
import type { PricedPlan } from "#market/priced-plan";
import { readResponse } from "#protocol/messages";
import { parseJson } from "#protocol/nesting";

const ASK_MS = 15 * 60_000;
/** Until something is known: a gateway knows a device from its hello, and its seller from its first offer. */
const RETRY: Retry = { firstMs: 2_000, maxMs: ASK_MS };
/** A plan is looked at so often: a step of the prices may have begun, or a need be met. */
const LOOK_MS = 60_000;
/** One request at a time, each under the same name: it is free, and the newest answer counts. */
const ID = "prices";

interface WatchParts {
  readonly clock: Clock;
  readonly random: Random;
  send(leaf: "request", payload: Uint8Array): void;
}

export class PriceWatch {
  readonly #plan: PricedPlan;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #send: WatchParts["send"];
  #isUp = false;
  #askAtMs = 0;
  #lookAtMs = 0;
  #misses = 0;
  #cancel: () => void = () => {};

  constructor(plan: PricedPlan, { clock, random, send }: WatchParts) {
    this.#plan = plan;
    this.#clock = clock;
    this.#random = random;
    this.#send = send;
    this.#lookAtMs = clock.nowMs() + LOOK_MS;
    this.#wake();
  }

  linkChanged(up: boolean): void {
    this.#isUp = up;
    this.#askAtMs = 0;
    if (up) this.#look();
    this.#wake();
  }

  /** True for an answer that was this one's. */
  take(payload: Uint8Array): boolean {
    const { message } = readResponse(new TextDecoder().decode(payload));
    if (message?.id !== ID) return false;
    const wallSeconds = this.#clock.wallSeconds();
    const { series } = message.status === 200 ? readPriceSeries(jsonIn(message.body)) : { series: null };
    if (series !== null && wallSeconds !== null) {
      this.#misses = 0;
      this.#plan.heard(series, wallSeconds);
    } else {
      this.#misses += 1;
      this.#askAtMs = nextAttemptMs(RETRY, this.#misses, this.#clock.nowMs(), this.#random());
      this.#wake();
    }
    return true;
  }

  stop(): void {
    this.#cancel();
  }

  #wake(): void {
    this.#cancel();
    const atMs = this.#isUp ? Math.min(this.#lookAtMs, this.#askAtMs) : this.#lookAtMs;
    this.#cancel = this.#clock.at(atMs, () => {
      this.#look();
      this.#wake();
    });
  }

  #look(): void {
    const nowMs = this.#clock.nowMs();
    this.#lookAtMs = nowMs + LOOK_MS;
    const wallSeconds = this.#clock.wallSeconds();
    if (wallSeconds !== null) this.#plan.look(wallSeconds);
    if (!this.#isUp || nowMs < this.#askAtMs) return;
    this.#askAtMs = nowMs + ASK_MS;
    const request = { v: 1, id: ID, method: "GET", url: PRICES_URL };
    this.#send("request", new TextEncoder().encode(JSON.stringify(request)));
  }
}

/** Undefined for what is no JSON. */
function jsonIn(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
