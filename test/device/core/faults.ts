/** What can befall a device, as arbitraries: time, network, market and its own parts. */
import fc from "fast-check";
import { WIRE_REFUSALS } from "#core/refusal";
import { DAY_SECONDS, type Surroundings } from "./fixtures.ts";
import { PRICE_MIN } from "./seller.ts";

export type Action = (world: Surroundings) => void;

export const refusal = fc.constantFrom(...WIRE_REFUSALS, null);

const duration = fc.oneof(
  fc.integer({ min: 0, max: 3_000 }),
  fc.integer({ min: 0, max: 90_000 }),
  fc.integer({ min: 0, max: 3_600_000 }),
);

/** An action with a name, so that a counterexample can be read. */
export function named(name: string, act: Action): Action {
  return Object.assign(act, { toString: () => name });
}

export const passing = duration.map((ms) => named(`run ${ms}`, (world) => world.run(ms)));

export const network = fc.oneof(
  fc.boolean().map((up) => named(`link ${up}`, (world) => world.setLink(up))),
  fc.integer({ min: 1, max: 4 }).map((count) =>
    named(`lose ${count}`, (world) => {
      world.lose = count;
    }),
  ),
  fc.boolean().map((on) =>
    named(`double ${on}`, (world) => {
      world.double = on;
    }),
  ),
  fc.integer({ min: 0, max: 40_000 }).map((ms) =>
    named(`delay ${ms}`, (world) => {
      world.delayMs = ms;
    }),
  ),
  fc.nat(1_000).map((index) =>
    named(`replay ${index}`, (world) => {
      if (world.sent.length > 0) world.deliver(world.sent[index % world.sent.length]!);
    }),
  ),
);

export const market = fc.oneof(
  refusal.map((code) =>
    named(`refuse ${code}`, (world) => {
      world.seller.refusing = code;
    }),
  ),
  fc.integer({ min: PRICE_MIN, max: 500_000 }).map((price) =>
    named(`price ${price}`, (world) => {
      world.seller.pricePerMillionUnits = price;
      world.announce();
    }),
  ),
  fc.constantFrom(50, 70, 100, 150, 200, 300).map((quantum) =>
    named(`quantum ${quantum}`, (world) => {
      world.seller.quantumAtomic = quantum;
      world.announce();
    }),
  ),
  fc.nat(2).map((channel) =>
    named(`channel ${channel}`, (world) => {
      world.seller.present = channel;
      world.announce();
    }),
  ),
);

export const parts = fc.oneof(
  fc.constant(named("power cut", (world) => world.powerCut())),
  fc.constant(
    named("journal fails", (world) => {
      world.journalFails = true;
    }),
  ),
  fc.constant(named("journal repaired", (world) => world.repairJournal())),
  fc.constant(
    named("signer fails", (world) => {
      world.signerFails = true;
    }),
  ),
  fc.constant(named("signer repaired", (world) => world.repairSigner())),
  fc.option(fc.integer({ min: 19_998, max: 20_003 })).map((day) =>
    named(`day ${day}`, (world) => {
      world.wallOffset = day === null ? null : day * DAY_SECONDS;
    }),
  ),
  fc
    .constantFrom("true" as const, "silent" as const, "stuck" as const, "spike" as const)
    .map((mode) => named(`meter ${mode}`, (world) => world.setMeter(mode))),
  fc.constant(named("meter reset", (world) => world.resetMeter())),
  fc.integer({ min: 1, max: 10 }).map((tenths) =>
    named(`load ${tenths}`, (world) => {
      world.loadShare = tenths / 10;
    }),
  ),
);

export const faults = fc.array(
  fc.oneof(
    { arbitrary: passing, weight: 4 },
    { arbitrary: network, weight: 3 },
    { arbitrary: market, weight: 2 },
    { arbitrary: parts, weight: 3 },
  ),
  { minLength: 1, maxLength: 60 },
);
