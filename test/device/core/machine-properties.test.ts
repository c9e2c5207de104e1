import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Offer } from "#core/events";
import { type Action, faults, market, named, network, parts, passing, refusal } from "./faults.ts";
import { DAY_SECONDS, Surroundings } from "./fixtures.ts";
import { ON_DEMAND, SETTINGS, TWO_TOKENS } from "./seller.ts";

const lie: fc.Arbitrary<Partial<Offer>> = fc.record(
  {
    revision: fc.integer({ min: 1, max: 100 }),
    channelId: fc.constantFrom(...[1, 2, 3, 4].map((n) => `0x${`0${n}`.repeat(32)}`)),
    quantumAtomic: fc.integer({ min: 0, max: 300 }),
    pricePerMillionUnits: fc.integer({ min: 1, max: 500_000 }),
    balance: fc.integer({ min: 0, max: 5_000 }),
    charged: fc.integer({ min: 0, max: 5_000 }),
    granted: fc.oneof(fc.integer({ min: 0, max: 9_000 }), fc.constant(281_474_976_710_655)),
    unit: fc.constantFrom("mWh", "s"),
  },
  { requiredKeys: [] },
);

const hostility = fc.oneof(
  { arbitrary: passing, weight: 3 },
  { arbitrary: network, weight: 1 },
  { arbitrary: parts, weight: 2 },
  {
    weight: 3,
    arbitrary: fc.tuple(lie, fc.constantFrom("network", "payTo", "asset", "contract", null)).map(
      ([changes, foreign]): Action =>
        named(`offer ${JSON.stringify(changes)} ${foreign}`, (world) => {
          const offer = world.seller.offer();
          const terms = foreign === null ? offer.terms : { ...offer.terms, [foreign]: "0xdead" };
          world.deliver({ type: "offer", offer: { ...offer, ...changes, terms } });
        }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({
        refusal,
        channelTag: fc.constantFrom(0x01010101, 0x02020202, 0x03030303, 0x04040404),
        charged: fc.integer({ min: 0, max: 5_000 }),
        granted: fc.oneof(fc.integer({ min: 0, max: 9_000 }), fc.constant(281_474_976_710_655)),
        pricePerMillionUnits: fc.integer({ min: 0, max: 500_000 }),
        validUntilSeconds: fc.nat(),
      })
      .map(
        (grant): Action =>
          named(`grant ${JSON.stringify(grant)}`, (world) => world.deliver({ type: "grant", grant })),
      ),
  },
);

/** Longest until light, milliseconds: the slowest hello and rung in a row, an answer each, two looks at the meter. */
const LIT_WITHIN_MS = 120_000;

/** What a seller charges of each quantum, thousandths: from what lights the lamp for a few answers' time to all of it. */
const chargedPermille = fc.oneof(fc.constant(370), fc.integer({ min: 200, max: 1_000 }), fc.constant(null));

const hosts = [
  { name: "with a ladder signed ahead", settings: SETTINGS, charges: fc.constant(null) },
  { name: "that signs on demand", settings: ON_DEMAND, charges: chargedPermille },
  { name: "that may pay with two tokens", settings: TWO_TOKENS, charges: chargedPermille },
];

describe.each(hosts)("a device $name, among faults", ({ settings, charges }) => {
  it("keeps E1, E2, M1, P1 and S1 at every step, and is lit again when the faults stop (L1)", () => {
    fc.assert(
      fc.property(faults, charges, (actions, permille) => {
        const world = new Surroundings(settings);
        world.seller.chargedPermille = permille;
        world.setLink(true);
        world.run(1_000);
        for (const act of actions) act(world);

        world.lose = 0;
        world.double = false;
        world.delayMs = 50;
        world.seller.refusing = null;
        world.seller.pricePerMillionUnits = 200_000;
        world.seller.quantumAtomic = 100;
        world.setMeter("true");
        world.wallOffset = 20_010 * DAY_SECONDS;
        world.repairJournal();
        world.repairSigner();
        world.setLink(true);
        world.announce();
        let lit = false;
        for (let ms = 0; ms < LIT_WITHIN_MS; ms += 1_000) {
          world.run(1_000);
          lit = lit || world.level === 100;
        }
        expect(lit, "L1: lit within two minutes").toBe(true);
        world.run(30_000);
        expect(world.level, "L1: and stays so").toBe(100);
      }),
      { numRuns: 400 },
    );
  });

  it("keeps M1, P1, S1 and E1 against a gateway that lies in every field (P1)", () => {
    fc.assert(
      fc.property(fc.array(hostility, { minLength: 1, maxLength: 60 }), charges, (actions, permille) => {
        const world = new Surroundings(settings);
        world.seller.chargedPermille = permille;
        world.honest = false;
        world.setLink(true);
        world.run(1_000);
        for (const act of actions) act(world);
        expect(world.state.register.total).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 500 },
    );
  });

  it("changes no counter, price or mark on a message heard before in this life (T1)", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(passing, market, network), { maxLength: 40 }),
        charges,
        (actions, permille) => {
          const world = new Surroundings(settings);
          world.seller.chargedPermille = permille;
          world.setLink(true);
          for (const act of actions) act(world);
          world.lose = 0;
          world.setLink(true);
          world.seller.pricePerMillionUnits = 200_000;
          world.seller.quantumAtomic = 100;
          world.announce();
          world.run(120_000);
          for (const message of world.sent) {
            world.deliver(message);
            const settled = world.counters();
            world.deliver(message);
            expect(world.counters()).toBe(settled);
          }
        },
      ),
      { numRuns: 100 },
    );
  });
});
