/**
 * The configuration's sections about looking on: HTTP, map, money as people write it, alarms, webhooks and
 * Home Assistant.
 *
 * Promise: nothing of it is open to others without a token.
 */

import { z } from "zod";
import { Watt402Error } from "#payment/watt402-error";
import { isLoopback } from "./loopback.ts";

export const ALARM_KINDS = ["low-balance", "starved", "seller-down", "ledger-differs"] as const;
export type AlarmKind = (typeof ALARM_KINDS)[number];

const httpUrl = z.url({ protocol: /^https?$/, error: "expected an http or https URL" });

const MONEY = z.strictObject({
  symbol: z.string().min(1).max(12).default("USDC"),
  decimals: z.number().int().min(0).max(18).default(6),
});
/** How a token's amounts are written. */
export type MoneySection = z.infer<typeof MONEY>;

export const MONITORING_SECTIONS = {
  /** Health, metrics, API and dashboard; without this section no port is opened. */
  http: z
    .strictObject({
      host: z.string().default("127.0.0.1"),
      port: z.number().int().min(0).max(65_535).default(8402),
      tokenFile: z.string().optional(),
    })
    .optional(),
  /** CSV with the header device,name,latitude,longitude. */
  map: z.strictObject({ places: z.string() }).optional(),
  /** How the token is written for people. */
  money: MONEY.prefault({}),
  alarms: z
    .strictObject({
      /** A deposit that lasts less is low. */
      lowBalanceDays: z.number().min(0).max(366).default(1),
    })
    .prefault({}),
  homeAssistant: z
    .strictObject({
      enabled: z.boolean().default(false),
      prefix: z
        .string()
        .regex(/^[\w-]+$/, "expected one topic level of letters, digits, _ and -")
        .default("homeassistant"),
    })
    .prefault({}),
  webhook: z
    .array(
      z.strictObject({
        url: httpUrl,
        events: z
          .array(z.enum(ALARM_KINDS))
          .min(1)
          .default([...ALARM_KINDS]),
        secretFile: z.string(),
      }),
    )
    .max(16)
    .default([]),
};

const SECTIONS = z.object(MONITORING_SECTIONS);
type MonitoringConfig = z.infer<typeof SECTIONS>;

/** What may be looked at from elsewhere needs a token; who is to be announced needs a broker that lets others in. Throws one line. */
export function checkMonitoring(config: MonitoringConfig, brokerKind: string, source: string): void {
  const { http, homeAssistant } = config;
  if (http !== undefined && !isLoopback(http.host) && http.tokenFile === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: http.tokenFile: expected a file with a token, because http.host ${http.host} is open to others; found nothing`,
    );
  }
  if (homeAssistant.enabled && brokerKind === "embedded") {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: homeAssistant.enabled: expected broker.kind "external", the broker of Home Assistant; ` +
        "found the embedded one, which admits only devices",
    );
  }
}
