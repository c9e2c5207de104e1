/**
 * Points of lights in the unit square: by their location, or in a grid by name.
 *
 * Promise: two numbers for each light, at twice its index.
 */
import type { Light } from "../live-view.ts";

export interface Layout {
  readonly points: Float64Array;
  /** Width by height of what the unit square shows. */
  readonly aspect: number;
  /** What the map shows, for people. */
  readonly note: string;
}

/** @param gridAspect width by height of a grid, when no light has a location */
export function layOut(lights: readonly Light[], gridAspect: number): Layout {
  const points = new Float64Array(lights.length * 2);
  const located = lights.filter(({ latitude }) => latitude !== null);
  if (located.length === 0) {
    placeInGrid(lights, points, gridAspect, false);
    return { points, aspect: gridAspect, note: "a grid, by name" };
  }
  const aspect = placeOnEarth(located, points);
  const others = lights.filter(({ latitude }) => latitude === null);
  placeInGrid(others, points, aspect, true);
  const without = others.length > 0 ? ` · ${others.length} below have no location` : "";
  return { points, aspect, note: `${located.length} lights at their locations${without}` };
}

/** Equirectangular around the middle of the fleet; returns width by height. */
function placeOnEarth(lights: readonly Light[], points: Float64Array): number {
  const latitudes = lights.map(({ latitude }) => latitude!);
  const longitudes = lights.map(({ longitude }) => longitude!);
  const least = (values: readonly number[]) => values.reduce((a, b) => Math.min(a, b));
  const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b));
  const [south, north, west, east] = [least(latitudes), most(latitudes), least(longitudes), most(longitudes)];
  const shrink = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const height = Math.max(north - south, 1e-6);
  const width = Math.max((east - west) * shrink, 1e-6);
  for (const { index, latitude, longitude } of lights) {
    points[2 * index] = east === west ? 0.5 : (longitude! - west) / (east - west);
    points[2 * index + 1] = north === south ? 0.5 : (north - latitude!) / height;
  }
  return Math.min(6, Math.max(1 / 6, width / height));
}

/** Fills the square by name, or a strip below it. */
function placeInGrid(lights: readonly Light[], points: Float64Array, aspect: number, isStrip: boolean): void {
  const sorted = lights.toSorted((left, right) => (left.name < right.name ? -1 : 1));
  const columns = isStrip ? 80 : Math.max(1, Math.ceil(Math.sqrt(sorted.length * aspect)));
  const rows = Math.ceil(sorted.length / columns);
  for (const [i, { index }] of sorted.entries()) {
    const [column, row] = [i % columns, Math.floor(i / columns)];
    points[2 * index] = (column + 0.5) / columns;
    points[2 * index + 1] = isStrip ? 1.03 + row * 0.02 : (row + 0.5) / rows;
  }
}
