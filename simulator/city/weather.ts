/**
 * Clouds over a city, as far as twilight switches care: under a closed sky lamps come on earlier and go
 * out later.
 *
 * Promise: the same seed has the same sky at the same time; it changes over hours, not at midnight.
 */
import { drawAt } from "./random.ts";

/** Between two drawn skies, seconds: weather fronts take about this long. */
const FRONT_SECONDS = 6 * 3_600;

/** A closed sky halves the light several times over: this much sun time, minutes. */
export const OVERCAST_MINUTES = 18;

/** Cover of the sky at a Unix time, 0 clear to 1 overcast. */
export function cloudAt(seed: number, wallSeconds: number): number {
  const front = Math.floor(wallSeconds / FRONT_SECONDS);
  const along = wallSeconds / FRONT_SECONDS - front;
  const smooth = along * along * (3 - 2 * along);
  return (1 - smooth) * drawAt(seed, front) + smooth * drawAt(seed, front + 1);
}
