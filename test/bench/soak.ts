/**
 * A large fleet over a long time: lamps that burn what they buy, each buying by its own consumption.
 *
 * Promise: memory of every process is the kernel's figure; a light that was dark for want of an answer, for however
 * short, is counted.
 */
import { openBelievingSeller } from "./alone.ts";
import type { SoakFigures } from "./document.ts";
import { openFleet } from "./end-to-end.ts";
import { spreadOf } from "./figures.ts";
import type { BenchGround } from "./fixtures.ts";
import { residentBytes } from "./process-figures.ts";
import type { Child } from "./processes/child.ts";
import type { FleetMark, Latency, Starved } from "./processes/fleet-process.ts";

/** What one purchase lasts. */
const INTERVAL_SECONDS = 30;
const DEPOSIT_ATOMIC = 50_000;
const LOOK_MS = 5_000;

/** First purchases a second: a deposit on the chain takes the seller tens of milliseconds. */
const OPENED_PER_SECOND = { real: 15, believing: 200 } as const;

/** Samples of one minute. */
const MINUTE = 60_000 / LOOK_MS;
const MIB = 2 ** 20;

/** @param isBelieving before a seller that believes everything */
export async function benchSoak(
  ground: BenchGround,
  minutes: number,
  isBelieving: boolean,
): Promise<SoakFigures> {
  const { plan, say } = ground;
  const believing: Child | null = isBelieving ? openBelievingSeller(ground) : null;
  const services = await ground.services(DEPOSIT_ATOMIC, (await believing?.ask<string>("url")) ?? null);
  const fleet = openFleet(ground, services, INTERVAL_SECONDS);
  say(`${plan.idleLights} lights connect`);
  await fleet.ask("connect", { count: plan.idleLights });
  const opened = OPENED_PER_SECOND[isBelieving ? "believing" : "real"];
  say(`their channels are opened, ${opened} a second at most`);
  await fleet.ask("buyOnce", { passage: opened });
  await fleet.ask("pass", { passage: "open" });
  say(`all have bought; a minute to find their pace, then ${minutes} minutes`);
  await ground.pass(60_000);
  await fleet.ask("starved");
  await fleet.ask("latency");
  const before = await fleet.ask<FleetMark>("mark");
  const pids = {
    gateway: services.gatewayPid(),
    seller: believing?.pid ?? services.sellerPids()[0] ?? 0,
    lights: fleet.pid,
  };
  const samples = { gateway: [] as number[], seller: [] as number[], lights: [] as number[] };
  const looks = minutes * MINUTE;
  for (let look = 0; look < looks; look++) {
    await ground.pass(LOOK_MS);
    for (const name of ["gateway", "seller", "lights"] as const) {
      samples[name].push(residentBytes(pids[name]) / MIB);
    }
    if (look % MINUTE === MINUTE - 1) {
      const { purchases } = await fleet.ask<FleetMark>("mark");
      say(`minute ${(look + 1) / MINUTE}: ${purchases - before.purchases} purchases`);
    }
  }
  const { purchases } = await fleet.ask<FleetMark>("mark");
  const { lights, longestMs } = await fleet.ask<Starved>("starved");
  const { p50, p99 } = await fleet.ask<Latency>("latency");
  const memoryOf = (all: readonly number[]) => ({
    early: spreadOf(all.slice(0, MINUTE)).median,
    late: spreadOf(all.slice(-MINUTE)).median,
  });
  return {
    lights: plan.idleLights,
    minutes,
    purchases: purchases - before.purchases,
    starvedLights: lights,
    longestStarvedMs: longestMs,
    latencyMs: { p50, p99 },
    memoryMiB: {
      gateway: memoryOf(samples.gateway),
      seller: memoryOf(samples.seller),
      lights: memoryOf(samples.lights),
    },
  };
}
