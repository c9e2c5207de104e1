import { expect, it } from "vitest";
import type { State } from "#core/machine";
import { Charger } from "#hardware/charger/charger";
import type { Conversation } from "#hardware/charger/conversation";
import { memoryStore } from "#hardware/charger/metering/kept-charger";
import type { StationCommands } from "#hardware/charger/ocpp/ports";
import { readChargerSettings } from "#hardware/charger/settings";
import { TurnClock } from "../../simulator/charging/turn-clock.ts";

const EPOCH = 1_800_000_000;
const CHARGE_POINT = { identity: "CP-1", host: "127.0.0.1", max_amps: 16 };
const SETTINGS = readChargerSettings(CHARGE_POINT);

/** A charge point that takes whatever it is told, but for what is given. */
function accepting(start = async () => true, setLimit = async () => true): StationCommands {
  const accept = async () => true;
  const commands = { setDefault: accept, setLimit, stop: accept, configure: async () => [], start };
  return commands as unknown as StationCommands;
}

it("what could not be stored is stored when the store takes it again", async () => {
  const clock = new TurnClock(EPOCH);
  const store = memoryStore();
  let isFull = true;
  const charger = new Charger({
    settings: SETTINGS,
    clock,
    store: { load: store.load, save: (kept) => (isFull ? "the disk is full" : store.save(kept)) },
  });
  charger.conversation.started({ connector: 1, idTag: "card", transactionId: null });
  expect(charger.isStored()).toBe(false);
  isFull = false;
  await clock.run(60_000);
  expect(charger.isStored()).toBe(true);
  expect(store.load().lastTransaction).toBe(charger.conversation.lastTransaction());
});

it("a side without a trusted clock tells its charge point no time before what it remembers", () => {
  const clock = Object.assign(new TurnClock(EPOCH), { wallSeconds: () => null });
  const store = memoryStore();
  const tracks = [{ key: "1", raw: 5_000, atSeconds: EPOCH }];
  store.save({ ...store.load(), register: { ...store.load().register, tracks } });
  const charger = new Charger({ settings: SETTINGS, clock, store });
  expect(charger.conversation.wallSeconds()).toBe(EPOCH);
});

it("a value from later than its clock is known to show, or of a clock that was not heard yet, is of an age that nobody knows: by it nothing is metered or judged", () => {
  for (const [seconds, isHeard, isKnown] of [
    [600, true, false],
    [0, false, false],
    [0, true, true],
  ] as const) {
    const clock = new TurnClock(EPOCH);
    const { conversation, meter } = new Charger({ settings: SETTINGS, clock, store: memoryStore() });
    if (isHeard) conversation.clockSeen(EPOCH, true);
    const value = { energyMilliwattHours: 1e6, powerMilliwatts: 0 };
    const sample = { connector: 1, transactionId: null, begins: false, atSeconds: EPOCH + seconds, value };
    conversation.sampled(sample as Parameters<typeof conversation.sampled>[0]);
    meter.read((reading) => expect(reading !== null).toBe(isKnown));
  }
});

it("after a restart in the middle of a transaction a register that began at 0 with it goes on where it stood", async () => {
  const clock = new TurnClock(EPOCH);
  const store = memoryStore();
  const open = () => new Charger({ settings: SETTINGS, clock, store }).conversation;
  /** An hour later. */
  const sampled = async (to: Conversation, transactionId: string, energyMilliwattHours: number) => {
    await clock.run(clock.nowMs() + 3_600_000);
    const value = { energyMilliwattHours, powerMilliwatts: 0 };
    const begins = energyMilliwattHours === 0;
    const sample = { connector: 1, transactionId, begins, atSeconds: clock.wallSeconds(), value };
    to.sampled(sample as Parameters<Conversation["sampled"]>[0]);
  };
  const before = open();
  before.started({ connector: 1, idTag: "card", transactionId: "a" });
  await sampled(before, "a", 0);
  await sampled(before, "a", 3e6);
  before.ended("a", "by-driver", clock.wallSeconds());
  before.started({ connector: 1, idTag: "card", transactionId: "b" });
  await sampled(before, "b", 0);
  await sampled(before, "b", 4e6);
  const after = open();
  await sampled(after, "b", 5e6);
  expect(store.load().register.total).toBe(8e6);
  // Its end was never said.
  await sampled(open(), "c", 0);
  expect(store.load().register.total).toBe(8e6);
});

it("a car that comes while the charge point is out of reach is served, whichever is heard first: its coming or the end of the one before", async () => {
  for (const order of ["end, status", "status, end"]) {
    const clock = new TurnClock(EPOCH);
    const charger = new Charger({ settings: SETTINGS, clock, store: memoryStore() });
    const { conversation } = charger;
    let starts = 0;
    charger.station(accepting(async () => ++starts > 0));
    const status = (word: string, plugged: boolean, atSeconds: number) =>
      conversation.status({ connector: 1, plugged, word, faulted: false, atSeconds });
    status("Preparing", true, EPOCH);
    conversation.started({ connector: 1, idTag: "card", transactionId: "a" });
    const said = {
      end: () => conversation.ended("a", "car-gone", EPOCH + 60),
      status: () => status("Preparing", true, EPOCH + 120),
    };
    for (const one of order.split(", ")) said[one as "end" | "status"]();
    await clock.run(clock.nowMs() + 60_000);
    expect(starts).toBeGreaterThan(0);
  }
});

it("while a purchase is too small for what must be paid ahead, another offer is asked for, again and again", async () => {
  const clock = new TurnClock(EPOCH);
  const charger = new Charger({ settings: SETTINGS, clock, store: memoryStore() });
  let wishes = 0;
  charger.offerWish.onWish(() => wishes++);
  const priced = async (pricePerMillionUnits: number, untilMs: number) => {
    const channel = { quantumAtomic: 1000, quantumOfferedAtomic: 1000, pricePerMillionUnits };
    charger.observe({ account: null, channel, register: { raw: 0, total: 0 } } as unknown as State);
    await clock.run(untilMs);
  };
  await priced(1_000, 1_000_000);
  expect(wishes).toBe(0);
  await priced(1_000_000, 2_000_000);
  expect(wishes).toBeGreaterThanOrEqual(3);
  const before = wishes;
  await priced(1_000, 3_000_000);
  expect(wishes).toBe(before);
});

it("a step of this side's clock makes no report of the charge point older", async () => {
  const clock = new TurnClock(EPOCH);
  let stepSeconds = 0;
  const stepping = {
    nowMs: () => clock.nowMs(),
    wallSeconds: () => clock.wallSeconds() + stepSeconds,
    at: (ms: number, wake: () => void) => clock.at(ms, wake),
  };
  const charger = new Charger({ settings: SETTINGS, clock: stepping, store: memoryStore() });
  const { conversation } = charger;
  const sampled = async (atMs: number, energyMilliwattHours: number) => {
    await clock.run(atMs);
    conversation.clockSeen(clock.wallSeconds(), false);
    const value = { energyMilliwattHours, powerMilliwatts: 0 };
    const sample = {
      connector: 1,
      transactionId: null,
      begins: false,
      atSeconds: clock.wallSeconds(),
      value,
    };
    conversation.sampled(sample as Parameters<typeof conversation.sampled>[0]);
  };
  conversation.clockSeen(EPOCH, true);
  await sampled(300_000, 1_000_000);
  stepSeconds = 200;
  await sampled(400_000, 1_300_000);
  expect(charger.excessMilliwattHours()).toBe(0);
  expect(conversation.stationSeconds()).toBe(EPOCH + 400);
});

it("what a meter shows of hours in which nothing could flow is not believed, and nobody is named for it", async () => {
  const clock = new TurnClock(EPOCH);
  const charger = new Charger({ settings: SETTINGS, clock, store: memoryStore() });
  const { conversation } = charger;
  const sampled = (transactionId: string, energyMilliwattHours: number) => {
    const value = { energyMilliwattHours, powerMilliwatts: 0 };
    const sample = { connector: 1, transactionId, begins: true, atSeconds: clock.wallSeconds(), value };
    conversation.started({ connector: 1, idTag: "card", transactionId });
    conversation.sampled(sample as Parameters<typeof conversation.sampled>[0]);
  };
  charger.station(accepting());
  conversation.clockSeen(EPOCH, true);
  for (const [id, raw] of [
    ["a", 0],
    ["b", 10_000],
    ["c", 20_000],
    ["d", 30_000_000],
  ] as const) {
    await clock.run(clock.nowMs() + 5 * 3_600_000);
    sampled(id, raw);
    conversation.ended(id, "by-driver", clock.wallSeconds());
  }
  charger.meter.read((reading) => expect(reading?.raw).toBe(20_000));
  expect(charger.excessMilliwattHours()).toBe(0);
});

it("a clock that wakes a moment early is asked once for each millisecond at most, though what is waited for is not there yet", async () => {
  const EARLY_MS = 0.25;
  const clock = new TurnClock(EPOCH);
  let wakes = 0;
  const early = {
    nowMs: () => clock.nowMs(),
    wallSeconds: () => clock.wallSeconds(),
    at: (ms: number, wake: () => void) => {
      if (++wakes > 1000) throw new Error("it asks without end");
      return clock.at(ms - EARLY_MS, wake);
    },
  };
  const charger = new Charger({ settings: SETTINGS, clock: early, store: memoryStore() });
  charger.station(accepting(undefined, async () => false));
  charger.conversation.started({ connector: 1, idTag: "card", transactionId: "a" });
  charger.load.set(100);
  const account = { granted: 10_000_000, registerAtOpen: 0 };
  charger.observe({ account, channel: null, register: { raw: 0, total: 0 } } as unknown as State);
  // A refused limit is tried again after three seconds.
  await clock.run(30_000);
  expect(wakes).toBeLessThan(1000);
});

it("a price at which the present purchase is too small stops no service where a large enough one is offered", async () => {
  const clock = new TurnClock(EPOCH);
  const charger = new Charger({ settings: SETTINGS, clock, store: memoryStore() });
  charger.station(accepting());
  const trouble = async (quantumOfferedAtomic: number) => {
    const channel = { quantumAtomic: 10, quantumOfferedAtomic, pricePerMillionUnits: 1_000 };
    charger.observe({ account: null, channel, register: { raw: 0, total: 0 } } as unknown as State);
    await clock.run(clock.nowMs() + 1_000);
    return charger.load.trouble();
  };
  expect(await trouble(10)).toContain("expected a purchase of at least");
  expect(await trouble(1_000)).toBeNull();
});

it("what a car wishes by a time is charged in the cheap hours before it, where prices are followed, and at once where none is known", async () => {
  const hour = 3_600;
  const wish = { energy_kwh: 10, ready_by: new Date((EPOCH + 6 * hour) * 1000).toISOString().slice(11, 16) };
  const price = [30, 30, 10, 10, 30, 30, 30].map((asked, at): [number, number] => [EPOCH + at * hour, asked]);
  const series = { unit: "mWh", timeZone: "UTC", price, fromSeconds: EPOCH, untilSeconds: EPOCH + 7 * hour };
  for (const follows of [false, true]) {
    const clock = new TurnClock(EPOCH);
    const settings = readChargerSettings({ ...CHARGE_POINT, wish, follow_prices: follows });
    const charger = new Charger({ settings, clock, store: memoryStore() });
    const levelAt = (hours: number) => charger.almanac.plan(EPOCH + hours * hour)[0]!.levelPercent;
    expect(levelAt(0)).toBe(0);
    charger.conversation.status({
      ...{ connector: 1, plugged: true, word: "Preparing", faulted: false },
      atSeconds: EPOCH,
    });
    expect(levelAt(0)).toBe(100);
    let told = 0;
    charger.almanac.onChange!(() => {
      told += 1;
    });
    if (!follows) {
      expect([charger.priced, levelAt(2)]).toEqual([null, 100]);
      continue;
    }
    charger.priced!.heard(series, EPOCH);
    expect(told).toBe(1);
    expect(levelAt(0)).toBe(0);
    // At no less than the charger's least power.
    expect(levelAt(2)).toBeGreaterThan((100 * settings.min_amps) / settings.max_amps - 1);
    // Nothing was delivered: what is left of the time is all needed.
    expect(levelAt(5.5)).toBe(100);
    expect(levelAt(6.5)).toBe(100);
  }
});

it("limits that are refused for one car are tried again with the next", async () => {
  const clock = new TurnClock(EPOCH);
  const charger = new Charger({ settings: SETTINGS, clock, store: memoryStore() });
  const { conversation } = charger;
  charger.station(accepting(undefined, async () => false));
  // No limit of a former life holds any more.
  await clock.run(3_700_000);
  conversation.started({ connector: 1, idTag: "card", transactionId: "a" });
  charger.load.set(100);
  const account = { granted: 100_000_000, registerAtOpen: 0 };
  charger.observe({ account, channel: null, register: { raw: 0, total: 0 } } as unknown as State);
  await clock.run(3_800_000);
  expect(charger.load.trouble()).toContain("3 refused in a row");
  conversation.ended("a", "car-gone", EPOCH + 60);
  conversation.status({
    connector: 1,
    plugged: true,
    word: "Preparing",
    faulted: false,
    atSeconds: EPOCH + 70,
  });
  await clock.run(3_801_000);
  expect(charger.load.trouble()).toBeNull();
});
