import { expect, it } from "vitest";
import { Charger } from "#hardware/charger/charger";
import { memoryStore } from "#hardware/charger/metering/kept-charger";
import { readChargerSettings } from "#hardware/charger/settings";
import { TurnClock } from "../../simulator/charging/turn-clock.ts";

const EPOCH = 1_800_000_000;
const SETTINGS = readChargerSettings({ identity: "CP-1", host: "127.0.0.1", max_amps: 16 });

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

it("a value from later than its clock is known to show is of an age that nobody knows: by it nothing is metered or judged", () => {
  for (const [seconds, isKnown] of [
    [600, false],
    [0, true],
  ] as const) {
    const clock = new TurnClock(EPOCH);
    const { conversation, meter } = new Charger({ settings: SETTINGS, clock, store: memoryStore() });
    conversation.clockSeen(EPOCH, true);
    const value = { energyMilliwattHours: 1e6, powerMilliwatts: 0 };
    const sample = { connector: 1, transactionId: null, begins: false, atSeconds: EPOCH + seconds, value };
    conversation.sampled(sample as Parameters<typeof conversation.sampled>[0]);
    meter.read((reading) => expect(reading !== null).toBe(isKnown));
  }
});
