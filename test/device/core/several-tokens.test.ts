import { describe, expect, it } from "vitest";
import type { Checkpoint } from "#core/events";
import { bootMachine, finalCheckpoint, reportOf, type State, type Step, stepMachine } from "#core/machine";
import { channelTagOf } from "#core/rungs";
import { refuseByNearest, stepTokens } from "#host/several-tokens";
import { readCheckpoint } from "#node/journal/checkpoint";
import { DAY_SECONDS, Surroundings } from "./fixtures.ts";
import { ON_DEMAND, OTHER_TERMS, SETTINGS, TERMS, TWO_TOKENS } from "./seller.ts";

const HOUR_MS = 3_600_000;
const [FIRST, OTHER] = TWO_TOKENS.policies!;

function lit(): Surroundings {
  const world = new Surroundings(TWO_TOKENS);
  world.setLink(true);
  world.run(1_000);
  expect(world.level).toBe(100);
  return world;
}

/** Offers the channel of this place: 0 is in the first token, 1 and 2 are in the other. */
function sellAt(world: Surroundings, place: number): void {
  world.seller.present = place;
  world.announce();
  world.run(1_000);
}

/** What was signed for each token, atomic units. */
function signedIn(world: Surroundings, asset: string): number {
  const highest = new Map<string, number>();
  for (const { terms, channelId, maxClaimable } of world.pays) {
    if (terms.asset === asset) highest.set(channelId, Math.max(maxClaimable, highest.get(channelId) ?? 0));
  }
  return [...highest.values()].reduce((sum, signed) => sum + signed, 0);
}

describe("a device that may pay with two tokens", () => {
  it("spends each token's budget of the day by itself, over switches, channels and power cuts", () => {
    const world = lit();
    world.run(HOUR_MS);
    expect(reportOf(world.state).refusal).toBe("budget-exhausted");
    expect(signedIn(world, TERMS.asset)).toBe(FIRST!.dailyBudgetAtomic);
    for (const place of [1, 2]) {
      sellAt(world, place);
      world.run(HOUR_MS / 6);
      world.powerCut();
      world.setLink(true);
      world.run(HOUR_MS);
    }
    // Of two channels, what a power cut left of the reserve counts as signed.
    expect(signedIn(world, OTHER_TERMS.asset)).toBeGreaterThan(OTHER!.dailyBudgetAtomic / 2);
    expect(signedIn(world, OTHER_TERMS.asset)).toBeLessThanOrEqual(OTHER!.dailyBudgetAtomic);
    sellAt(world, 0);
    world.run(HOUR_MS);
    expect(reportOf(world.state).refusal).toBe("budget-exhausted");
    expect(signedIn(world, TERMS.asset)).toBe(FIRST!.dailyBudgetAtomic);

    world.wallOffset = 20_001 * DAY_SECONDS;
    world.run(HOUR_MS);
    expect(signedIn(world, TERMS.asset)).toBe(2 * FIRST!.dailyBudgetAtomic);
    sellAt(world, 1);
    expect(finalCheckpoint(world.state).budget.others).toMatchObject([{ day: 20_001 }]);
  });

  it("counts for the first day what it signed for either token before it had heard any clock", () => {
    const world = new Surroundings(TWO_TOKENS);
    world.wallOffset = null;
    world.setLink(true);
    world.run(HOUR_MS / 6);
    expect(world.state.budget.day).toBe(0);
    const before = signedIn(world, TERMS.asset);
    expect(before).toBeGreaterThan(1_000);
    sellAt(world, 1);
    world.run(HOUR_MS / 60);
    world.wallOffset = 20_005 * DAY_SECONDS;
    world.run(60_000);
    sellAt(world, 0);
    world.run(2 * HOUR_MS);
    expect(world.state.budget.day).toBe(20_005);
    expect(signedIn(world, TERMS.asset)).toBe(FIRST!.dailyBudgetAtomic);
  });

  it("changes nothing for a channel of the other token whose counter cannot be", () => {
    const world = lit();
    sellAt(world, 1);
    sellAt(world, 0);
    const before = [world.state.settings.policy, world.state.budget.token];
    const offer = world.seller.offer();
    const { id, charged } = world.seller.channels[1]!;
    const strange = { ...offer, channelId: id, terms: OTHER_TERMS, charged: charged + 100_000 };
    world.deliver({ type: "offer", offer: strange });
    expect(reportOf(world.state).refusal).toBe("charged-above-signed");
    expect([world.state.settings.policy, world.state.budget.token]).toEqual(before);
  });

  it("names the rule of the nearest policy, and goes on buying where it bought", () => {
    const world = lit();
    const at = (price: number, terms: Partial<typeof TERMS>) => {
      const offer = {
        ...world.seller.offer(),
        channelId: `0x${"09".repeat(32)}`,
        pricePerMillionUnits: price,
      };
      const asked = { ...offer, terms: { ...OTHER_TERMS, ...terms } as typeof TERMS };
      world.deliver({ type: "offer", offer: asked });
      const { refusal, channelId } = reportOf(world.state);
      expect(channelId).toBe(world.seller.channels[0]!.id);
      expect(refuseByNearest(TWO_TOKENS, asked)).toBe(refusal);
      return refusal;
    };
    expect(at(350_000, {})).toBe("price-above-ceiling");
    expect(at(250_000, { payTo: TERMS.payTo as never })).toBe("payee-not-allowed");
    expect(at(250_000, { asset: TERMS.asset })).toBe("token-not-allowed");
    expect(at(250_000, { network: "eip155:1" as never })).toBe("network-not-allowed");
    const bought = world.pays.length;
    world.run(120_000);
    expect(world.pays.length).toBeGreaterThan(bought);
    expect(world.pays.every(({ terms }) => terms.asset === TERMS.asset)).toBe(true);
  });

  it("holds a channel's price against its own token's ceiling, after a switch and a restart too", () => {
    const world = lit();
    sellAt(world, 1);
    world.powerCut();
    world.setLink(true);
    world.run(1_000);
    const channelTag = channelTagOf(world.state.channel!.id);
    const { charged, granted } = world.seller.channels[1]!;
    world.run(60_000);
    // Between the ceilings of the two: a grant tells it, and no further rung is signed.
    world.seller.pricePerMillionUnits = 350_000;
    world.deliver({
      type: "grant",
      grant: {
        refusal: null,
        channelTag,
        charged: Math.max(charged, world.state.channel!.signed),
        granted,
        pricePerMillionUnits: 350_000,
        validUntilSeconds: 0,
      },
    });
    world.run(HOUR_MS / 2);
    expect(reportOf(world.state).refusal).toBe("price-above-ceiling");
  });

  it("counts what a version of before signed today for every token, as it cannot tell in which", () => {
    const before = new Surroundings({ ...ON_DEMAND, policy: { ...FIRST!, dailyBudgetAtomic: 500 } });
    before.setLink(true);
    before.run(HOUR_MS);
    const { day } = before.state.budget;
    const old = finalCheckpoint(before.state);
    expect(old.budget).toEqual({ day, spentBefore: 0, signedAtStart: 0 });

    const world = new Surroundings(TWO_TOKENS, old);
    const { charged, signed, granted } = before.seller.channels[0]!;
    Object.assign(world.seller.channels[0]!, { charged, signed, granted });
    world.seller.present = 1;
    world.setLink(true);
    world.run(HOUR_MS);
    expect(signedIn(world, TERMS.asset)).toBe(0);
    const other = signedIn(world, OTHER_TERMS.asset);
    expect(other).toBeGreaterThan(0);
    expect(other).toBeLessThanOrEqual(OTHER!.dailyBudgetAtomic - 500);
    sellAt(world, 0);
    world.run(HOUR_MS);
    const first = signedIn(world, TERMS.asset);
    expect(first).toBeGreaterThan(500);
    expect(first).toBeLessThanOrEqual(FIRST!.dailyBudgetAtomic);
  });

  it("keeps the other budgets while its policy names one token alone", () => {
    const world = lit();
    world.run(HOUR_MS);
    sellAt(world, 1);
    const stored = finalCheckpoint(world.state);
    const { day } = stored.budget;
    const spent = [{ token: expect.stringContaining(TERMS.asset), day, spent: FIRST!.dailyBudgetAtomic }];
    expect(stored.budget.others).toEqual(spent);
    expect(readCheckpoint(JSON.stringify(stored))).toEqual(stored);

    const alone = new Surroundings({ ...ON_DEMAND, policy: OTHER! }, stored);
    alone.seller.sellInTwoTokens();
    alone.seller.present = 1;
    alone.setLink(true);
    alone.run(HOUR_MS);
    expect(alone.pays.length).toBeGreaterThan(0);
    expect(finalCheckpoint(alone.state).budget.others).toEqual(spent);
  });
});

describe("a device of one token", () => {
  it("takes the machine's own steps, and stores the bytes that it always stored", () => {
    const world = new Surroundings(SETTINGS);
    world.setLink(true);
    world.run(60_000);
    world.seller.present = 1;
    world.announce();
    world.run(60_000);
    let states: readonly [State, State] | null = null;
    const checkpoints: Checkpoint[] = [];
    for (const traced of world.trace) {
      if (!("event" in traced)) {
        states = [bootMachine(SETTINGS, traced.boot), bootMachine(SETTINGS, traced.boot)];
        continue;
      }
      const plain: Step = stepMachine(states![0], traced.event);
      const wrapped: Step = stepTokens(states![1], traced.event);
      expect(JSON.stringify(wrapped)).toBe(JSON.stringify(plain));
      states = [plain.state, wrapped.state];
      for (const effect of wrapped.effects)
        if (effect.type === "persist") checkpoints.push(effect.checkpoint);
    }
    expect(checkpoints.length).toBeGreaterThan(2);
    for (const { budget } of checkpoints) {
      expect(Object.keys(budget)).toEqual(["day", "spentBefore", "signedAtStart"]);
    }
  });
});
