/** A world's books at rest: what its ledger says was charged has its payments. */
import { expect, it } from "vitest";
import { ChainModel } from "#simulator/world/actors/chain";
import { Faults } from "#simulator/world/engine/faults";
import { keyOf } from "#simulator/world/engine/keys";
import { ProcessLifetime } from "#simulator/world/engine/process-lifetime";
import { Tables } from "#simulator/world/engine/tables";
import { World } from "#simulator/world/engine/world";
import { brokenAtRest } from "#simulator/world/invariants/at-rest";

const ID = `0x${"12".repeat(32)}`;

/** What is reported of a ledger with one channel and its payments: money signed, money of it charged, counter then. */
async function violationsOf(charged: number, payments: readonly (readonly [number, number, number])[]) {
  const world = new World(1);
  const faults = new Faults("none", () => 0);
  const receiver = keyOf("seller").address;
  const chain = new ChainModel({ world, faults, signing: "stand-in", epochSeconds: 0, receiver });
  const seller = new Tables(faults, () => 0);
  const ledger = new Tables(faults, () => 0);
  const committed = ledger.commit(new ProcessLifetime(world), () => {
    ledger.put("channel", ID, { id: ID, charged });
    for (const [maxClaimable, amountAtomic, after] of payments) {
      const row = { channelId: ID, maxClaimable, amountAtomic, charged: after };
      ledger.put("payment", `${ID} ${maxClaimable}`, row);
    }
  });
  await world.run(1000, () => {});
  await committed;
  return brokenAtRest(chain, seller, ledger, new Map()).map(({ invariant }) => invariant);
}

it("a ledger whose last rung was charged in part is whole: the payment is kept by what was signed", async () => {
  const whole = [
    [24_000, 24_000, 24_000],
    [40_000, 14_000, 38_000],
  ] as const;
  expect(await violationsOf(38_000, whole)).toEqual([]);
});

it("a counter that no payment led to, or payments beyond it, are reported", async () => {
  expect(await violationsOf(38_000, [[24_000, 24_000, 24_000]])).toEqual(["M4"]);
  expect(await violationsOf(24_000, [[24_000, 30_000, 24_000]])).toEqual(["M3"]);
});
