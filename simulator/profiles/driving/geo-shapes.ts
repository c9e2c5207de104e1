/**
 * Points and areas on the Earth, as GeoJSON has them (RFC 7946, WGS 84).
 *
 * Promise: distances are right to a thousandth within a few hundred kilometres; a point is in an area by the even-odd rule
 * over all of its rings, so that holes are outside.
 */

/** Longitude and latitude, degrees. */
export type Point = readonly [longitude: number, latitude: number];

export type Rings = readonly (readonly Point[])[];

const METRES_PER_DEGREE = 111_320;

const radians = (degrees: number) => (degrees * Math.PI) / 180;

export function metresBetween([fromLongitude, fromLatitude]: Point, [longitude, latitude]: Point): number {
  const east = (longitude - fromLongitude) * Math.cos(radians((latitude + fromLatitude) / 2));
  return METRES_PER_DEGREE * Math.hypot(east, latitude - fromLatitude);
}

/** The point so many metres from another. */
export function pointFrom([longitude, latitude]: Point, eastMetres: number, northMetres: number): Point {
  const perDegree = METRES_PER_DEGREE * Math.cos(radians(latitude));
  const round = (degrees: number) => Number(degrees.toFixed(7));
  return [round(longitude + eastMetres / perDegree), round(latitude + northMetres / METRES_PER_DEGREE)];
}

export function isInside(rings: Rings, [x, y]: Point): boolean {
  let inside = false;
  for (const ring of rings) {
    for (const [index, [toX, toY]] of ring.entries()) {
      const [fromX, fromY] = ring.at(index - 1)!;
      if (toY > y === fromY > y) continue;
      if (x < ((fromX - toX) * (y - toY)) / (fromY - toY) + toX) inside = !inside;
    }
  }
  return inside;
}
