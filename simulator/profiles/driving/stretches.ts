/**
 * A route in stretches: where one seller's region ends and another's begins, and where a tunnel does.
 *
 * Promise: the stretches together are the whole route, in its order; two that follow differ.
 */
import { isInside, metresBetween, type Point } from "./geo-shapes.ts";
import type { SellersMap } from "./sellers-map.ts";

export interface Stretch {
  readonly metres: number;
  /** Whose region it is; null where nobody sells. */
  readonly seller: number | null;
  readonly isTunnel: boolean;
}

/** Borders are found to so many metres. */
const STEP_METRES = 10;

const CUT = new WeakMap<SellersMap, readonly Stretch[]>();

/** Each map is cut once. */
export function stretchesOf(map: SellersMap): readonly Stretch[] {
  const stretches = CUT.get(map) ?? cutUp(map);
  CUT.set(map, stretches);
  return stretches;
}

function cutUp({ route, regions }: SellersMap): readonly Stretch[] {
  const byNumber = regions.toSorted((left, right) => left.seller - right.seller);
  const sellerAt = (point: Point) => byNumber.find(({ rings }) => isInside(rings, point))?.seller ?? null;
  const stretches: Stretch[] = [];
  for (const { points, isTunnel } of route) {
    for (const [index, to] of points.entries()) {
      if (index === 0) continue;
      const from = points[index - 1]!;
      const metres = metresBetween(from, to);
      const steps = Math.max(1, Math.ceil(metres / STEP_METRES));
      for (let step = 0; step < steps; step += 1) {
        const middle = between(from, to, (step + 0.5) / steps);
        add(stretches, { metres: metres / steps, seller: sellerAt(middle), isTunnel });
      }
    }
  }
  return stretches;
}

/** Does a route end where it began? */
export function isClosed({ route }: SellersMap): boolean {
  return metresBetween(route[0]!.points[0]!, route.at(-1)!.points.at(-1)!) < STEP_METRES;
}

function between([fromX, fromY]: Point, [toX, toY]: Point, share: number): Point {
  return [fromX + (toX - fromX) * share, fromY + (toY - fromY) * share];
}

function add(stretches: Stretch[], next: Stretch): void {
  const last = stretches.at(-1);
  if (last === undefined || last.seller !== next.seller || last.isTunnel !== next.isTunnel)
    stretches.push(next);
  else stretches[stretches.length - 1] = { ...last, metres: last.metres + next.metres };
}
