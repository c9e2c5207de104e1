// Who gets as far as a login, by the rules alone: no socket, and a clock of the test's own.

import fc from "fast-check";
import { expect, test } from "vitest";
import { Admission, type ConnectionSlot, sourceOf } from "#gateway/broker/limits/admission";
import { RateLimits } from "#gateway/broker/limits/rate-limit";

const arrive = (admission: Admission, address = "192.0.2.1") => admission.arrive(address) as ConnectionSlot;

test("ten thousand good lights behind one address all get in, however often they come back", () => {
  const admission = new Admission({ connectionsMax: 20_000, nowMs: () => 0 });
  for (let round = 0; round < 3; round += 1) {
    const places = Array.from({ length: 10_000 }, () => {
      const place = arrive(admission);
      place.admit("ab".repeat(20), false);
      return place;
    });
    expect(admission.connections).toBe(10_000);
    for (const place of places) place.leave();
  }
  expect(admission.connections).toBe(0);
});

test("lights that gave up waiting may try again at once: only failures count", () => {
  const admission = new Admission({ connectionsMax: 20_000, nowMs: () => 0 });
  for (let attempt = 0; attempt < 10_000; attempt += 1) arrive(admission).leave();
  arrive(admission).admit("ab".repeat(20), false);
  expect(admission.connections).toBe(1);
});

test("an address that fails is slowed to fifty attempts a second; proven connections, and others, are not touched", () => {
  let nowMs = 0;
  const admission = new Admission({ connectionsMax: 20_000, nowMs: () => nowMs });
  const proven = arrive(admission);
  proven.admit("ab".repeat(20), false);
  const attempts = () => {
    let count = 0;
    for (
      let place = admission.arrive("192.0.2.1");
      place !== "source";
      place = admission.arrive("192.0.2.1")
    ) {
      if (place === "full") throw new Error("expected room");
      place.fail();
      place.leave();
      count += 1;
    }
    return count;
  };
  expect(attempts()).toBe(500);
  expect(admission.arrive("192.0.2.1")).toBe("source");
  expect(admission.arrive("192.0.2.2")).not.toBe("source");
  nowMs += 1_000;
  expect(attempts()).toBe(50);
  proven.leave();
});

test("from one address no more than a quarter of the places are held unproven, and no more than all at all", () => {
  const admission = new Admission({ connectionsMax: 100, nowMs: () => 0 });
  const held = Array.from({ length: 25 }, () => arrive(admission));
  expect(admission.arrive("192.0.2.1")).toBe("source");
  held[0]!.admit("ab".repeat(20), false);
  arrive(admission);
  for (let other = 2; admission.connections < 100; other += 1) {
    for (let count = 0; count < 20; count += 1) admission.arrive(`192.0.2.${other}`);
  }
  expect(admission.arrive("198.51.100.1")).toBe("full");
  for (const place of held) {
    place.leave();
    place.leave();
  }
  expect(admission.connections).toBe(75);
});

test.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:0:7::1", "2001:db8:0:7"],
  ["2001:0DB8:0000:0007:1:2:3:4", "2001:db8:0:7"],
  ["2001:db8::7:0:0:1", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
])("of %s an attacker is known by %s", (address, source) => {
  expect(sourceOf(address)).toBe(source);
});

test("an allowance gives its burst, then its rate, and never more, however it is asked", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ waitMs: fc.integer({ min: 0, max: 3_000 }), asks: fc.integer({ min: 1, max: 30 }) }),
        {
          maxLength: 40,
        },
      ),
      (steps) => {
        let nowMs = 0;
        const allowances = new RateLimits({ perSecond: 5, burst: 20 }, 100, () => nowMs);
        let given = 0;
        for (const { waitMs, asks } of steps) {
          nowMs += waitMs;
          for (let ask = 0; ask < asks; ask += 1) if (allowances.take("a")) given += 1;
          expect(given).toBeLessThanOrEqual(20 + (5 * nowMs) / 1000 + 1e-6);
        }
      },
    ),
  );
});

test("an allowance that was used up comes back, and a million names take the room of two hundred", () => {
  let nowMs = 0;
  const allowances = new RateLimits({ perSecond: 10, burst: 10 }, 100, () => nowMs);
  for (let count = 0; count < 10; count += 1) expect(allowances.take("a")).toBe(true);
  expect(allowances.take("a")).toBe(false);
  nowMs += 500;
  for (let count = 0; count < 5; count += 1) expect(allowances.take("a")).toBe(true);
  expect(allowances.take("a")).toBe(false);
  for (let name = 0; name < 1_000_000; name += 1) allowances.take(String(name));
  expect(allowances.size).toBeLessThanOrEqual(200);
});

test("where failures are used up only devices that buy are authenticated, each at a rate, and all of them at one", () => {
  let nowMs = 0;
  const admission = new Admission({ connectionsMax: 20_000, nowMs: () => nowMs });
  const arriveCheaply = () => admission.arrive("192.0.2.1", null, true) as ConnectionSlot;
  const failing = arriveCheaply();
  expect(failing.mayAuthenticate("a", true)).toBe(true);
  for (let count = 0; count < 500; count += 1) expect(failing.fail()).toBe(true);
  expect(failing.fail()).toBe(false);
  const place = arriveCheaply();
  expect(place.mayAuthenticate("a", true)).toBe(false);
  const attempts = (device: string) => Array.from({ length: 20 }, () => place.mayAuthenticate(device, false));
  expect(attempts("a").filter(Boolean)).toHaveLength(5);
  expect(attempts("b").filter(Boolean)).toHaveLength(5);
  const all = Array.from({ length: 1_000 }, (_, device) => place.mayAuthenticate(`${device}`, false));
  expect(all.filter(Boolean)).toHaveLength(490);
  nowMs += 2_000;
  for (let count = 0; count < 100; count += 1) failing.fail();
  expect(attempts("a").filter(Boolean)).toHaveLength(1);
});

test("newcomers leave a sixteenth of the places free, and the one that has been in for longest makes room", () => {
  const admission = new Admission({ connectionsMax: 160, nowMs: () => 0 });
  const ended: string[] = [];
  const arriveAt = (index: number) =>
    admission.arrive(`192.0.2.${index}`, (why) => ended.push(`${index} ${why}`)) as ConnectionSlot;
  const newcomers = Array.from({ length: 150 }, (_, index) => arriveAt(index));
  expect(newcomers.every((place, index) => place.admit(`${index}`, true))).toBe(true);
  expect([admission.isFull, arriveAt(150).admit("150", true)]).toEqual([true, false]);
  admission.longestNewcomer!.hasBought();
  expect(admission.longestNewcomer).toMatchObject({ device: "1" });
  admission.longestNewcomer!.makeRoom("displaced");
  expect(arriveAt(151).admit("151", false)).toBe(true);
  expect([ended, admission.isFull]).toEqual([["1 displaced"], true]);
  // The reserve filled with silence: the one that has been silent for longest makes room.
  for (let index = 0; admission.connections < 160; index += 1) arriveAt(200 + index);
  expect(arriveAt(250).admit("250", false)).toBe(true);
  expect(ended).toEqual(["1 displaced", "150 silent"]);
});
