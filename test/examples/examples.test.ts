// The examples do what they say, imported as a stranger's programs import the package.

import { expect, test } from "vitest";
import { outputOf } from "./output.ts";

const numbersOf = (line: string) => (line.match(/\d+/g) ?? []).map(Number);

test("a minimal device buys its light by an MQTT client of its own, and is granted what it was charged for", async () => {
  const [line] = await outputOf(() => import("./minimal-device.ts"));
  const [, used, granted, charged] = /metered (\d+) mWh, was granted (\d+) mWh for (\d+) atomic/.exec(line!)!;
  expect(Number(charged)).toBeGreaterThanOrEqual(500);
  expect(Number(granted)).toBe(Number(charged) * 5);
  expect(Number(used)).toBeGreaterThan(0);
});

test("a stock seller behind a gateway is paid for each portion that it sells", async () => {
  const [sold, amount, charged, granted] = numbersOf((await outputOf(() => import("./stock-seller.ts")))[0]!);
  expect(amount).toBe(100);
  expect(charged).toBeGreaterThanOrEqual(500);
  expect(granted).toBe((charged! / 100) * 500);
  // A light that stops may leave its last payment unanswered.
  expect(sold! * 100 - charged!).toBeOneOf([0, 100]);
});

test("a meter by a register map of one's own is read in milliwatt-hours and milliwatts", async () => {
  expect(await outputOf(() => import("./custom-meter.ts"))).toEqual([
    expect.stringMatching(/^my-meter, slave 3 on 127\.0\.0\.1:\d+: counter 12340000 mWh, power 60 W$/),
    "the machine reads 12340000 mWh at 60000 mW",
  ]);
});

test("a session by the second is open while it is paid for, and closes when nobody wants it any more", async () => {
  const [seconds, opened, granted, charged] = numbersOf(
    (await outputOf(() => import("./paid-session.ts")))[0]!,
  );
  expect(seconds).toBeGreaterThanOrEqual(5);
  expect(opened).toBeGreaterThanOrEqual(1);
  // E2: never more than was granted and one quantum, which is two seconds.
  expect(seconds).toBeLessThanOrEqual(granted! + 2);
  expect(charged).toBe(granted! * 50);
});
