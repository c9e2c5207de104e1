/**
 * `npm run bench`: everything side by side in one run, as ratios.
 *
 * Promise: the result goes to standard output, progress to standard error; Ctrl-C stops every part and exits 130.
 */
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { benchGateway, benchSeller } from "./alone.ts";
import { documentOf, type Found, machineOf, tableOf } from "./document.ts";
import { benchEndToEnd, benchLatency, openOurSide, openStockSide } from "./end-to-end.ts";
import { spreadOf } from "./figures.ts";
import { type BenchGround, type BenchPlan, openBenchGround } from "./fixtures.ts";
import { benchGas, benchWorld } from "./settled.ts";
import { benchSoak } from "./soak.ts";

const PARTS = ["end-to-end", "latency", "seller", "gateway", "gas", "world"] as const;
type Part = (typeof PARTS)[number];

const FULL: BenchPlan = {
  rounds: 5,
  nights: 5,
  roundMs: 6_000,
  warmMs: 2_000,
  settleMs: 3_000,
  channels: 96,
  sellerChannels: 48,
  idleLights: 12_000,
  worldLights: 20_000,
};

/** An answer within 50 seconds. */
const QUICK: BenchPlan = {
  rounds: 2,
  nights: 1,
  roundMs: 800,
  warmMs: 300,
  settleMs: 300,
  channels: 6,
  sellerChannels: 3,
  idleLights: 200,
  worldLights: 500,
};

/** Share of the full rate at which the busy latency is measured. */
const BUSY = 0.7;

const HISTORY = fileURLToPath(new URL("./history.jsonl", import.meta.url));

interface Flags {
  readonly quick?: true;
  readonly json?: true;
  readonly only: readonly Part[];
  readonly rounds?: number;
  readonly roundMs?: number;
  readonly channels?: number;
  readonly lights?: number;
  readonly soakMinutes?: number;
  readonly believing?: true;
  /** Name of a release: the figures are appended to the history. */
  readonly record?: string;
}

function readFlags(argv: readonly string[]): Flags {
  return new Command("npm run bench --")
    .description("Measures watt402 beside the stock x402 packages, in one run on this machine.")
    .option("--quick", "a rougher answer within 50 s")
    .option("--json", "one JSON document instead of a table")
    .option("--only <parts>", `some parts alone: ${PARTS.join(", ")}`, parts, PARTS)
    .option("--rounds <number>", "rounds of each measurement", whole)
    .option("--round-ms <milliseconds>", "length of a round", whole)
    .option("--channels <number>", "channels on each side, end to end", whole)
    .option("--lights <number>", "lights at rest, or of a soak", whole)
    .option("--soak-minutes <number>", "a large fleet for so long, and nothing else", whole)
    .option("--believing", "a soak before a seller that believes everything: channels open at once")
    .option("--record <release>", "append the figures to the history of releases")
    .parse([...argv], { from: "user" })
    .opts<Flags>();
}

function parts(text: string): readonly Part[] {
  return text.split(",").map((name) => {
    const part = PARTS.find((known) => known === name);
    if (part === undefined) throw new InvalidArgumentError(`expected some of ${PARTS.join(", ")}`);
    return part;
  });
}

function whole(text: string): number {
  if (/^[1-9][0-9]{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("expected a whole number from 1 to 999999");
}

function planOf({ quick, rounds, roundMs, channels, lights }: Flags): BenchPlan {
  const plan = quick ? QUICK : FULL;
  return {
    ...plan,
    rounds: rounds ?? plan.rounds,
    nights: rounds ?? plan.nights,
    roundMs: roundMs ?? plan.roundMs,
    channels: channels ?? plan.channels,
    idleLights: lights ?? plan.idleLights,
  };
}

async function bench(flags: Flags, interrupted: AbortSignal): Promise<void> {
  const sinceMs = performance.now();
  const machine = machineOf();
  const say = (text: string) => {
    const seconds = ((performance.now() - sinceMs) / 1000).toFixed(1);
    process.stderr.write(`${seconds.padStart(6)} s  ${text}\n`);
  };
  const ground = await openBenchGround(planOf(flags), say, interrupted);
  let found: Found;
  try {
    found = await Promise.race([measure(ground, flags), rejectedBy(interrupted)]);
  } finally {
    await ground.stop();
  }
  const wallSeconds = Math.round((performance.now() - sinceMs) / 100) / 10;
  const document = documentOf(found, machine, { quick: flags.quick === true, wallSeconds });
  if (flags.record !== undefined) {
    appendFileSync(HISTORY, `${JSON.stringify({ release: flags.record, ...document })}\n`);
  }
  process.stdout.write(`${flags.json ? JSON.stringify(document) : tableOf(document)}\n`);
}

async function measure(ground: BenchGround, flags: Flags): Promise<Found> {
  if (flags.soakMinutes === undefined) return measureAll(ground, new Set(flags.only));
  return { soak: await benchSoak(ground, flags.soakMinutes, flags.believing === true) };
}

/** Whatever is being waited for, an interruption ends it. */
function rejectedBy(interrupted: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = () => reject(interrupted.reason as Error);
    if (interrupted.aborted) end();
    else interrupted.addEventListener("abort", end, { once: true });
  });
}

async function measureAll(ground: BenchGround, asked: ReadonlySet<Part>): Promise<Found> {
  let found: Found = {};
  if (asked.has("end-to-end") || asked.has("latency") || asked.has("seller")) {
    const isCompared = asked.has("end-to-end") || asked.has("latency");
    const [ours, stock] = await Promise.all([
      openOurSide(ground),
      isCompared ? openStockSide(ground) : Promise.resolve(null),
    ]);
    if (stock !== null) {
      const endToEnd = await benchEndToEnd(ground, ours, stock);
      const bytesPerPayment = spreadOf([await ours.fleet.ask<number>("payloadBytes")]);
      found = { ...found, endToEnd, bytesPerPayment };
      if (asked.has("latency")) {
        found = { ...found, latency: await benchLatency(ground, ours, BUSY * endToEnd.ours.median) };
      }
    }
    await ground.release(ours.fleet);
    if (asked.has("seller")) found = { ...found, seller: await benchSeller(ground, ours.services) };
    await ground.release(ours.services);
  }
  if (asked.has("gateway")) found = { ...found, gateway: await benchGateway(ground) };
  if (asked.has("gas")) found = { ...found, gas: await benchGas(ground) };
  if (asked.has("world")) found = { ...found, world: await benchWorld(ground) };
  return found;
}

const interrupt = new AbortController();
process.once("SIGINT", () => {
  process.stderr.write("bench: interrupted; its parts are being stopped\n");
  interrupt.abort(new Error("interrupted"));
  // A second one leaves at once: children end with their parent.
  process.once("SIGINT", () => process.exit(130));
});
try {
  await bench(readFlags(process.argv.slice(2)), interrupt.signal);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = interrupt.signal.aborted ? 130 : 1;
}
