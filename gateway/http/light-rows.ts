/**
 * Lights as the API shows them: whole for one, as short rows for ten thousand.
 *
 * Promise: the rows' columns are in the order named here, for the gateway and for the dashboard.
 */
import { CONDITIONS } from "../telemetry/labels.ts";
import { daysLeft, type Light, spentPerDayAtomic } from "../telemetry/light-view.ts";
import type { Answer } from "./answers.ts";

/** What never changes of a light: index, device, name, latitude, longitude. */
export type BornRow = readonly [number, string, string | null, number | null, number | null];

/**
 * What changes: index, condition (its index in CONDITIONS), power in milliwatts or in units per hour, level and wanted level in
 * percent, charged and promised in atomic units, days left, refusal, unix seconds of the last payment and
 * of the last message, what it pays in (its index among the fleet's tokens), and the unit that it is metered in.
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
  number,
  string,
];

export function bornRow({ index, device, location }: Light): BornRow {
  return [index, device, location?.name ?? null, location?.latitude ?? null, location?.longitude ?? null];
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
    light.tokenIndex,
    light.unit,
  ];
}

/** One light in full. */
export function lightBody(light: Light, nowSeconds: number): Answer<"Light"> {
  const {
    index: _,
    revision: _r,
    bornRevision: _n,
    tokenIndex: _t,
    location,
    before: _b,
    since: _s,
    ...status
  } = light;
  return {
    ...status,
    ...spendingOf(light, nowSeconds),
    name: location?.name ?? null,
    latitude: location?.latitude ?? null,
    longitude: location?.longitude ?? null,
  };
}

/** The credit line of one light. */
export function channelBody(light: Light, nowSeconds: number): Answer<"Channel"> {
  const { channelId, device, seller, scheme, network, asset, resource } = light;
  const { quantumAtomic, promised, charged, granted } = light;
  return {
    ...{ channelId, device, seller, scheme, network, asset, resource },
    ...{ quantumAtomic, promised, charged, granted },
    ...spendingOf(light, nowSeconds),
    name: light.location?.name ?? null,
  };
}

function spendingOf(light: Light, nowSeconds: number) {
  return {
    spentPerDayAtomic: rounded(spentPerDayAtomic(light, nowSeconds)),
    daysLeft: rounded(daysLeft(light, nowSeconds)),
  };
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 100) / 100;
}
