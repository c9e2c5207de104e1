/**
 * What needs no load to be measured: gas of claims on a real chain, and nights of the world.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { keccak256, toHex } from "viem";
import { escrow, startEscrow } from "../simulator/chain/escrow.ts";
import { type Spread, spreadOf } from "./figures.ts";
import type { BenchGround } from "./fixtures.ts";

/** One lamp that buys once a second, claimed once an hour. */
const PAYMENTS_PER_CLAIM = 3_600;
const CLAIM_SIZES = [1, 10, 90] as const;
const DEPOSIT_ATOMIC = 10_000n;

export interface GasFigures {
  /** Gas for one payment, in claims of 90 channels an hour. */
  readonly perPayment: Spread;
  /** The same by channels in a claim. */
  readonly byClaimSize: Readonly<Record<(typeof CLAIM_SIZES)[number], Spread>>;
}

/** Claims of 1, 10 and 90 channels, as the facilitator sends them: by anybody, with the receiver's signature. */
export async function benchGas(ground: BenchGround): Promise<GasFigures> {
  ground.say("gas: claims of 1, 10 and 90 channels");
  const chain = await ground.start(startEscrow());
  const { config, deposit, claimOf, signBatch, transact, stranger } = chain;
  const channels = Array.from({ length: 90 }, (_, index) => config({ salt: keccak256(toHex(index)) }));
  for (const channel of channels) await deposit(channel, DEPOSIT_ATOMIC);
  let total = 0n;
  const claim = async (count: number) => {
    total += 5n;
    const claims = await Promise.all(channels.slice(0, count).map((channel) => claimOf(channel, total)));
    const data = escrow("claimWithSignature", [claims, await signBatch(claims)]);
    const { gasUsed } = await transact(stranger.address, data);
    return Number(gasUsed) / count / PAYMENTS_PER_CLAIM;
  };
  await claim(90);
  const rounds: Record<number, number>[] = [];
  for (let round = 0; round < ground.plan.rounds; round++) {
    const gas: Record<number, number> = {};
    for (const size of CLAIM_SIZES) gas[size] = await claim(size);
    rounds.push(gas);
  }
  await ground.release(chain);
  const of = (size: number) => spreadOf(rounds.map((gas) => gas[size]!));
  return { perPayment: of(90), byClaimSize: { 1: of(1), 10: of(10), 90: of(90) } };
}

/** Lights times nights in a second of real time, without faults. */
export async function benchWorld(ground: BenchGround): Promise<Spread> {
  const { worldLights, nights } = ground.plan;
  ground.say(`the world: a night of ${worldLights} lights`);
  const samples: number[] = [];
  for (let round = 0; round < nights; round++) {
    const { wallMs } = await night(ground, worldLights, round + 1);
    samples.push((1000 * worldLights) / wallMs);
  }
  return spreadOf(samples);
}

const LAUNCHER = fileURLToPath(new URL("../../simulator/watt402-simulate.mjs", import.meta.url));

async function night(
  ground: BenchGround,
  lights: number,
  seed: number,
): Promise<{ readonly wallMs: number }> {
  const flags = ["--lights", String(lights), "--seed", String(seed), "--faults", "none", "--json"];
  const child = spawn(process.execPath, [LAUNCHER, "world", ...flags], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const part = ground.own({
    async stop() {
      child.kill();
      await ended;
    },
  });
  const code = await ended;
  await ground.release(part);
  if (code !== 0) throw new Error(`bench: expected a night of ${lights} lights, found exit code ${code}`);
  return JSON.parse(text) as { wallMs: number };
}
