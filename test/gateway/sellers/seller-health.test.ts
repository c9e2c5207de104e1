// A seller that sells to no device is in trouble whatever it says; what it refuses to one device moves no other.

import { expect, test } from "vitest";
import { SellerHealth } from "#gateway/sellers/seller-health";
import { testTimer } from "./timer.ts";

const AWAY_AFTER_MS = 20_000;

function standingOf() {
  const timer = testTimer();
  const health = new SellerHealth(timer, AWAY_AFTER_MS, () => {});
  health.answered();
  return { health, timer };
}

test("a seller that refuses all payments, of one device or of many, is left after the stated time", () => {
  for (const devices of [["a"], ["a", "b"]]) {
    const { health, timer } = standingOf();
    for (let i = 0; i < 2; i++) health.refused(devices[i % devices.length]!, "no facilitator");
    expect(health.name).toBe("troubled");
    // It goes on to answer what costs nothing.
    health.answered();
    timer.pass(AWAY_AFTER_MS);
    expect([health.name, health.reason]).toEqual(["away", "no facilitator"]);
    health.answered();
    expect(health.name).toBe("trial");
    health.refused("a", "still none");
    expect(health.name).toBe("away");
  }
});

test("one device's refusals move no device while others are sold to", () => {
  const { health, timer } = standingOf();
  for (let minute = 0; minute < 60; minute++) {
    health.paid("b");
    for (let i = 0; i < 5; i++) health.refused("a", "odd");
    timer.pass(60_000);
    expect(health.name).toBe("good");
  }
});

test("others that were sold to a moment ago are waited for: refused as well, they leave; never heard, it is left", () => {
  const one = standingOf();
  one.health.paid("b");
  for (let i = 0; i < 2; i++) one.health.refused("a", "odd");
  one.timer.pass(2 * AWAY_AFTER_MS);
  expect(one.health.name).toBe("good");
  one.health.refused("b", "odd");
  one.timer.pass(AWAY_AFTER_MS);
  expect(one.health.name).toBe("away");

  const alone = standingOf();
  alone.health.paid("b");
  alone.health.paid("a");
  for (let i = 0; i < 2; i++) alone.health.refused("a", "odd");
  alone.timer.pass(120_000);
  alone.health.refused("a", "odd");
  alone.timer.pass(AWAY_AFTER_MS);
  expect(alone.health.name).toBe("away");
});

test("a seller whose tariff is fine and that quotes nothing is left, and has its devices back with its next quote", () => {
  const { health, timer } = standingOf();
  for (let i = 0; i < 2; i++) health.quoteFailed("HTTP 404");
  health.answered();
  timer.pass(AWAY_AFTER_MS);
  health.answered();
  expect(health.name).toBe("away");
  health.quoted();
  expect(health.name).toBe("good");
});

test("a seller that has nothing left loses its devices at once, and is tried again at growing intervals until it sells", () => {
  const { health, timer } = standingOf();
  health.paid("b");
  health.soldOut("sold_out");
  for (const waitMs of [30_000, 60_000, 120_000]) {
    expect(health.name).toBe("away");
    // Payments that were on their way are refused, too, and put nothing off.
    health.soldOut("sold_out");
    timer.pass(waitMs / 4);
    health.answered();
    expect(health.name).toBe("away");
    timer.pass(waitMs);
    health.answered();
    expect(health.name).toBe("trial");
    health.soldOut("sold_out");
  }
  timer.pass(30 * 60_000);
  health.answered();
  health.paid("a");
  expect(health.name).toBe("good");
});
