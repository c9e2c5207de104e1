/**
 * Asks the gateway for the prices ahead, over the general transport, and has a plan that answers them looked at.
 *
 * Promise: asked at each connection and each quarter of an hour; an answer that is none leaves what was known, which is good
 * until its end. Nothing is paid by it, and without it the plan goes on as it would without prices.
 */
import type { Clock, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import { PRICES_URL } from "#market/own-resources";
import { readPriceSeries } from "#market/price-series";
import type { PricedPlan } from "#market/priced-plan";
import { parseJson } from "#protocol/nesting";
import type { GatewayDocuments } from "./gateway-documents.ts";

const ASK_MS = 15 * 60_000;
/** Until something is known: a gateway knows a device from its hello, and its seller from its first offer. */
const RETRY: Retry = { firstMs: 2_000, maxMs: ASK_MS };
/** A plan is looked at so often: a step of the prices may have begun, or a need be met. */
const LOOK_MS = 60_000;
interface WatchParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly documents: Pick<GatewayDocuments, "ask">;
}

export class PriceWatch {
  readonly #plan: PricedPlan;
  readonly #parts: WatchParts;
  #isUp = false;
  #isAsking = false;
  #askAtMs = 0;
  #lookAtMs: number;
  #misses = 0;
  #cancel: () => void = () => {};

  constructor(plan: PricedPlan, parts: WatchParts) {
    this.#plan = plan;
    this.#parts = parts;
    this.#lookAtMs = parts.clock.nowMs() + LOOK_MS;
    this.#wake();
  }

  linkChanged(up: boolean): void {
    this.#isUp = up;
    this.#askAtMs = 0;
    if (up) this.#look();
    this.#wake();
  }

  stop(): void {
    this.#cancel();
  }

  #wake(): void {
    this.#cancel();
    const mayAsk = this.#isUp && !this.#isAsking;
    const atMs = mayAsk ? Math.min(this.#lookAtMs, this.#askAtMs) : this.#lookAtMs;
    this.#cancel = this.#parts.clock.at(atMs, () => {
      this.#look();
      this.#wake();
    });
  }

  #look(): void {
    const { clock, documents } = this.#parts;
    const nowMs = clock.nowMs();
    this.#lookAtMs = nowMs + LOOK_MS;
    const wallSeconds = clock.wallSeconds();
    if (wallSeconds !== null) this.#plan.look(wallSeconds);
    if (!this.#isUp || this.#isAsking || nowMs < this.#askAtMs) return;
    this.#isAsking = true;
    documents.ask("GET", PRICES_URL, null, (body) => this.#take(body));
  }

  #take(body: string | null): void {
    const { clock, random } = this.#parts;
    this.#isAsking = false;
    const wallSeconds = clock.wallSeconds();
    const { series } = body === null ? { series: null } : readPriceSeries(jsonIn(body));
    if (series !== null && wallSeconds !== null) {
      this.#misses = 0;
      this.#askAtMs = clock.nowMs() + ASK_MS;
      this.#plan.heard(series, wallSeconds);
    } else {
      this.#misses += 1;
      this.#askAtMs = nextAttemptMs(RETRY, this.#misses, clock.nowMs(), random());
    }
    this.#wake();
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
