/**
 * What somebody should be told of, once when it begins and once when it ends.
 *
 * Promise: an alarm that flickers tells nothing: it has to hold for a minute to begin, and to be gone for
 * a minute to end. A light that starves alone is one alarm, a hundred are one alarm with a count.
 */
import { ALARM_KINDS, type AlarmKind } from "../config/monitoring-section.ts";
import type { Fleet } from "./fleet-view.ts";
import { daysLeft } from "./light-view.ts";

export interface Alarm {
  readonly kind: AlarmKind;
  readonly phase: "begins" | "ends";
  /** Unix seconds. */
  readonly atSeconds: number;
  /** One line for a person. */
  readonly text: string;
  /** Lights or channels concerned; at most LISTED_MAX of them are listed. */
  readonly count: number;
  readonly devices: readonly string[];
}

export interface AlarmLimits {
  /** Days left of a deposit below which the balance is low. */
  readonly lowBalanceDays: number;
  /** Of the treasury, atomic units; 0 watches deposits only. */
  readonly treasuryMinAtomic: number;
}

/** What the alarms look at beside the fleet. */
export interface Surroundings {
  readonly sellerDown: string | null;
  /** Null while unknown. */
  readonly treasuryAtomic: number | null;
  /** Channels on which ledger and seller were found to differ, since the start. */
  readonly differences: number;
}

const HOLD_SECONDS = 60;
const LISTED_MAX = 20;

interface Watched {
  isOn: boolean;
  /** Since when it is the other way round; null when it is not. */
  changingSince: number | null;
}

export interface Alarms {
  /** Looks at the fleet; to be called every few seconds. Returns what began or ended. */
  look(fleet: Fleet, around: Surroundings, nowSeconds: number): readonly Alarm[];
}

export function openAlarms(limits: AlarmLimits): Alarms {
  const watched = new Map<AlarmKind, Watched>(
    ALARM_KINDS.map((kind) => [kind, { isOn: false, changingSince: null }]),
  );
  let differencesTold = 0;

  function settle(
    kind: AlarmKind,
    found: Finding | null,
    holdSeconds: number,
    nowSeconds: number,
  ): Alarm | null {
    const state = watched.get(kind)!;
    if ((found !== null) === state.isOn) {
      state.changingSince = null;
      return null;
    }
    state.changingSince ??= nowSeconds;
    if (nowSeconds - state.changingSince < holdSeconds) return null;
    state.isOn = found !== null;
    state.changingSince = null;
    const { text, count, devices } = found ?? { text: `${kind}: over`, count: 0, devices: [] };
    return {
      kind,
      phase: found ? "begins" : "ends",
      atSeconds: nowSeconds,
      text,
      count,
      devices: devices.slice(0, LISTED_MAX),
    };
  }

  return {
    look(fleet, around, nowSeconds) {
      const differs = around.differences > differencesTold;
      differencesTold = around.differences;
      const alarms = [
        settle("low-balance", lowBalance(fleet, around, limits, nowSeconds), HOLD_SECONDS, nowSeconds),
        settle("starved", starved(fleet), HOLD_SECONDS, nowSeconds),
        settle("seller-down", sellerDown(around), HOLD_SECONDS, nowSeconds),
        // Never a flicker: a difference found once is there.
        settle("ledger-differs", differs ? difference(around) : null, 0, nowSeconds),
      ];
      return alarms.filter((alarm) => alarm !== null);
    },
  };
}

interface Finding {
  readonly text: string;
  readonly count: number;
  readonly devices: readonly string[];
}

function lowBalance(
  fleet: Fleet,
  around: Surroundings,
  limits: AlarmLimits,
  nowSeconds: number,
): Finding | null {
  if (around.treasuryAtomic !== null && around.treasuryAtomic < limits.treasuryMinAtomic) {
    const text = `the treasury holds ${around.treasuryAtomic} atomic units, expected at least ${limits.treasuryMinAtomic}`;
    return { text, count: 0, devices: [] };
  }
  const low = fleet.lights.filter((light) => {
    const days = daysLeft(light, nowSeconds);
    return light.refusal === "deposit-exhausted" || (days !== null && days < limits.lowBalanceDays);
  });
  if (low.length === 0) return null;
  const text = `${low.length} lights have deposits for less than ${limits.lowBalanceDays} days`;
  return { text, count: low.length, devices: low.map(({ device }) => device) };
}

function starved(fleet: Fleet): Finding | null {
  const count = fleet.summary().lights.starved;
  if (count === 0) return null;
  const devices = fleet.lights.filter(({ condition }) => condition === "starved").map(({ device }) => device);
  return { text: `${count} lights should be lit and cannot pay`, count, devices };
}

function sellerDown({ sellerDown }: Surroundings): Finding | null {
  return sellerDown === null
    ? null
    : { text: `no payments are taken by ${sellerDown}`, count: 0, devices: [] };
}

function difference({ differences }: Surroundings): Finding {
  const text = `ledger and seller counted grants differently, ${differences} times since the start`;
  return { text, count: differences, devices: [] };
}
