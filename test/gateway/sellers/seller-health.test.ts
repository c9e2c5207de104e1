// A seller that sells to nobody is in trouble whatever it says; what it refuses to one device moves no other.

import { expect, test } from "vitest";
import { openSellerHealth } from "#gateway/sellers/seller-health";
import { testTimer } from "./timer.ts";

const AWAY_AFTER_MS = 20_000;

function standingOf() {
  const timer = testTimer();
  const standing = openSellerHealth(timer, AWAY_AFTER_MS, () => {});
  standing.answered();
  return { standing, timer };
}

test("a seller that refuses all payments, of one device or of many, is left after the stated time", () => {
  for (const devices of [["a"], ["a", "b"]]) {
    const { standing, timer } = standingOf();
    for (let i = 0; i < 2; i++) standing.refused(devices[i % devices.length]!, "no facilitator");
    expect(standing.name).toBe("troubled");
    // It goes on to answer what costs nothing.
    standing.answered();
    timer.pass(AWAY_AFTER_MS);
    expect([standing.name, standing.reason]).toEqual(["away", "no facilitator"]);
    standing.answered();
    expect(standing.name).toBe("trial");
    standing.refused("a", "still none");
    expect(standing.name).toBe("away");
  }
});

test("what one device is refused moves nobody while others are sold to", () => {
  const { standing, timer } = standingOf();
  for (let minute = 0; minute < 60; minute++) {
    standing.paid("b");
    for (let i = 0; i < 5; i++) standing.refused("a", "odd");
    timer.pass(60_000);
    expect(standing.name).toBe("good");
  }
});

test("others that were sold to a moment ago are waited for: refused as well, they leave; never heard, it is left", () => {
  const one = standingOf();
  one.standing.paid("b");
  for (let i = 0; i < 2; i++) one.standing.refused("a", "odd");
  one.timer.pass(2 * AWAY_AFTER_MS);
  expect(one.standing.name).toBe("good");
  one.standing.refused("b", "odd");
  one.timer.pass(AWAY_AFTER_MS);
  expect(one.standing.name).toBe("away");

  const alone = standingOf();
  alone.standing.paid("b");
  alone.standing.paid("a");
  for (let i = 0; i < 2; i++) alone.standing.refused("a", "odd");
  alone.timer.pass(120_000);
  alone.standing.refused("a", "odd");
  alone.timer.pass(AWAY_AFTER_MS);
  expect(alone.standing.name).toBe("away");
});

test("a seller whose tariff is fine and that quotes nothing is left, and has its devices back with its next quote", () => {
  const { standing, timer } = standingOf();
  for (let i = 0; i < 2; i++) standing.quoteFailed("HTTP 404");
  standing.answered();
  timer.pass(AWAY_AFTER_MS);
  standing.answered();
  expect(standing.name).toBe("away");
  standing.quoted();
  expect(standing.name).toBe("good");
});
