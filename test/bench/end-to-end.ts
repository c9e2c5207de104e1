/**
 * Whole purchases, ours and stock, side by side: rounds in alternation on one machine, one chain beside both.
 *
 * Promise: both sides have the same number of channels, each with one payment under way; while one side is measured
 * the other is at rest; and what our lights paid is what our seller charged, to the last atomic unit.
 */
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { toHex } from "#payment/bytes";
import { mint } from "#simulator/chain/deploy";
import { readAccounts } from "#simulator/fleet/reconciliation/seller-accounts";
import type { Services } from "#simulator/services/services";
import { ratioOf, type Spread, spreadOf } from "./figures.ts";
import { AMOUNT_ATOMIC, type BenchGround } from "./fixtures.ts";
import type { Passage } from "./gate.ts";
import { cpuMicroseconds } from "./process-figures.ts";
import { type Child, startChild } from "./processes/child.ts";
import type { FleetMark, FleetProcessOptions, Latency } from "./processes/fleet-process.ts";
import type { StockClientOptions } from "./processes/stock-client-process.ts";
import type { StockSellerOptions } from "./processes/stock-seller-process.ts";

/** More than the rounds can spend, so that no deposit falls into one. */
export const DEPOSIT_ATOMIC = 1_000_000;

export interface EndToEnd {
  readonly channels: number;
  /** Purchases a second. */
  readonly ours: Spread;
  readonly stock: Spread;
  readonly ratio: Spread;
  /** CPU of all processes for one purchase, stock over ours: what others run meanwhile changes it little. */
  readonly cpuRatio: Spread;
  /** CPU of each process for one purchase, microseconds. */
  readonly cpuMicroseconds: Readonly<
    Record<"lights" | "gateway" | "seller" | "stockClients" | "stockSeller", Spread>
  >;
}

export interface LatencyFigures {
  readonly p50: Spread;
  readonly p99: Spread;
}

export interface OurSide {
  readonly services: Services;
  readonly fleet: Child;
  /** Process ids of what takes part beside the fleet. */
  readonly pids: { readonly gateway: number; readonly seller: number };
}

/** One side measured over one round. */
interface Round {
  readonly perSecond: number;
  /** CPU for one purchase: of the side's clients, and of the processes named. */
  readonly clientMicroseconds: number;
  readonly microseconds: readonly number[];
}

export async function openOurSide(ground: BenchGround): Promise<OurSide> {
  const { plan } = ground;
  ground.say("ours: seller and gateway start");
  const services = await ground.services(DEPOSIT_ATOMIC, null);
  const fleet = openFleet(ground, services);
  ground.say(`ours: ${plan.channels} lights connect and open their channels`);
  await fleet.ask("connect", { count: plan.channels });
  await fleet.ask("buyOnce", { passage: "open" });
  return { services, fleet, pids: { gateway: services.gatewayPid(), seller: services.sellerPids()[0] ?? 0 } };
}

/**
 * @param intervalSeconds what one purchase lasts; null: lights that buy as often as they may
 * @param isDay lamps are off, and buy nothing
 */
export function openFleet(
  ground: BenchGround,
  services: Services,
  intervalSeconds: number | null = null,
  isDay = false,
): Child {
  const { chain } = ground;
  const options: FleetProcessOptions = {
    brokerUrl: services.brokerUrl,
    gatewayPublicKey: toHex(services.gatewayPublicKey),
    chainId: chain.chainId,
    token: chain.token,
    intervalSeconds,
    isDay,
  };
  return ground.own(startChild("./fleet-process.ts", options, ["--expose-gc"]));
}

export interface StockSide {
  readonly seller: Child;
  readonly clients: Child;
}

export async function openStockSide(ground: BenchGround): Promise<StockSide> {
  const { plan, anvil, contracts } = ground;
  const network = `eip155:${contracts.chainId}` as const;
  ground.say(`stock: seller starts, ${plan.channels} clients open their channels`);
  const { rpcUrl, chainId, accounts } = anvil;
  const sellerOptions: StockSellerOptions = {
    anvil: { rpcUrl, chainId, accounts },
    contracts,
    network,
    amountAtomic: AMOUNT_ATOMIC,
    minDepositAtomic: DEPOSIT_ATOMIC,
  };
  const seller = ground.own(startChild("./stock-seller-process.ts", sellerOptions));
  const keys = Array.from({ length: plan.channels }, () => generatePrivateKey());
  for (const key of keys) await mint(anvil, privateKeyToAccount(key).address, BigInt(2 * DEPOSIT_ATOMIC));
  const clientOptions: StockClientOptions = {
    url: await seller.ask<string>("url"),
    rpcUrl,
    network,
    token: contracts.token,
    keys,
  };
  const clients = ground.own(startChild("./stock-client-process.ts", clientOptions));
  await clients.ask("buyOnce");
  return { seller, clients };
}

/** Opens a gate, waits until all runs warm, measures, and lets what is under way end. */
export async function measure(
  ground: BenchGround,
  clients: Child,
  pids: readonly number[],
  passage: Passage,
): Promise<Round> {
  const { warmMs, roundMs } = ground.plan;
  await clients.ask("pass", { passage });
  await ground.pass(warmMs);
  const before = await look(clients, pids);
  await ground.pass(roundMs);
  const after = await look(clients, pids);
  await clients.ask("rest");
  const purchases = after.mark.purchases - before.mark.purchases;
  if (purchases === 0) throw new Error(`bench: expected purchases within ${roundMs} ms, found none`);
  return {
    perSecond: (1000 * purchases) / (after.mark.atMs - before.mark.atMs),
    clientMicroseconds: (after.mark.cpuMicroseconds - before.mark.cpuMicroseconds) / purchases,
    microseconds: after.cpu.map((total, index) => (total - before.cpu[index]!) / purchases),
  };
}

async function look(clients: Child, pids: readonly number[]) {
  const mark = await clients.ask<FleetMark>("mark");
  return { mark, cpu: pids.map(cpuMicroseconds) };
}

export async function benchEndToEnd(ground: BenchGround, ours: OurSide, stock: StockSide): Promise<EndToEnd> {
  const { plan, say } = ground;
  const oursRound = () => measure(ground, ours.fleet, [ours.pids.gateway, ours.pids.seller], "open");
  const stockRound = () => measure(ground, stock.clients, [stock.seller.pid], "open");
  const rounds: { readonly ours: Round; readonly stock: Round }[] = [];
  say("both sides run warm");
  await oursRound();
  await stockRound();
  for (let round = 0; round < plan.rounds; round++) {
    // The one that comes first gets what the machine was doing before: they take turns in that, too.
    const isOursFirst = round % 2 === 0;
    const first = await (isOursFirst ? oursRound() : stockRound());
    const second = await (isOursFirst ? stockRound() : oursRound());
    const pair = isOursFirst ? { ours: first, stock: second } : { ours: second, stock: first };
    rounds.push(pair);
    const [left, right] = [pair.ours.perSecond, pair.stock.perSecond].map(Math.round);
    say(`round ${round + 1} of ${plan.rounds}: ours ${left}/s, stock ${right}/s`);
  }
  await ground.release(stock.clients);
  await ground.release(stock.seller);
  await agree(ours);
  const [left, right] = [rounds.map(({ ours }) => ours), rounds.map(({ stock }) => stock)];
  const perSecond = (side: readonly Round[]) => side.map((round) => round.perSecond);
  const clients = (side: readonly Round[]) => spreadOf(side.map((round) => round.clientMicroseconds));
  const sums = (side: readonly Round[]) =>
    side.map(({ clientMicroseconds, microseconds }) =>
      microseconds.reduce((sum, one) => sum + one, clientMicroseconds),
    );
  const process = (side: readonly Round[], index: number) =>
    spreadOf(side.map(({ microseconds }) => microseconds[index]!));
  return {
    channels: plan.channels,
    ours: spreadOf(perSecond(left)),
    stock: spreadOf(perSecond(right)),
    ratio: ratioOf(perSecond(left), perSecond(right)),
    cpuRatio: ratioOf(sums(right), sums(left)),
    cpuMicroseconds: {
      lights: clients(left),
      gateway: process(left, 0),
      seller: process(left, 1),
      stockClients: clients(right),
      stockSeller: process(right, 0),
    },
  };
}

/** Throws unless what every light knows to be charged is what the seller charged. */
export async function agree({ fleet, services }: Pick<OurSide, "fleet" | "services">): Promise<void> {
  await fleet.ask("rest");
  const lights = await fleet.ask<{ readonly id: string; readonly charged: number }[]>("charged");
  const ids = lights.map(({ id }) => id);
  const accounts = await readAccounts(services.sellerUrls[0]!, ids);
  for (const { id, charged } of lights) {
    const found = accounts.get(id)?.charged;
    if (found !== charged) {
      throw new Error(`bench: expected the seller to have charged ${charged} on ${id}, found ${found}`);
    }
  }
}

/** @param busyPerSecond payments a second of the second figure */
export async function benchLatency(
  ground: BenchGround,
  { fleet }: OurSide,
  busyPerSecond: number,
): Promise<Readonly<Record<"low" | "busy", LatencyFigures>>> {
  const at = async (perSecond: number) => {
    const samples: Latency[] = [];
    for (let round = 0; round < ground.plan.rounds; round++) {
      await fleet.ask("latency");
      await measure(ground, fleet, [], perSecond);
      samples.push(await fleet.ask<Latency>("latency"));
    }
    return {
      p50: spreadOf(samples.map(({ p50 }) => p50)),
      p99: spreadOf(samples.map(({ p99 }) => p99)),
    };
  };
  ground.say(`latency at ${LOW_PER_SECOND}/s and at ${Math.round(busyPerSecond)}/s`);
  return { low: await at(LOW_PER_SECOND), busy: await at(busyPerSecond) };
}

const LOW_PER_SECOND = 20;
