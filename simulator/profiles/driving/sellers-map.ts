/**
 * A map of sellers: a route in pieces, some of them tunnels without a link, and the region of each seller.
 *
 * Promise: the same seed draws the same map; a drawn map has gaps where nobody sells, and comes back to where it began.
 */
import { type Draw, seededRandom } from "../../city/random.ts";
import { type Point, pointFrom, type Rings } from "./geo-shapes.ts";

export interface RoutePiece {
  /** At least two; it begins where the piece before ended. */
  readonly points: readonly Point[];
  /** No link reaches it. */
  readonly isTunnel: boolean;
}

export interface Region {
  /** 0, 1, 2, ...: of two that overlap the lower one sells. */
  readonly seller: number;
  readonly rings: Rings;
}

export interface SellersMap {
  readonly route: readonly RoutePiece[];
  readonly regions: readonly Region[];
  /** How many sellers there are. */
  readonly sellers: number;
}

/** Most sellers of a map: so many accounts of the development chain are left for them. */
export const SELLERS_MAX = 8;
export const TUNNELS_MAX = 32;

/** Around Berlin's middle: a ring road of about 20 km, in steps of about 50 m. */
const MIDDLE: Point = [13.4, 52.52];
const RADIUS_METRES = 3_000;
const WOBBLE_METRES = 250;
const STEPS = 400;
/** A tunnel's length, in steps. */
const TUNNEL_STEPS_MIN = 3;
const TUNNEL_STEPS_MORE = 6;
/** Of each seller's sector, the share at its end where nobody sells: none but at the last one's. */
const GAP_SHARE = 0.15;
const OUTSIDE_METRES = 2 * RADIUS_METRES;

export function drawMap(seed: number, sellers: number, tunnels: number): SellersMap {
  const draw = seededRandom(seed);
  const ring = drawRing(draw);
  const regions = Array.from({ length: sellers }, (_, seller): Region => {
    const gap = seller === sellers - 1 ? GAP_SHARE : 0;
    return { seller, rings: [sector(seller / sellers, (seller + 1 - gap) / sellers)] };
  });
  return { route: cutAt(ring, drawTunnels(draw, tunnels)), regions, sellers };
}

function drawRing(draw: Draw): Point[] {
  const waves = [2, 3, 5].map((count) => ({ count, metres: WOBBLE_METRES * draw(), phase: draw() }));
  return Array.from({ length: STEPS + 1 }, (_, step) => {
    const share = (step % STEPS) / STEPS;
    const wobble = waves.reduce(
      (sum, { count, metres, phase }) => sum + metres * wave(count * share + phase),
      0,
    );
    return at(share, RADIUS_METRES + wobble);
  });
}

const wave = (turns: number) => Math.sin(2 * Math.PI * turns);

/** @param share of a whole turn around the middle */
function at(share: number, metres: number): Point {
  const angle = 2 * Math.PI * share;
  return pointFrom(MIDDLE, metres * Math.sin(angle), metres * Math.cos(angle));
}

function sector(from: number, to: number): Point[] {
  const arc = Array.from({ length: 13 }, (_, step) => at(from + ((to - from) * step) / 12, OUTSIDE_METRES));
  return [MIDDLE, ...arc, MIDDLE];
}

/** The steps at which tunnels begin and end, one behind the other: each in an equal part of the ring. */
function drawTunnels(draw: Draw, tunnels: number): { readonly from: number; readonly to: number }[] {
  return Array.from({ length: tunnels }, (_, index) => {
    const part = STEPS / tunnels;
    const length = Math.min(part - 3, TUNNEL_STEPS_MIN + TUNNEL_STEPS_MORE * draw());
    const from = Math.floor(index * part + 1 + (part - length - 2) * draw());
    return { from, to: from + Math.max(1, Math.floor(length)) };
  });
}

function cutAt(ring: readonly Point[], tunnels: readonly { readonly from: number; readonly to: number }[]) {
  const pieces: RoutePiece[] = [];
  let begun = 0;
  for (const { from, to } of tunnels) {
    pieces.push({ points: ring.slice(begun, from + 1), isTunnel: false });
    pieces.push({ points: ring.slice(from, to + 1), isTunnel: true });
    begun = to;
  }
  return [...pieces, { points: ring.slice(begun), isTunnel: false }];
}
