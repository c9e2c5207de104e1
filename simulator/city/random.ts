/**
 * Drawing a city's particulars from a seed.
 *
 * Promise: the same seed gives the same numbers on every machine; enough for streets, never for secrets.
 */

/** Uniform in 0..1, exclusive of 1. */
export type Draw = () => number;

/** A small generator with a period of 2^32 (mulberry32). @param seed any integer */
export function seededRandom(seed: number): Draw {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    return mix(state);
  };
}

/** One uniform number in 0..1 of a seed and an index: the same whatever was drawn before. */
export function drawAt(seed: number, index: number): number {
  return mix((Math.imul(seed | 0, 0x9e3779b1) + Math.imul(index | 0, 0x85ebca6b)) >>> 0);
}

export function pick<Item>(items: readonly Item[], draw: Draw): Item {
  return items[Math.floor(draw() * items.length)]!;
}

/** An item by its weight; weights are positive and need not sum to 1. */
export function pickWeighted<Item extends { readonly weight: number }>(
  items: readonly Item[],
  draw: Draw,
): Item {
  let rest = draw() * items.reduce((sum, item) => sum + item.weight, 0);
  for (const item of items) {
    rest -= item.weight;
    if (rest < 0) return item;
  }
  return items.at(-1)!;
}

function mix(state: number): number {
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
}
