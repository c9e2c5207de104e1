/**
 * The lights where they stand, drawn from their coordinates alone.
 *
 * Promise: a light's kind is shown by its shape as well as by its colour; above MAP_LIGHTS_MAX lights,
 * neighbours share a dot as large as they are many.
 */
import { decimal, dollars, duration, escaped, inUnits } from "./figures.ts";
import type { LightReport } from "./report-model.ts";

export const MAP_LIGHTS_MAX = 4_000;

const WIDTH = 1000;
const MARGIN = 30;
/** Neither a ribbon nor a tower, whatever the city's shape. */
const HEIGHT_LEAST = 380;
const HEIGHT_MOST = 900;
/** Cells of a side when neighbours share a dot. */
const CELLS = 56;

type MapKind = "lit" | "starved" | "cheated";

interface Dot {
  readonly x: number;
  readonly y: number;
  readonly kind: MapKind;
  /** Share of the lights of a shared dot; 1 for a light's own. */
  readonly size: number;
  readonly title: string;
}

/** How a light's evening went, the worst that can be said of it. */
export function kindOf(light: LightReport, wantedSeconds: number): MapKind {
  if (light.cheats.length > 0) return "cheated";
  return light.starvedSeconds > 0.01 * wantedSeconds ? "starved" : "lit";
}

/**
 * @param minutes the evening's length: a light that missed less than a hundredth of it counts as lit
 * @param suspected feeders whose streets are marked
 */
export function mapOf(
  lights: readonly LightReport[],
  minutes: number,
  suspected: ReadonlySet<string>,
): string {
  const { place, height } = projection(lights);
  const kind = (light: LightReport) => kindOf(light, minutes * 60);
  const shared = lights.length > MAP_LIGHTS_MAX;
  const dots = shared
    ? sharedDots(lights, place, kind)
    : lights.map((light): Dot => ({ ...place(light), kind: kind(light), size: 1, title: titleOf(light) }));
  const radius = Math.min(11, Math.max(2.2, 150 / Math.sqrt(dots.length)));
  const drawn = dots
    .toSorted((left, right) => RANK[left.kind] - RANK[right.kind])
    .map((dot) => dotOf(dot, radius));
  const said = `Map of ${decimal(lights.length)} lights${shared ? "; neighbours share a dot" : ""}.`;
  return `<svg class="map" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${said}">
${shared ? "" : streetsOf(lights, place, suspected)}<g>${drawn.join("")}</g></svg>`;
}

const RANK: Readonly<Record<MapKind, number>> = { lit: 0, starved: 1, cheated: 2 };

type Place = (light: LightReport) => { readonly x: number; readonly y: number };

/** Metres east and north, fitted into the drawing. */
function projection(lights: readonly LightReport[]): { place: Place; height: number } {
  const [origin] = lights;
  const width = Math.max(0.01, Math.cos(((origin?.latitude ?? 0) * Math.PI) / 180));
  const east = (light: LightReport) => {
    const degrees = light.longitude - (origin?.longitude ?? 0);
    // A city may lie on both sides of the date line.
    return (degrees - 360 * Math.round(degrees / 360)) * width;
  };
  let [left, right, bottom, top] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const light of lights) {
    left = Math.min(left, east(light));
    right = Math.max(right, east(light));
    bottom = Math.min(bottom, light.latitude);
    top = Math.max(top, light.latitude);
  }
  const [spanX, spanY] = [Math.max(right - left, 1e-6), Math.max(top - bottom, 1e-6)];
  const inner = WIDTH - 2 * MARGIN;
  const height = Math.min(HEIGHT_MOST, Math.max(HEIGHT_LEAST, (inner * spanY) / spanX + 2 * MARGIN));
  const scale = Math.min(inner / spanX, (height - 2 * MARGIN) / spanY);
  const [offsetX, offsetY] = [(WIDTH - spanX * scale) / 2, (height - spanY * scale) / 2];
  return {
    height: Math.round(height),
    place: (light) => ({
      x: tenth(offsetX + (east(light) - left) * scale),
      y: tenth(offsetY + (top - light.latitude) * scale),
    }),
  };
}

function dotOf({ x, y, kind, size, title }: Dot, radius: number): string {
  const r = tenth(radius * size);
  const tooltip = `<title>${escaped(title)}</title>`;
  if (kind === "cheated") {
    const d = tenth(1.5 * r);
    return `<path class="cheated" d="M${x},${tenth(y - d)}l${d},${d}l${-d},${d}l${-d},${-d}z">${tooltip}</path>`;
  }
  return `<circle class="${kind}" cx="${x}" cy="${y}" r="${r}">${tooltip}</circle>`;
}

function titleOf(light: LightReport): string {
  const { name, street, ratedMilliwatts, purchases, spentAtomic, drawnMilliwattHours, cheats } = light;
  const facts = [
    `${name}, ${street}`,
    `${inUnits(ratedMilliwatts, "W")}, drew ${inUnits(drawnMilliwattHours, "Wh")}`,
    `${decimal(purchases)} purchases, ${dollars(spentAtomic)}`,
    light.starvedSeconds > 0 ? `without light it should have had: ${duration(light.starvedSeconds)}` : "",
    cheats.length > 0 ? `cheated: ${cheats.join(", ")}` : "",
  ];
  return facts.filter((fact) => fact !== "").join("\n");
}

interface Street {
  readonly points: { x: number; y: number }[];
  suspected: boolean;
}

/** Lamps of one street joined in a line; where they stand far apart it is broken. */
function streetsOf(lights: readonly LightReport[], place: Place, suspected: ReadonlySet<string>): string {
  const streets = new Map<string, Street>();
  for (const light of lights) {
    const street = streets.get(light.street) ?? { points: [], suspected: false };
    street.points.push(place(light));
    street.suspected ||= suspected.has(light.feeder);
    streets.set(light.street, street);
  }
  const all = [...streets.values()];
  const path = (some: readonly Street[]) => some.map(({ points }) => pathOf(points)).join("");
  const marked = path(all.filter((street) => street.suspected));
  return `<path class="street" d="${path(all)}"/><path class="street suspected" d="${marked}"/>`;
}

function pathOf(points: readonly { x: number; y: number }[]): string {
  const sorted = alongLongerSide(points);
  const gaps = sorted
    .slice(1)
    .map((point, index) => Math.hypot(point.x - sorted[index]!.x, point.y - sorted[index]!.y));
  const usual = gaps.toSorted((left, right) => left - right)[gaps.length >> 1] ?? 0;
  return sorted
    .map(({ x, y }, index) => `${index === 0 || gaps[index - 1]! > 4 * usual ? "M" : "L"}${x},${y}`)
    .join("");
}

/** In the order in which one walks down the street: by the projection on its main axis. */
function alongLongerSide(points: readonly { x: number; y: number }[]): { x: number; y: number }[] {
  const mean = (of: (point: { x: number; y: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [middleX, middleY] = [mean(({ x }) => x), mean(({ y }) => y)];
  const xx = mean(({ x }) => (x - middleX) ** 2);
  const yy = mean(({ y }) => (y - middleY) ** 2);
  const xy = mean(({ x, y }) => (x - middleX) * (y - middleY));
  const angle = 0.5 * Math.atan2(2 * xy, xx - yy);
  const along = ({ x, y }: { x: number; y: number }) => x * Math.cos(angle) + y * Math.sin(angle);
  return points.toSorted((left, right) => along(left) - along(right));
}

function sharedDots(
  lights: readonly LightReport[],
  place: Place,
  kind: (light: LightReport) => MapKind,
): Dot[] {
  const cells = new Map<string, { x: number; y: number; counts: Record<MapKind, number> }>();
  const side = WIDTH / CELLS;
  for (const light of lights) {
    const { x, y } = place(light);
    const key = `${Math.floor(x / side)} ${Math.floor(y / side)}`;
    const cell = cells.get(key) ?? { x: 0, y: 0, counts: { lit: 0, starved: 0, cheated: 0 } };
    cell.x += x;
    cell.y += y;
    cell.counts[kind(light)]++;
    cells.set(key, cell);
  }
  const total = ({ lit, starved, cheated }: Record<MapKind, number>) => lit + starved + cheated;
  const most = Math.max(...[...cells.values()].map(({ counts }) => total(counts)));
  return [...cells.values()].map(({ x, y, counts }) => {
    const all = total(counts);
    const worst: MapKind = counts.cheated > 0 ? "cheated" : counts.starved > all / 2 ? "starved" : "lit";
    return {
      x: tenth(x / all),
      y: tenth(y / all),
      kind: worst,
      size: 0.6 + 1.6 * Math.sqrt(all / most),
      title: `${decimal(all)} lights: ${decimal(counts.starved)} starved for a while, ${decimal(counts.cheated)} cheated`,
    };
  });
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}
