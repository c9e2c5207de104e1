/**
 * The `[charger]` table of device.toml.
 *
 * Promise: what is returned is complete and within its bounds; otherwise one error lists every fault with its key, what
 * was expected and what was found. An unknown key is a fault.
 */
import { z } from "zod";
import type { Settings } from "#core/machine";
import { choice, faultsOf, integer, list, number, pattern, table, text } from "#node/config/config-shape";
import { Watt402Error } from "#payment/watt402-error";
import type { ChargeWish } from "./limits/charge-wish.ts";
import type { LimitRange } from "./limits/paid-limit.ts";
import type { ReportTimes } from "./limits/smallest-quantum.ts";

const path = text(1024);
const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

const WISH = table({
  energy_kwh: number(0.1, 1000).optional(),
  ready_by: pattern(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, 'a UTC time of day like "07:00"').optional(),
}).refine((wish) => wish.ready_by === undefined || wish.energy_kwh !== undefined, {
  path: ["energy_kwh"],
  error: "an energy beside ready_by",
});

export const CHARGER = table({
  host: text(255).default("0.0.0.0"),
  /** 0 takes a free one. */
  port: integer(0, 65_535).default(9220),
  /** The last part of the address that the charge point connects to. */
  identity: pattern(
    /^[A-Za-z0-9*\-_=:+|@.]{1,48}$/,
    "the charge point's identity, of 1..48 letters, digits, -_.:",
  ),
  password_file: path.optional(),
  tls: table({ cert_file: path, key_file: path }).optional(),
  /** connectorId of OCPP 1.6, EVSE of 2.x. */
  connector: integer(1, 99).default(1),
  phases: z.literal([1, 3], { error: "1 or 3" }).default(3),
  /** Highest voltage between a line and neutral. */
  volts: number(50, 1000).default(253),
  max_amps: number(1, 1000).default(16),
  min_amps: number(1, 100).default(6),
  rate_unit: choice(["A", "W"]).default("A"),
  report_seconds: integer(1, 900).default(10),
  stop_latency_seconds: number(0.1, 120).default(5),
  link_latency_ms: integer(1, 60_000).default(2000),
  /** Without credit for so long, the transaction is stopped. */
  stop_after_seconds: integer(1, 86_400).default(60),
  start: choice(["plug", "card"]).default("plug"),
  /** Cards that may charge; any when empty. */
  cards: list(text(20), 0).default([]),
  /** Decimals of the token that is paid in: a million atomic units are one dollar of USDC. */
  token_decimals: integer(0, 18).default(6),
  wish: WISH.prefault({}),
  /** What is wished by a time is charged in the hours that are cheap by then. */
  follow_prices: z.boolean({ error: "true or false" }).default(false),
})
  .refine(({ min_amps, max_amps }) => min_amps <= max_amps, { path: ["min_amps"], error: "at most max_amps" })
  .refine(({ host, password_file }) => LOOPBACK.test(host) || password_file !== undefined, {
    path: ["password_file"],
    error: "a file that holds the charge point's password, for others reach this host",
  });

export interface ChargerSettings extends Omit<z.output<typeof CHARGER>, "wish"> {
  readonly wish: ChargeWish;
  readonly range: LimitRange;
  readonly times: ReportTimes;
}

/** What the machine's settings are for this load: its flow is reckoned here, and each report is looked at. */
export function machineSettingsOf({ times }: ChargerSettings, { tickMs, meter }: Settings) {
  return {
    ratedMilliwatts: 0,
    tickMs: Math.min(tickMs, times.reportMs),
    meter: { ...meter, powerMaxMilliwatts: Math.max(meter.powerMaxMilliwatts, times.maxMilliwatts) },
  };
}

/** @throws one line for each fault */
export function readChargerSettings(found: Readonly<Record<string, unknown>>): ChargerSettings {
  const { data, error } = CHARGER.safeParse(found);
  if (data === undefined)
    throw new Watt402Error("config-invalid", faultsOf(error, found, "charger.").join("\n"));
  const milliwattsPerAmp = data.phases * data.volts * 1000;
  const maxMilliwatts = Math.round(data.max_amps * milliwattsPerAmp);
  const { energy_kwh, ready_by } = data.wish;
  return {
    ...data,
    wish: {
      energyMilliwattHours: energy_kwh === undefined ? null : Math.round(energy_kwh * 1e6),
      readyByMinute:
        ready_by === undefined ? null : Number(ready_by.slice(0, 2)) * 60 + Number(ready_by.slice(3)),
    },
    range: {
      minMilliwatts: Math.round(data.min_amps * milliwattsPerAmp),
      maxMilliwatts,
      stepMilliwatts: data.rate_unit === "A" ? milliwattsPerAmp / 10 : 1000,
      leastSeconds: Math.max(1, Math.ceil(data.stop_latency_seconds)),
    },
    times: {
      maxMilliwatts,
      reportMs: data.report_seconds * 1000,
      stopLatencyMs: data.stop_latency_seconds * 1000,
      linkLatencyMs: data.link_latency_ms,
    },
  };
}
