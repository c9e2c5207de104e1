/** The way of a world's messages: what was damaged stays damaged. */
import { expect, it } from "vitest";
import { Faults } from "#simulator/world/engine/faults";
import { ProcessLifetime } from "#simulator/world/engine/process-lifetime";
import { World } from "#simulator/world/engine/world";
import { Network } from "#simulator/world/surroundings/faulty-network";

const DEVICE = "00".repeat(20);

it("a message damaged on both its stretches, even in one place, does not arrive as it was published", async () => {
  const world = new World(1);
  // Chance that always damages, and always the same bit.
  const faults = new Faults(["corruption"], () => 0);
  const arrived: { bytes: Uint8Array; forged: boolean }[] = [];
  const network = new Network(world, faults, () => 0.5, {
    published: () => {},
    delivering: (_to, _device, _leaf, bytes, forged) => arrived.push({ bytes, forged }),
  });
  const link = network.link(DEVICE, new ProcessLifetime(world), (own) => own);
  link.onMessage(() => {});
  link.onChange(() => {});
  await world.run(10_000, () => {});
  const published = new Uint8Array(42).fill(7);
  network.publishFromGateway(DEVICE, "grant", published, false);
  await world.run(20_000, () => {});
  expect(faults.counts.get("corruption")).toBe(2);
  expect(arrived).toHaveLength(1);
  expect(arrived[0]!.forged).toBe(true);
  expect(arrived[0]!.bytes).not.toEqual(published);
});
