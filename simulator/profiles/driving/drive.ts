/**
 * One car's drive along a route, there and back or round and round: where it is at any moment.
 *
 * Promise: a function of time alone, the same for the same draw; it begins where somebody sells, in the open.
 */
import { type Draw, drawAt } from "../../city/random.ts";
import type { SellersMap } from "./sellers-map.ts";
import { isClosed, type Stretch, stretchesOf } from "./stretches.ts";

/** Metres a second: a speed for each stretch and car. */
const SPEED_MIN = 9;
const SPEED_MORE = 12;

export interface Leg extends Pick<Stretch, "seller" | "isTunnel"> {
  /** Of the whole round, milliseconds. */
  readonly fromMs: number;
  readonly untilMs: number;
}

/** Where a car is now. */
export interface Whereabout extends Pick<Stretch, "seller" | "isTunnel"> {
  /** When that ends. */
  readonly untilMs: number;
  /** Seconds in the open until this seller's region ends; Infinity where it never does. */
  readonly secondsAhead: number;
}

export class Drive {
  readonly sellers: number;
  readonly #legs: readonly Leg[];
  readonly #roundMs: number;
  readonly #offsetMs: number;

  /** @param startsAtMs when it sets out */
  constructor(map: SellersMap, draw: Draw, startsAtMs: number) {
    this.sellers = map.sellers;
    this.#legs = legsOf(map, Math.floor(draw() * 2 ** 32));
    this.#roundMs = this.#legs.at(-1)!.untilMs;
    const open = this.#legs.filter(({ seller, isTunnel }) => seller !== null && !isTunnel);
    // Where there is no such leg nothing is ever bought.
    const first = open[Math.floor(draw() * open.length)] ?? this.#legs[0]!;
    this.#offsetMs = first.fromMs - startsAtMs;
  }

  at(nowMs: number): Whereabout {
    const inRoundMs = modulo(nowMs + this.#offsetMs, this.#roundMs);
    const index = this.#indexAt(inRoundMs);
    const { seller, isTunnel, untilMs } = this.#legs[index]!;
    const secondsAhead = this.#aheadMs(index, inRoundMs) / 1_000;
    return { seller, isTunnel, untilMs: nowMs + untilMs - inRoundMs, secondsAhead };
  }

  /** Calls back with each leg of a time, and how much of it lies within. */
  between(fromMs: number, toMs: number, take: (leg: Leg, ms: number) => void): void {
    for (let now = fromMs; now < toMs; ) {
      const inRoundMs = modulo(now + this.#offsetMs, this.#roundMs);
      const leg = this.#legs[this.#indexAt(inRoundMs)]!;
      // A rounding error must not hold time up.
      const ms = Math.min(toMs - now, Math.max(1e-3, leg.untilMs - inRoundMs));
      take(leg, ms);
      now += ms;
    }
  }

  #indexAt(inRoundMs: number): number {
    const found = this.#legs.findIndex(({ untilMs }) => inRoundMs < untilMs);
    return found < 0 ? this.#legs.length - 1 : found;
  }

  #aheadMs(index: number, inRoundMs: number): number {
    const { seller } = this.#legs[index]!;
    let aheadMs = 0;
    let fromMs = inRoundMs;
    for (let step = 0; step <= this.#legs.length; step += 1) {
      const leg = this.#legs[(index + step) % this.#legs.length]!;
      if (leg.seller !== seller) return aheadMs;
      if (!leg.isTunnel) aheadMs += leg.untilMs - (step === 0 ? fromMs : leg.fromMs);
      fromMs = leg.fromMs;
    }
    return Number.POSITIVE_INFINITY;
  }
}

/** The legs of a whole round: a route that does not end where it began is driven back. */
function legsOf(map: SellersMap, seed: number): readonly Leg[] {
  const there = stretchesOf(map);
  const round = isClosed(map) ? there : [...there, ...there.toReversed()];
  let fromMs = 0;
  return round.map(({ metres, seller, isTunnel }, index) => {
    const ms = Math.max(1, Math.round((1_000 * metres) / (SPEED_MIN + SPEED_MORE * drawAt(seed, index))));
    const leg = { seller, isTunnel, fromMs, untilMs: fromMs + ms };
    fromMs += ms;
    return leg;
  });
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
