/**
 * What an operator has to know, once when it begins and once when it ends.
 *
 * Promise: a flicker makes no alarm: its cause has to hold for a minute to begin it, and to be gone for
 * a minute to end it. A light that starves alone is one alarm, a hundred are one alarm with a count.
 */

import type { PaymentToken } from "#protocol/payment-token";
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

interface AlarmLimits {
  /** Days left of a deposit below which the balance is low. */
  readonly lowBalanceDays: number;
}

/** What the treasury holds of one token. */
export interface TreasuryBalance extends PaymentToken {
  /** Atomic units; null while the chain does not answer. */
  readonly balanceAtomic: number | null;
  /** Below this the operator is warned, atomic units; 0 watches deposits only. */
  readonly lowBalanceAtomic: number;
}

/** What the alarms depend on, beside the fleet. */
export interface AlarmConditions {
  readonly sellerDown: string | null;
  readonly treasury: readonly TreasuryBalance[];
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

export class Alarms {
  readonly #limits: AlarmLimits;
  readonly #watched = new Map<AlarmKind, Watched>(
    ALARM_KINDS.map((kind) => [kind, { isOn: false, changingSince: null }]),
  );
  #differencesSeen = 0;

  constructor(limits: AlarmLimits) {
    this.#limits = limits;
  }

  /** Looks at the fleet; to be called every few seconds. Returns what began or ended. */
  look(fleet: Fleet, conditions: AlarmConditions, nowSeconds: number): readonly Alarm[] {
    const differs = conditions.differences > this.#differencesSeen;
    this.#differencesSeen = conditions.differences;
    const low = lowBalance(fleet, conditions, this.#limits, nowSeconds);
    const alarms = [
      this.#change("low-balance", low, HOLD_SECONDS, nowSeconds),
      this.#change("starved", starved(fleet), HOLD_SECONDS, nowSeconds),
      this.#change("seller-down", sellerDown(conditions), HOLD_SECONDS, nowSeconds),
      // Held for no time: a difference that was found once is there.
      this.#change("ledger-differs", differs ? difference(conditions) : null, 0, nowSeconds),
    ];
    return alarms.filter((alarm) => alarm !== null);
  }

  /** The alarm that begins or ends by what was found; null while nothing changes for long enough. */
  #change(kind: AlarmKind, found: Finding | null, holdSeconds: number, nowSeconds: number): Alarm | null {
    const state = this.#watched.get(kind)!;
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
}

interface Finding {
  readonly text: string;
  readonly count: number;
  readonly devices: readonly string[];
}

function lowBalance(
  fleet: Fleet,
  conditions: AlarmConditions,
  limits: AlarmLimits,
  nowSeconds: number,
): Finding | null {
  const short = conditions.treasury.filter(
    ({ balanceAtomic, lowBalanceAtomic }) => balanceAtomic !== null && balanceAtomic < lowBalanceAtomic,
  );
  if (short.length > 0) {
    const texts = short.map(
      ({ network, asset, balanceAtomic, lowBalanceAtomic }) =>
        `the treasury holds ${balanceAtomic} atomic units of ${asset} on ${network}, expected at least ${lowBalanceAtomic}`,
    );
    return { text: texts.join("; "), count: 0, devices: [] };
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

function sellerDown({ sellerDown }: AlarmConditions): Finding | null {
  return sellerDown === null
    ? null
    : { text: `no payments are taken by ${sellerDown}`, count: 0, devices: [] };
}

function difference({ differences }: AlarmConditions): Finding {
  const text = `ledger and seller counted grants differently, ${differences} times since the start`;
  return { text, count: differences, devices: [] };
}
