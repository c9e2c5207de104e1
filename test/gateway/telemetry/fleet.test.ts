// The read model: what it makes of what the rules tell, and its bounds.

import fc from "fast-check";
import { expect, test } from "vitest";
import { energy, meterShows, rate } from "#gateway/dashboard/format";
import type { GatewayEvent } from "#gateway/purchase/ports";
import { type AlarmConditions, Alarms } from "#gateway/telemetry/alarms";
import { frameOf } from "#gateway/telemetry/decoded-frames";
import { Fleet } from "#gateway/telemetry/fleet-view";
import { SAMPLES_MAX } from "#gateway/telemetry/history";
import { CONDITIONS } from "#gateway/telemetry/labels";
import { daysLeft } from "#gateway/telemetry/light-view";
import { limitNotes } from "#gateway/telemetry/limited-log";
import { readLocations } from "#gateway/telemetry/locations";
import { channelRecord, deviceName, PRICE, stateOf, TARIFF, TOKENS } from "../http/fixtures.ts";

const START = 1_800_000_000;
const [PAID] = TOKENS;

function bench(lightsMax = 100) {
  let now = START;
  const fleet = new Fleet({ locations: new Map(), lightsMax, tokens: [PAID], now: () => now });
  return {
    fleet,
    pass: (seconds: number) => {
      now += seconds;
    },
    now: () => now,
  };
}

const answered = (index: number, charged: number, refusal: "unfunded" | null = null): GatewayEvent => ({
  type: "answered",
  device: deviceName(index),
  channel: channelRecord(index, charged, 10_000),
  grant: {
    refusal,
    channelTag: 1,
    charged,
    granted: charged * 5,
    pricePerMillionUnits: PRICE,
    validUntilSeconds: 0,
  },
  tookSeconds: 0,
});

const occurrence: fc.Arbitrary<GatewayEvent> = fc
  .record({
    index: fc.nat(12),
    kind: fc.nat(7),
    level: fc.nat(100),
    amount: fc.nat(50),
    starved: fc.boolean(),
  })
  .map(({ index, kind, level, amount, starved }): GatewayEvent => {
    const device = deviceName(index);
    const powerMilliwatts = level * 600;
    if (kind === 0) return { type: "lost", device };
    if (kind === 7) {
      const unit = starved ? "ms" : "mWh";
      const hello = {
        v: 1,
        publicKey: "0x",
        model: "m",
        firmware: "1",
        meter: "m",
        unit,
        wantedUnits: 1,
        register: 0,
      } as const;
      return { type: "hello", device, hello };
    }
    if (kind === 1) return answered(index, amount * 100);
    if (kind === 2) return answered(index, amount * 100, "unfunded");
    if (kind === 3)
      return { type: "reading", device, reading: { v: 1, register: level, powerMilliwatts, atSeconds: 0 } };
    if (kind === 4) return { type: "dropped", device, leaf: "pay", reason: "wrong-tag" };
    if (kind === 5) return { type: "offered", device, channel: channelRecord(index, 0), tariff: TARIFF };
    return { type: "state", device, state: stateOf({ levelPercent: level, powerMilliwatts, starved }) };
  });

test("sums kept as things happen are the sums over all lights, whatever happens", () => {
  fc.assert(
    fc.property(fc.array(occurrence, { maxLength: 200 }), (occurrences) => {
      const { fleet } = bench();
      for (const each of occurrences) fleet.observe(each);
      const { lights, powerMilliwatts, spentAtomic, payments } = fleet.summary();
      for (const condition of CONDITIONS) {
        expect(lights[condition]).toBe(fleet.lights.filter((light) => light.condition === condition).length);
      }
      const sum = (of: (light: (typeof fleet.lights)[number]) => number) =>
        fleet.lights.reduce((total, light) => total + of(light), 0);
      // A computer's milliseconds an hour are no power.
      expect(powerMilliwatts).toBe(sum(({ unit, powerMilliwatts: own }) => (unit === "mWh" ? own : 0)));
      expect(spentAtomic).toBe(sum((light) => light.spentAtomic));
      expect(payments).toBe(sum((light) => light.payments));
    }),
  );
});

test("a client that reads changes since a revision, in parts, gets every changed light once", () => {
  fc.assert(
    fc.property(
      fc.array(occurrence, { maxLength: 120 }),
      fc.nat(60),
      fc.integer({ min: 1, max: 5 }),
      (all, cut, limit) => {
        const { fleet } = bench();
        for (const each of all.slice(0, cut)) fleet.observe(each);
        const since = fleet.revision;
        for (const each of all.slice(cut)) fleet.observe(each);
        const seen: string[] = [];
        let revision = since;
        for (;;) {
          const part = fleet.changedSince(revision, limit);
          if (part.length === 0) break;
          seen.push(...part.map(({ device }) => device));
          revision = part.at(-1)!.revision;
        }
        const changed = fleet.lights.filter((light) => light.revision > since).map(({ device }) => device);
        expect(seen.toSorted()).toEqual(changed.toSorted());
      },
    ),
  );
});

test("a rung answered again is paid once", () => {
  const { fleet } = bench();
  fleet.observe({ type: "offered", device: deviceName(1), channel: channelRecord(1, 0), tariff: TARIFF });
  for (const charged of [100, 100, 200, 200, 200]) fleet.observe(answered(1, charged));
  expect(fleet.light(deviceName(1))).toMatchObject({ payments: 2, spentAtomic: 200, charged: 200 });
});

test("days left follow what was spent over a day, never an extrapolated minute", () => {
  const { fleet, pass, now } = bench();
  fleet.observe({
    type: "offered",
    device: deviceName(1),
    channel: channelRecord(1, 0, 10_000),
    tariff: TARIFF,
  });
  fleet.observe(answered(1, 100));
  const light = fleet.light(deviceName(1))!;
  expect(daysLeft(light, now())).toBeNull();
  for (let hour = 1; hour <= 24; hour++) {
    pass(3600);
    fleet.observe(answered(1, 100 + hour * 100));
  }
  // 2,500 spent in a day of a deposit of 10,000: 7,500 are left.
  expect(daysLeft(light, now())).toBeCloseTo(3, 5);
});

test("lights beyond the limit and samples beyond two days are not kept", () => {
  const { fleet, pass } = bench(3);
  for (let index = 0; index < 10; index++) fleet.observe({ type: "lost", device: deviceName(index) });
  expect(fleet.lights).toHaveLength(3);
  for (let minute = 0; minute < SAMPLES_MAX.minutes + 500; minute++) {
    pass(60);
    fleet.sample();
  }
  expect(fleet.history.samples("seconds")).toHaveLength(SAMPLES_MAX.seconds);
  const minutes = fleet.history.samples("minutes");
  expect(minutes).toHaveLength(SAMPLES_MAX.minutes);
  expect(minutes.at(-1)!.atSeconds - minutes[0]!.atSeconds).toBe((SAMPLES_MAX.minutes - 1) * 60);
});

test("a client whose messages must be dropped is counted and is no light", () => {
  const { fleet } = bench();
  fleet.observe({ type: "dropped", device: deviceName(1), leaf: "hello", reason: "wrong-tag" });
  expect(fleet.lights).toHaveLength(0);
  expect(fleet.summary().dropped).toBe(1);
});

test("a frame shows counters, never a signature", () => {
  const signature = new Uint8Array(65).fill(0xab);
  const pay = {
    again: false,
    channelTag: 0xdeadbeef,
    maxClaimable: 300,
    register: 5,
    validBeforeSeconds: 0,
    signature,
  };
  const frame = frameOf({ type: "pay", device: deviceName(1), pay }, START);
  expect(frame).toMatchObject({
    direction: "up",
    leaf: "pay",
    fields: { maxClaimable: 300, channelTag: "0xdeadbeef" },
  });
  expect(JSON.stringify(frame)).not.toMatch(/abab|171/);
});

test("an alarm has to hold for a minute to begin and to end, and is raised once", () => {
  const { fleet, now, pass } = bench();
  const alarms = new Alarms({ lowBalanceDays: 1 });
  const around: AlarmConditions = { sellerDown: null, treasury: [], differences: 0 };
  const look = (seconds: number, surroundings = around) => {
    const reported = [];
    for (let second = 0; second < seconds; second += 5) {
      pass(5);
      reported.push(...alarms.look(fleet, surroundings, now()).map(({ kind, phase }) => `${kind} ${phase}`));
    }
    return reported;
  };
  fleet.observe({ type: "state", device: deviceName(1), state: stateOf({ starved: true }) });
  expect(look(30)).toEqual([]);
  expect(look(300)).toEqual(["starved begins"]);
  fleet.observe({ type: "state", device: deviceName(1), state: stateOf() });
  expect(look(30)).toEqual([]);
  fleet.observe({ type: "state", device: deviceName(1), state: stateOf({ starved: true }) });
  fleet.observe({ type: "state", device: deviceName(1), state: stateOf() });
  expect(look(300)).toEqual(["starved ends"]);
  const down = { ...around, sellerDown: "ECONNREFUSED" };
  expect(look(120, down)).toEqual(["seller-down begins"]);
  expect(look(5, { ...down, differences: 1 })).toEqual(["ledger-differs begins"]);
  expect(look(120, { ...around, treasury: [{ ...PAID, balanceAtomic: 5, lowBalanceAtomic: 0 }] })).toEqual([
    "ledger-differs ends",
    "seller-down ends",
  ]);
});

test("one refusal reason of a whole fleet is one line, with a count in the next", () => {
  const lines: string[] = [];
  let nowMs = 0;
  const note = limitNotes(
    (_level, text, fields) => lines.push(`${text} ${fields.leftOut ?? 0}`),
    () => nowMs,
  );
  for (let i = 0; i < 500; i++)
    note("warn", "the seller did not sell", { reason: `busy 0x${i.toString(16)}` });
  note("warn", "the seller did not sell", { reason: "expired" });
  expect(lines).toEqual(["the seller did not sell 0", "the seller did not sell 0"]);
  nowMs += 60_000;
  note("warn", "the seller did not sell", { reason: "busy 0x7" });
  expect(lines[2]).toBe("the seller did not sell 499");
});

test("places are read with their names, and a wrong line is reported by its number", () => {
  const device = deviceName(1);
  const head = "device,name,latitude,longitude\n";
  expect(
    readLocations(`${head}0x${device},"Bridge, north ""A""",64.15,-21.94\n\n`, "p.csv").get(device),
  ).toEqual({
    name: 'Bridge, north "A"',
    latitude: 64.15,
    longitude: -21.94,
  });
  const wrong = (line: string) => () => readLocations(`${head}${line}\n`, "p.csv");
  expect(wrong(`${device},x,91,0`)).toThrow("p.csv: line 2: expected degrees within 90 and 180, found 91, 0");
  expect(wrong("12,x,1,1")).toThrow("line 2: expected a device's address");
  expect(wrong(`${device},x,1`)).toThrow("line 2: expected 4 fields");
  expect(wrong(`${device},x,1,1\n${device},y,1,1`)).toThrow("line 3: expected each device once");
  expect(() => readLocations("name\n", "p.csv")).toThrow("line 1: expected the header");
});

test("what the meter shows beside its counter is the latest reading's, and nothing where it shows none", () => {
  const { fleet } = bench();
  const device = deviceName(1);
  const read = (more: object) =>
    fleet.observe({
      type: "reading",
      device,
      reading: { v: 1, register: 5, powerMilliwatts: 60_000, atSeconds: 0, ...more },
    });
  const page = () => meterShows(fleet.light(device)!);
  read({ voltageMillivolts: 229_800, currentMilliamps: 262, frequencyMillihertz: 50_010, quality: "good" });
  expect(page()).toBe("229.8 V, 0.262 A, 50.01 Hz");
  read({ voltageMillivolts: 12_100 });
  expect(page()).toBe("12.1 V");
  read({ quality: "suspect" });
  expect(page()).toBe("what cannot be");
  read({ quality: "stale" });
  expect(page()).toBe("nothing");
  read({});
  expect(page()).toBe("–");
});

test("what a load uses is shown as power where it is metered in mWh, else in units per second", () => {
  expect(rate(60_000, "mWh")).toEqual(["60", "W"]);
  expect(rate(2 * 3_600_000, "ms")).toEqual(["2,000", "ms/s"]);
  expect(rate(3_600, "s")).toEqual(["1", "s/s"]);
  expect(energy(1_500, "ms")).toBe("1,500 ms");
});
