import { mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PowerIntegral } from "#hardware/meters/chips/power-integral";
import { KeptCounter, RESERVE_MS } from "#hardware/meters/pulse/kept-counter";
import { temporaryFolder } from "./harness.ts";

const POWER_MAX = 100_000;
/** Milliwatt-hours of full power that one write reserves: 3.3 Wh. */
const RESERVE = Math.ceil((POWER_MAX * RESERVE_MS) / 3_600_000);

let folder: ReturnType<typeof temporaryFolder>;
let file: string;
beforeEach(() => {
  folder = temporaryFolder();
  file = join(folder.path, "meter.counter");
});
afterEach(() => folder.remove());

const open = () => new KeptCounter(file, POWER_MAX);

describe("a kept counter", () => {
  it("goes on exactly where it was after a stop in good order", async () => {
    const first = open();
    first.add(1234.4);
    await first.close(77);
    const second = open();
    expect([second.shown(), second.chip]).toEqual([1235, 77]);
  });

  it("never falls and never gains more than its reserve, whatever is cut and stopped in between", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ add: fc.integer({ min: 0, max: 2000 }), end: fc.constantFrom("no", "cut", "stop") }),
          {
            maxLength: 40,
          },
        ),
        async (steps) => {
          rmSync(file, { force: true });
          let counter = open();
          let shown = 0;
          let used = 0;
          let cuts = 0;
          for (const { add, end } of steps) {
            counter.add(add);
            used += add;
            await counter.settled();
            expect(counter.shown()).toBeGreaterThanOrEqual(shown);
            shown = counter.shown();
            if (end === "no") continue;
            if (end === "stop") await counter.close();
            else cuts++;
            counter = open();
            expect(counter.shown()).toBeGreaterThanOrEqual(shown);
            shown = counter.shown();
          }
          expect(counter.shown()).toBeLessThanOrEqual(used + cuts * (RESERVE + 1) + 1);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("shows nothing that the disk does not cover yet", async () => {
    const counter = open();
    counter.add(500);
    expect(counter.shown()).toBe(0);
    await counter.settled();
    expect(counter.shown()).toBe(500);
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ mark: 500 + RESERVE, exact: false });
  });

  it("catches up when more is counted during a write than the write reserves", async () => {
    const counter = open();
    for (let second = 0; second < 10; second++) counter.add(RESERVE);
    await counter.settled();
    expect(counter.shown()).toBe(10 * RESERVE);
  });

  it("writes 240 times in a twelve-hour night of 60 W, and at most 800 times a day at full power", async () => {
    const writesIn = async (powerMilliwatts: number, seconds: number) => {
      rmSync(file, { force: true });
      const counter = open();
      let writes = 0;
      let before = "";
      // Ten seconds a step: writes are counted by what the file says.
      for (let second = 0; second < seconds; second += 10) {
        counter.add((powerMilliwatts * 10) / 3600);
        await counter.settled();
        const text = readFileSync(file, "utf8");
        if (text !== before) writes++;
        before = text;
      }
      return writes;
    };
    const night = await writesIn(60_000, 12 * 3600);
    expect(night).toBeGreaterThan(200);
    expect(night).toBeLessThanOrEqual(245);
    expect(await writesIn(POWER_MAX, 6 * 3600)).toBeLessThanOrEqual(200);
  });

  it("stands still and says so while the disk cannot be written", async () => {
    mkdirSync(`${file}.new`);
    const counter = open();
    counter.add(10);
    await counter.settled();
    expect(counter.shown()).toBe(0);
    expect(counter.trouble()).toContain(
      "expected to store the meter's counter, found EISDIR; free or repair",
    );
    rmdirSync(`${file}.new`);
    counter.add(1);
    await counter.settled();
    expect([counter.shown(), counter.trouble()]).toEqual([11, null]);
  });

  it("refuses a file that is no counter, with the remedy", () => {
    for (const text of ["", "{}", '{"mark":-1,"exact":true}', "\0\0\0\0"]) {
      writeFileSync(file, text);
      expect(open).toThrow("remove the file to begin again at 0");
    }
  });
});

describe("the energy of sampled power", () => {
  it("is the time that passed times the power, whatever the samples' distance", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 4999 }), { minLength: 1, maxLength: 50 }), (steps) => {
        const integral = new PowerIntegral(1000);
        let nowMs = 0;
        let energy = integral.take(36_000, nowMs).milliwattHours;
        for (const step of steps) {
          nowMs += step;
          energy += integral.take(36_000, nowMs).milliwattHours;
        }
        expect(energy).toBeCloseTo((36_000 * nowMs) / 3_600_000, 6);
      }),
    );
  });

  it("counts a gap at the higher of its ends, and reports its length", () => {
    const integral = new PowerIntegral(1000);
    integral.take(60_000, 0);
    expect(integral.take(0, 60_000)).toEqual({ milliwattHours: 1000, gapMs: 60_000 });
    expect(integral.take(0, 61_000)).toEqual({ milliwattHours: 0, gapMs: 0 });
  });
});
