/**
 * Lights as the API shows them: whole for one, as short rows for ten thousand.
 *
 * Promise: the rows' columns are in the order named here, on both sides of the wire.
 */
import { CONDITIONS, daysLeft, type Light, spentPerDayAtomic } from "../telemetry/light-view.ts";

/** What never changes of a light: index, device, name, latitude, longitude. */
export type BornRow = readonly [number, string, string | null, number | null, number | null];

/**
 * What changes: index, condition (its place in CONDITIONS), power in milliwatts, level and wanted level in
 * percent, charged and promised in atomic units, days left, refusal, unix seconds of the last payment and
 * of the last word.
 */
export type LightRow = readonly [
  number,
  number,
  number,
  number,
  number,
  number,
  number,
  number | null,
  string | null,
  number,
  number,
];

export function bornRow({ index, device, place }: Light): BornRow {
  return [index, device, place?.name ?? null, place?.latitude ?? null, place?.longitude ?? null];
}

export function lightRow(light: Light, nowSeconds: number): LightRow {
  const days = daysLeft(light, nowSeconds);
  return [
    light.index,
    CONDITIONS.indexOf(light.condition),
    light.powerMilliwatts,
    light.levelPercent,
    light.wantedPercent,
    light.charged,
    light.promised,
    days === null ? null : Math.round(days * 10) / 10,
    light.refusal,
    Math.floor(light.paidSeconds),
    Math.floor(light.heardSeconds),
  ];
}

/** One light in full. */
export function lightBody(light: Light, nowSeconds: number) {
  const { index: _, revision: _r, bornRevision: _n, place, before: _b, since: _s, ...told } = light;
  return {
    ...told,
    name: place?.name ?? null,
    latitude: place?.latitude ?? null,
    longitude: place?.longitude ?? null,
    spentPerDayAtomic: rounded(spentPerDayAtomic(light, nowSeconds)),
    daysLeft: rounded(daysLeft(light, nowSeconds)),
  };
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 100) / 100;
}
