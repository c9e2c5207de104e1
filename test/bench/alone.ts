/**
 * Parts of the path by themselves: the gateway before a seller that believes everything, the seller under vouchers
 * and under plain GETs, and what a connected light weighs at rest.
 */
import { DEVELOPMENT_DOLLAR_DOMAIN } from "#simulator/chain/deploy";
import type { Services } from "#simulator/services/services";
import { measure, openFleet } from "./end-to-end.ts";
import { type Spread, spreadOf } from "./figures.ts";
import { AMOUNT_ATOMIC, type BenchGround, PRICE_PER_MILLION_UNITS } from "./fixtures.ts";
import { cpuMicroseconds, residentBytes } from "./process-figures.ts";
import type { BelievingSellerOptions } from "./processes/believing-seller-process.ts";
import { type Child, startChild } from "./processes/child.ts";
import type { FleetMark } from "./processes/fleet-process.ts";
import type { VoucherClientOptions } from "./processes/voucher-client-process.ts";

/** Small enough for a fleet of any size within a day's limit. */
const DEPOSIT_ATOMIC = 50_000;
const SELLER_DEPOSIT_ATOMIC = 5_000_000;
const GIB = 2 ** 30;

/** Of all lights, those that come first and are not weighed: what a process grows by once is no light's. */
const FIRST_SHARE = 1 / 4;
/** The kernel counts in pages: what grew by less is taken for one. */
const PAGE_BYTES = 4_096;

export interface SellerAlone {
  /** CPU of the seller's process for one voucher, microseconds. */
  readonly voucher: Spread;
  /** The same for a GET of its tariff. */
  readonly plainGet: Spread;
  readonly vouchersPerSecond: Spread;
}

/** The seller's process under vouchers and under plain GETs, in alternation. */
export async function benchSeller(ground: BenchGround, services: Services): Promise<SellerAlone> {
  const { plan, chain } = ground;
  ground.say(`the seller alone: ${plan.sellerChannels} channels`);
  const options: VoucherClientOptions = {
    sellerUrl: services.sellerUrls[0]!,
    chainId: chain.chainId,
    token: chain.token,
    treasuryKey: chain.treasuryKey,
    channels: plan.sellerChannels,
    amountAtomic: AMOUNT_ATOMIC,
    depositAtomic: SELLER_DEPOSIT_ATOMIC,
  };
  const client = ground.own(startChild("./voucher-client-process.ts", options));
  await client.ask("buyOnce");
  const pid = services.sellerPids()[0] ?? 0;
  const vouchers: { readonly microseconds: number; readonly perSecond: number }[] = [];
  const gets: number[] = [];
  await underLoad(ground, client, pid, "vouchers");
  for (let round = 0; round < plan.rounds; round++) {
    vouchers.push(await underLoad(ground, client, pid, "vouchers"));
    gets.push((await underLoad(ground, client, pid, "get")).microseconds);
  }
  await ground.release(client);
  return {
    voucher: spreadOf(vouchers.map(({ microseconds }) => microseconds)),
    plainGet: spreadOf(gets),
    vouchersPerSecond: spreadOf(vouchers.map(({ perSecond }) => perSecond)),
  };
}

async function underLoad(ground: BenchGround, client: Child, pid: number, what: "vouchers" | "get") {
  const { warmMs, roundMs } = ground.plan;
  await client.ask("begin", { what });
  await ground.pass(warmMs);
  const before = await client.ask<FleetMark>("mark");
  const cpuBefore = cpuMicroseconds(pid);
  await ground.pass(roundMs);
  const after = await client.ask<FleetMark>("mark");
  const cpuAfter = cpuMicroseconds(pid);
  await client.ask("rest");
  const done = after.purchases - before.purchases;
  return {
    microseconds: (cpuAfter - cpuBefore) / done,
    perSecond: (1000 * done) / (after.atMs - before.atMs),
  };
}

export interface GatewayAlone {
  /** CPU of the gateway's process for one payment, microseconds: broker, HTTP client and ledger. */
  readonly cpu: Spread;
  readonly paymentsPerSecond: Spread;
}

export interface Idle {
  readonly lights: number;
  readonly lightsPerGiB: Spread;
  readonly gatewayBytes: number;
  readonly lightBytes: number;
}

/** A seller that believes everything, in a process of its own. */
export function openBelievingSeller({ own, chain, contracts, receiver }: BenchGround): Child {
  const sellerOptions: BelievingSellerOptions = {
    chainId: chain.chainId,
    token: contracts.token,
    tokenName: DEVELOPMENT_DOLLAR_DOMAIN.name,
    tokenVersion: DEVELOPMENT_DOLLAR_DOMAIN.version,
    receiver,
    pricePerMillionUnits: PRICE_PER_MILLION_UNITS,
    menu: [AMOUNT_ATOMIC],
  };
  return own(startChild("./believing-seller-process.ts", sellerOptions));
}

/** A gateway whose seller believes everything: first a fleet at rest, then payments. */
export async function benchGateway(
  ground: BenchGround,
): Promise<{ readonly idle: Idle; readonly alone: GatewayAlone }> {
  const { plan, say } = ground;
  say("the gateway alone, before a seller that believes everything");
  const seller = openBelievingSeller(ground);
  const services = await ground.services(DEPOSIT_ATOMIC, await seller.ask<string>("url"));
  const pid = services.gatewayPid();
  const idle = await benchIdle(ground, services, pid);

  const fleet = openFleet(ground, services);
  await fleet.ask("connect", { count: plan.channels });
  await fleet.ask("buyOnce", { passage: "open" });
  await measure(ground, fleet, [pid], "open");
  const rounds: Awaited<ReturnType<typeof measure>>[] = [];
  for (let round = 0; round < plan.rounds; round++) rounds.push(await measure(ground, fleet, [pid], "open"));
  await ground.release(fleet);
  await ground.release(services);
  await ground.release(seller);
  const alone = {
    cpu: spreadOf(rounds.map(({ microseconds }) => microseconds[0]!)),
    paymentsPerSecond: spreadOf(rounds.map(({ perSecond }) => perSecond)),
  };
  return { idle, alone };
}

async function benchIdle(ground: BenchGround, services: Services, gatewayPid: number): Promise<Idle> {
  const { plan, say } = ground;
  say(`${plan.idleLights} lights connect by day, and stay at rest`);
  const fleet = openFleet(ground, services, null, true);
  const weigh = async (count: number) => {
    await fleet.ask("connect", { count });
    await fleet.ask("collect");
    await ground.pass(plan.settleMs);
    return { gateway: residentBytes(gatewayPid), lights: residentBytes(fleet.pid) };
  };
  const first = Math.ceil(plan.idleLights * FIRST_SHARE);
  const weighed = plan.idleLights - first;
  const before = await weigh(first);
  const after = await weigh(weighed);
  await ground.release(fleet);
  const grown = (of: "gateway" | "lights") => Math.max(PAGE_BYTES, after[of] - before[of]) / weighed;
  const [gatewayBytes, lightBytes] = [grown("gateway"), grown("lights")];
  const lightsPerGiB = spreadOf([GIB / (gatewayBytes + lightBytes)]);
  return { lights: plan.idleLights, lightsPerGiB, gatewayBytes, lightBytes };
}
