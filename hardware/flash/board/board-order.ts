/**
 * From a light's device.toml to the configuration of an Espruino board.
 *
 * Promise: policy, plan and gateway are checked by the device's own reader; what a board cannot do is refused
 * here, with what to write instead.
 */

import type { PlanStep } from "#core/events";
import { twilightOn } from "#node/almanac";
import type { DeviceConfig, SunPlan } from "#node/config/device-config";
import { Watt402Error } from "#payment/watt402-error";
import {
  type BoardPlan,
  packWeeks,
  type TwilightWeek,
  WEEKS,
} from "../../../device/espruino/clock/board-almanac.ts";
import type { BoardKind } from "../../espruino/build/boards.ts";
import type { BoardFile, BoardLamp, BoardMeter, BoardNetwork } from "../../espruino/parts.ts";

const SECONDS_PER_WEEK = 7 * 86_400;
const MINUTES_PER_DAY = 1440;
const MS_PER_MINUTE = 60_000;

/** 2027-01-01: any year's twilight is the next one's, to a minute or two. */
const YEAR_SECONDS = Date.UTC(2027, 0, 1) / 1000;

interface BoardChoice {
  readonly board: BoardKind;
  readonly meter: BoardMeter;
  readonly lamp: BoardLamp;
  readonly network: BoardNetwork;
  /** Server whose answers' Date header has the time. */
  readonly time: { readonly host: string; readonly port: number };
}

/** Throws a line for each thing that no board can do. */
export function boardFileOf(
  config: DeviceConfig,
  choice: BoardChoice,
): Omit<BoardFile, "v" | "device" | "publicKey"> {
  const { board, meter, lamp, network, time } = choice;
  const { settings, gateway } = config;
  const faults: string[] = [];
  const url = new URL(gateway.brokerUrl);
  if (url.protocol !== "mqtt:") {
    faults.push(
      `gateway.broker: expected mqtt://, as a board's TLS checks no certificate, found ${url.protocol}//; ` +
        "messages are sealed without it",
    );
  }
  if (gateway.login !== null) {
    const key = gateway.login === "certificate" ? "login" : "password_file";
    faults.push(`gateway.${key}: expected none, as a board logs in by its key alone; leave it away`);
  }
  if (settings.policy.schemes.join() !== "batch-settlement") {
    faults.push(
      `policy.schemes: expected batch-settlement alone on a board, found ${settings.policy.schemes.join(", ")}`,
    );
  }
  if (config.marketRules?.isRequired)
    faults.push("policy.terms.required: expected false, as a board checks no signed terms, found true");
  if (settings.policies !== undefined) {
    faults.push(
      `policy.tokens: expected none, as a board pays with one token, found ${settings.policies.length - 1}`,
    );
  }
  if (config.plan === null) faults.push("charger: expected none on a board, found a table; it needs Linux");
  if (config.plan === null || faults.length > 0) throw new Watt402Error("config-invalid", faults.join("\n"));
  const { plan, litMinutes } = "sun" in config.plan ? sunPlan(config.plan.sun) : stepsPlan(config.plan.steps);
  return {
    broker: { host: url.hostname, port: Number(url.port || "1883") },
    time,
    keepaliveSeconds: gateway.keepaliveSeconds,
    // A board signs its ladder ahead.
    settings: { ...settings, signsOnDemand: false },
    longestNightMs: MS_PER_MINUTE * litMinutes,
    plan,
    describe: {
      model: config.model,
      firmware: "espruino",
      meter: meter.kind,
      unit: config.unit,
      wantedUnits: config.wantedUnits,
    },
    network,
    meter,
    lamp,
    pages: board.pages,
    watchdogSeconds: board.watchdogSeconds,
  };
}

interface Planned {
  readonly plan: BoardPlan;
  /** Longest time that it keeps the lamp lit within 24 hours. */
  readonly litMinutes: number;
}

function sunPlan(sun: SunPlan): Planned {
  const { nightPercent, dayPercent, latitude, longitude } = sun;
  const weeks = Array.from({ length: WEEKS }, (_, week): TwilightWeek => {
    const twilight = twilightOn(latitude, longitude, YEAR_SECONDS + (week + 0.5) * SECONDS_PER_WEEK);
    if (twilight.kind !== "crosses") {
      const allDayPercent = twilight.kind === "night" ? nightPercent : dayPercent;
      return { dawnMinute: 0, duskMinute: 0, allDayPercent };
    }
    return { dawnMinute: twilight.dawnMinute, duskMinute: twilight.duskMinute, allDayPercent: 0 };
  });
  const nights = weeks.map(({ dawnMinute, duskMinute, allDayPercent }) => {
    if (dawnMinute === duskMinute) return allDayPercent > 0 ? MINUTES_PER_DAY : 0;
    return (dawnMinute - duskMinute + MINUTES_PER_DAY) % MINUTES_PER_DAY;
  });
  const plan = { kind: "sun", nightPercent, dayPercent, weeks: packWeeks(weeks) } as const;
  return { plan, litMinutes: Math.max(...nights) };
}

function stepsPlan(steps: readonly PlanStep[]): Planned {
  const litMinutes = steps.reduce((lit, { minuteOfDay, levelPercent }, index) => {
    const next =
      steps[(index + 1) % steps.length]!.minuteOfDay + (index + 1 === steps.length ? MINUTES_PER_DAY : 0);
    return levelPercent > 0 ? lit + next - minuteOfDay : lit;
  }, 0);
  return { plan: { kind: "steps", steps }, litMinutes };
}
