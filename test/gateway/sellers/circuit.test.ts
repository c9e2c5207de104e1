// A seller that fails is left alone, asked once after a pause, and gets its devices back by one payment.

import fc from "fast-check";
import { expect, test } from "vitest";
import {
  CALLS_LOOKED_AT,
  FAILURES_TO_OPEN,
  openCircuit,
  PAUSE_FIRST_MS,
  PAUSE_MAX_MS,
} from "#gateway/sellers/circuit";
import { openConcurrencyLimit } from "#gateway/sellers/client/concurrency-limit";
import { SellerHealth } from "#gateway/sellers/seller-health";
import { testTimer } from "./timer.ts";

const AWAY_AFTER_MS = 20_000;

function circuitOf(timer = testTimer()) {
  const events: string[] = [];
  const circuit = openCircuit(timer, {
    opened: () => events.push("opened"),
    halfOpened: () => events.push("half-opened"),
    closed: () => events.push("closed"),
  });
  /** Whether the call was let through. */
  const call = (isGood: boolean, kind: "call" | "probe" = "call") => {
    const end = circuit.begin(kind);
    if (typeof end !== "string") end(isGood);
    return typeof end !== "string";
  };
  return { circuit, call, events, timer };
}

test("five failures of the last ten calls open the circuit, four do not", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (ends) => {
      const { circuit, call } = circuitOf();
      const seen: boolean[] = [];
      for (const end of ends) {
        if (circuit.state !== "closed") break;
        call(end);
        seen.push(end);
        const failed = seen.slice(-CALLS_LOOKED_AT).filter((good) => !good).length;
        expect(circuit.state).toBe(failed >= FAILURES_TO_OPEN ? "open" : "closed");
      }
    }),
  );
});

test("an open circuit lets nothing through; a half-open one lets one probe through and no payment", () => {
  const { circuit, call, timer, events } = circuitOf();
  for (let i = 0; i < FAILURES_TO_OPEN; i++) call(false);
  expect([call(true), call(true, "probe")]).toEqual([false, false]);
  timer.pass(PAUSE_FIRST_MS);
  expect(circuit.state).toBe("half-open");
  expect(call(true)).toBe(false);
  const probe = circuit.begin("probe");
  expect(circuit.begin("probe")).toContain("is being tried");
  (probe as (isGood: boolean) => void)(true);
  expect(circuit.state).toBe("closed");
  expect(events).toEqual(["opened", "half-opened", "closed"]);
});

test("pauses double to a minute, have their jitter, and begin anew once the seller has sold", () => {
  for (const random of [0, 1]) {
    const { circuit, call, timer } = circuitOf(testTimer(random));
    const pauses: number[] = [];
    for (let i = 0; i < FAILURES_TO_OPEN; i++) call(false);
    for (let opening = 0; opening < 9; opening++) {
      const sinceMs = timer.nowMs();
      while (circuit.state === "open") timer.pass(10);
      pauses.push(timer.nowMs() - sinceMs);
      call(false, "probe");
    }
    const full = pauses.map((_, index) => Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** index));
    expect(pauses).toEqual(full.map((ms) => ms * (0.5 + random / 2)));
    timer.pass(PAUSE_MAX_MS);
    call(true, "probe");
    circuit.recovered();
    for (let i = 0; i < FAILURES_TO_OPEN; i++) call(false);
    timer.pass(PAUSE_FIRST_MS);
    expect(circuit.state).toBe("half-open");
  }
});

test("a call that began before the circuit opened says nothing of the time after", () => {
  const { circuit, call, timer } = circuitOf();
  const late = circuit.begin("call") as (isGood: boolean) => void;
  for (let i = 0; i < FAILURES_TO_OPEN; i++) call(false);
  timer.pass(PAUSE_FIRST_MS);
  late(true);
  expect(circuit.state).toBe("half-open");
});

function standingOf(timer = testTimer()) {
  const told: string[] = [];
  const health = new SellerHealth(timer, AWAY_AFTER_MS, (moves) =>
    told.push(`${health.name}${moves ? "!" : ""}`),
  );
  return { health, told, timer };
}

test("a seller in trouble keeps its devices for the stated time, and for good when it sells in time", () => {
  const { health, told, timer } = standingOf();
  health.answered();
  health.failing("HTTP 500");
  timer.pass(AWAY_AFTER_MS - 1);
  expect(health.name).toBe("troubled");
  health.paid("a");
  timer.pass(AWAY_AFTER_MS);
  expect(told).toEqual(["good!", "troubled", "good"]);
});

test("a seller that was away gets all devices back when one has paid, and after failed trials ever later", () => {
  const { health, told, timer } = standingOf();
  health.answered();
  for (let i = 0; i < 2; i++) health.paymentFailed("reset");
  timer.pass(AWAY_AFTER_MS);
  expect(health.name).toBe("away");
  const waits: number[] = [];
  for (let trial = 0; trial < 8; trial++) {
    const sinceMs = timer.nowMs();
    while (health.name === "away") {
      health.answered();
      if (health.name === "away") timer.pass(1_000);
    }
    waits.push(timer.nowMs() - sinceMs);
    health.paymentFailed("reset again");
  }
  const minutes = [0, 0.5, 1, 2, 4, 8, 16, 30];
  expect(waits).toEqual(minutes.map((wait) => wait * 60_000));
  timer.pass(30 * 60_000);
  health.answered();
  health.paid("a");
  expect(told.slice(0, 4)).toEqual(["good!", "troubled", "away!", "trial!"]);
  expect(health.name).toBe("good");
});

test("a seller that answers again goes on no trial while it has failed again meanwhile", () => {
  const { health, timer } = standingOf();
  health.answered();
  for (let i = 0; i < 2; i++) health.paymentFailed("reset");
  timer.pass(AWAY_AFTER_MS);
  health.answered();
  health.paymentFailed("reset");
  health.answered();
  health.failing("ECONNREFUSED");
  timer.pass(60_000);
  expect(health.name).toBe("away");
});

test("a turnstile lets so many in, so many wait in their order, and refuses the rest at once", async () => {
  const turnstile = openConcurrencyLimit(2, 3);
  const order: number[] = [];
  const outs: (() => void)[] = [];
  const entries = [0, 1, 2, 3, 4].map((number) =>
    turnstile.enter()!.then((leave) => {
      order.push(number);
      outs.push(leave);
    }),
  );
  expect(turnstile.enter()).toBeNull();
  await Promise.all(entries.slice(0, 2));
  expect([order, turnstile.inside, turnstile.waiting]).toEqual([[0, 1], 2, 3]);
  for (const entry of entries) {
    await entry;
    outs.shift()!();
  }
  expect([order, turnstile.inside, turnstile.waiting]).toEqual([[0, 1, 2, 3, 4], 0, 0]);
});
