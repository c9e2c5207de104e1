/** The monitor beside a device that lies: it is shown states and payments that a sound one never has. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Effect, Event, Payment } from "#core/events";
import { bootMachine, type State } from "#core/machine";
import { InvariantMonitor } from "#simulator/fleet/reconciliation/invariant-monitor";
import { SETTINGS } from "../../device/core/seller.ts";

let nowMs: number;
let delivered: number;
let purchases: boolean[];
let monitor: InvariantMonitor;

beforeEach(() => {
  nowMs = 0;
  delivered = 0;
  purchases = [];
  monitor = new InvariantMonitor({
    name: "light-1",
    nowMs: () => nowMs,
    deliveredUnits: () => delivered,
    onPurchase: (begins) => purchases.push(begins),
  });
});

const BORN = bootMachine(SETTINGS, null);
const TICK: Event = { type: "tick", at: { nowMs: 0, wallSeconds: 0, random: 0 }, reading: null };

function channelAt(charged: number): State["channel"] {
  // 100 atomic units at 200,000 for a million units: a quantum of 500 mWh.
  const members = { quantumAtomic: 100, pricePerMillionUnits: 200_000, charged };
  return members as unknown as State["channel"];
}

function stateWith(members: Partial<State>): State {
  return { ...BORN, ...members };
}

function pay(maxClaimable: number, again = false): Effect {
  const payment = { maxClaimable, amountAtomic: 100, again } as unknown as Payment;
  return { type: "pay", payment };
}

const reported = () =>
  monitor.violations.map(({ invariant, expected, actual }) => [invariant, expected, actual]);

describe("energy", () => {
  test("a register that falls by one is a breach of E1", () => {
    const register = (total: number) => stateWith({ register: { ...BORN.register, total } });
    monitor.observe(TICK, [], register(1_000));
    monitor.observe(TICK, [], register(1_000));
    expect(reported()).toEqual([]);
    monitor.observe(TICK, [], register(999));
    expect(reported()).toEqual([["E1", "register >= 1000", "999"]]);
  });

  test("energy up to the grants and one quantum is allowed, more is a breach of E2 whatever the meter says", () => {
    const state = stateWith({ channel: channelAt(200), account: { granted: 1_000, registerAtOpen: 0 } });
    delivered = 1_500;
    monitor.observe(TICK, [], state);
    expect(reported()).toEqual([]);
    delivered = 1_500.001;
    monitor.observe(TICK, [], state);
    expect(reported()).toEqual([["E2", "delivered <= 1500 mWh", "1500.001 mWh"]]);
  });

  test("light before anything was ever bought is a breach of E2", () => {
    delivered = 0.5;
    monitor.observe(TICK, [], BORN);
    expect(reported()).toEqual([["E2", "delivered <= 0 mWh", "0.500 mWh"]]);
  });

  test("only the first breaches of one light are kept", () => {
    delivered = 1;
    for (let step = 0; step < 1_000; step++) monitor.observe(TICK, [], BORN);
    expect(reported()).toHaveLength(8);
  });
});

describe("payments", () => {
  test("a rung answered for counts once, however often it was sent and its grant heard", () => {
    monitor.observe(TICK, [pay(100)], stateWith({ channel: channelAt(0) }));
    monitor.observe(TICK, [pay(100, true)], stateWith({ channel: channelAt(0) }));
    expect(monitor.unanswered(0)).toBe(0);
    expect(monitor.unanswered(100)).toBe(100);
    const answered = stateWith({ channel: channelAt(100), account: { granted: 500, registerAtOpen: 0 } });
    monitor.observe(TICK, [], answered);
    monitor.observe(TICK, [pay(100, true)], answered);
    monitor.observe(TICK, [], answered);
    expect([monitor.madeAtomic, monitor.resent, monitor.framesUp]).toEqual([100, 2, 3]);
  });

  test("a rung below one signed before is a breach of M1, unless it is that very rung again", () => {
    const state = stateWith({ channel: channelAt(0) });
    monitor.observe(TICK, [pay(100)], state);
    monitor.observe(TICK, [pay(200)], state);
    monitor.observe(TICK, [pay(100, true)], state);
    expect(reported()).toEqual([]);
    monitor.observe(TICK, [pay(150)], state);
    expect(reported()).toEqual([["M1", "a rung above 200, or one signed before", "150"]]);
    expect(monitor.signed()).toBe(200);
  });
});

describe("time without light", () => {
  const starved = stateWith({ wantedPercent: 100, levelPercent: 0 });
  const lit = stateWith({ wantedPercent: 100, levelPercent: 60 });
  const off = stateWith({ wantedPercent: 0, levelPercent: 0 });
  const at = (ms: number, state: State) => {
    nowMs = ms;
    monitor.observe(TICK, [], state);
  };

  test("counts from the evening's beginning, ends with light, and knows its longest piece", () => {
    at(0, starved);
    nowMs = 5_000;
    monitor.beginEvening();
    expect(monitor.starvation()).toEqual({ totalMs: 0, longestMs: 0 });
    at(6_000, lit);
    at(8_000, starved);
    at(9_000, starved);
    at(12_000, lit);
    at(13_000, starved);
    nowMs = 14_500;
    expect(monitor.starvation()).toEqual({ totalMs: 6_500, longestMs: 4_000 });
  });

  test("a lamp that should be dark starves of nothing", () => {
    monitor.beginEvening();
    at(0, off);
    at(60_000, off);
    expect(monitor.starvation()).toEqual({ totalMs: 0, longestMs: 0 });
  });
});
