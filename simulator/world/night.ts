/**
 * One world, from its seed to its verdict: lights, broker, gateway, seller and chain through one or more
 * nights, troubled first and left in peace at the end.
 *
 * Promise: the same options give the same verdict and the same trace, whatever else the machine does.
 */
import { plannedLevel } from "#core/lamp";
import { type PricePoint, seriesTariff, type Tariff } from "../utility/tariff.ts";
import { Adversary } from "./adversary.ts";
import type { Breach } from "./breach.ts";
import { ChainModel } from "./chain.ts";
import { Light } from "./device.ts";
import { type FaultChoice, type FaultKind, Faults } from "./faults.ts";
import { Gateway } from "./gateway.ts";
import { keyOf } from "./keys.ts";
import { type Misfortunes, scheduleMisfortunes } from "./misfortune.ts";
import { Network } from "./network.ts";
import { Oracle } from "./oracle.ts";
import { drawPole, PRICE, PRICE_CEILING } from "./pole.ts";
import { Road } from "./road.ts";
import { Seller } from "./seller.ts";
import type { Signing } from "./signing.ts";
import { Tables } from "./tables.ts";
import { World } from "./world.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly lights: number;
  readonly nights: number;
  readonly faults: FaultChoice;
  readonly signing: Signing;
}

export interface Verdict {
  readonly seed: number;
  readonly events: number;
  readonly traceHash: string;
  readonly breach: Breach | null;
  /** The trace's latest lines, when there was a breach. */
  readonly latest: readonly string[];
  readonly fired: ReadonlyMap<FaultKind, number>;
  /** Atomic units at rest. */
  readonly money: { readonly charged: number; readonly claimed: number; readonly settled: number };
  /** Rungs charged. */
  readonly purchases: number;
}

/** 20 November 2026, 16:00 UTC: the lights go on. */
const EPOCH_SECONDS = Date.UTC(2026, 10, 20, 16) / 1000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NIGHT_MS = 14 * HOUR_MS;
/** Peace at the end of the last night, and how long lights may need to find it. */
const PEACE_MS = 2 * HOUR_MS;
const LIT_WITHIN_MS = 20 * 60_000;
const LOOK_MS = 60_000;
/** For claims and settlements when all lights are out. */
const REST_MS = HOUR_MS;
const TREASURY_ATOMIC = 1_000_000_000_000;
const LIMITS = {
  depositAtomic: 40_000,
  depositDays: 0,
  perDevicePerDayAtomic: 6_000_000,
  fleetAtomic: TREASURY_ATOMIC,
  perDayAtomic: TREASURY_ATOMIC,
};
/** Most in one channel: plenty, or in some worlds too little for a night. */
const PER_CHANNEL_ATOMIC = 6_000_000;
const TIGHT_CHANNEL_ATOMIC = 80_000;
const TIGHT_SHARE = 0.15;

export async function runNight(options: WorldOptions): Promise<Verdict> {
  const world = new World(options.seed);
  const faults = new Faults(options.faults, world.stream("faults"));
  const endMs = (options.nights - 1) * DAY_MS + NIGHT_MS;
  const peaceAtMs = endMs - PEACE_MS;
  const parts = build(options, world, faults, peaceAtMs);
  const { oracle, lights } = parts;
  for (const light of lights) world.at(0, () => light.boot());
  scheduleMisfortunes(parts, peaceAtMs);
  world.at(peaceAtMs, () => makePeace(parts));
  for (let atMs = peaceAtMs + LIT_WITHIN_MS; atMs < endMs; atMs += LOOK_MS) {
    world.at(atMs, () => lookAtLights(parts));
  }
  await world.run(endMs, () => oracle.afterEvent());
  if (oracle.breach === null) await rest(parts, endMs);
  const { claimed, settled } = parts.chain;
  return {
    seed: options.seed,
    events: world.events,
    latest: oracle.breach === null ? [] : world.latest(),
    breach: oracle.breach,
    traceHash: world.traceHash(),
    fired: faults.counts,
    money: { charged: oracle.chargedAtomic(), claimed, settled },
    purchases: oracle.purchases(),
  };
}

interface Built extends Misfortunes {
  readonly oracle: Oracle;
}

function build(options: WorldOptions, world: World, faults: Faults, peaceAtMs: number): Built {
  const { signing } = options;
  const isTight = world.stream("limits")() < TIGHT_SHARE;
  const perChannelAtomic = isTight ? TIGHT_CHANNEL_ATOMIC : PER_CHANNEL_ATOMIC;
  const gatewayTables = new Tables(faults, world.stream("gateway disk"));
  const sellerTables = new Tables(faults, world.stream("seller disk"));
  const chain = new ChainModel({
    world,
    faults,
    signing,
    epochSeconds: EPOCH_SECONDS,
    receiver: keyOf("seller").address,
  });
  chain.mint(keyOf("treasury").address, TREASURY_ATOMIC);
  const oracle = new Oracle({
    world,
    gatewayTables,
    sellerTables,
    chain: () => chain,
    perChannelAtomic,
  });
  const names = new Map<string, string>();
  for (let index = 0; index < options.lights; index++) {
    names.set(keyOf(`light ${index}`).address.slice(2), `light ${index}`);
  }
  const network = new Network(world, faults, world.stream("network"), {
    published(from, device, leaf, payload) {
      adversary.overhear(device, leaf, payload);
      oracle.published(from, device, leaf, payload);
    },
    delivering: (to, device, leaf, payload, forged) => oracle.delivering(to, device, leaf, payload, forged),
  });
  const adversary = new Adversary({
    network,
    faults,
    random: world.stream("adversary"),
    names,
    knowsItsChannel: (device) => lights.some((light) => light.device === device && light.knowsItsChannel),
    hostile: (payload) => oracle.hostile.add(payload),
  });
  const tariff = drawTariff(world, faults, peaceAtMs);
  const seller = new Seller({
    world,
    faults,
    tables: sellerTables,
    chain,
    tariff,
    signing,
    epochSeconds: EPOCH_SECONDS,
    watch: oracle,
  });
  const gatewayClock = { offsetSeconds: 0 };
  const gateway = new Gateway({
    world,
    tables: gatewayTables,
    chain,
    network,
    road: new Road(world, faults, () => seller),
    signing,
    limits: { ...LIMITS, perChannelAtomic },
    now: () => EPOCH_SECONDS + world.nowMs / 1000 + gatewayClock.offsetSeconds,
    acted: (what) => oracle.acted("gateway", what),
  });
  const poles = world.stream("poles");
  const lights = Array.from({ length: options.lights }, (_, index) => {
    const pole = drawPole(poles, faults);
    const light = new Light({
      world,
      faults,
      network,
      signing,
      index,
      pole,
      epochSeconds: EPOCH_SECONDS,
      watch: oracle,
    });
    oracle.addLight(light);
    return light;
  });
  const channelsOf = (light: Light) => oracle.channelsBoughtOn(light);
  const left = new Set<Light>();
  return {
    world,
    faults,
    network,
    adversary,
    lights,
    gateway,
    seller,
    gatewayTables,
    sellerTables,
    chain,
    gatewayClock,
    channelsOf,
    left,
    oracle,
  };
}

/** Prices of a day, and peaks that no light pays; flat once there is peace. */
function drawTariff(world: World, faults: Faults, peaceAtMs: number): Tariff {
  const draw = world.stream("tariff");
  const points: PricePoint[] = [];
  const set = (atMs: number, price: number) =>
    points.push({ startSeconds: Math.floor(EPOCH_SECONDS + atMs / 1000), pricePerMillionUnits: price });
  set(-DAY_MS, PRICE);
  for (let atMs = HOUR_MS; atMs < peaceAtMs - HOUR_MS; atMs += HOUR_MS) {
    if (faults.severity("price-change") > 0 && draw() < 0.4) {
      set(atMs, Math.round(PRICE * (0.4 + 1.4 * draw())));
      world.at(atMs, () => faults.fired("price-change"));
    }
    if (faults.severity("price-spike") > 0 && draw() < 0.1) {
      set(atMs + 60_000, PRICE_CEILING + 1 + Math.round(PRICE * draw()));
      set(atMs + 60_000 + Math.round(0.8 * HOUR_MS * draw()) + 1000, PRICE);
      world.at(atMs + 60_000, () => faults.fired("price-spike"));
    }
  }
  set(peaceAtMs, PRICE);
  return seriesTariff(points);
}

function makePeace({ world, faults, network, lights, gatewayClock }: Built): void {
  world.note("peace");
  faults.heal();
  network.heal();
  gatewayClock.offsetSeconds = 0;
  for (const light of lights) {
    light.meter.heal();
    light.signerFails = false;
    light.clock.offsetSeconds = 0;
    light.clock.frozenUntilMs = 0;
  }
}

/** L1: who can pay is lit. */
function lookAtLights({ world, lights, oracle, left }: Built): void {
  const wallSeconds = EPOCH_SECONDS + world.nowMs / 1000;
  for (const light of lights) {
    const canPay = !light.memoryLost && !left.has(light) && oracle.hasMoney(light);
    oracle.watchLight(light, plannedLevel(light.pole.plan, wallSeconds), canPay);
  }
}

/** The lights' fuse is out; what was sold is claimed and settled. */
async function rest(parts: Built, endMs: number): Promise<void> {
  const { world, lights, seller, oracle } = parts;
  for (const light of lights) light.kill();
  const rounds = [0.2, 0.6].map((share) => endMs + share * REST_MS);
  for (const atMs of rounds) {
    world.at(atMs, () => {
      world.touch();
      void seller.claimRound();
    });
  }
  for (const light of lights) light.meter.set(0);
  await world.run(endMs + REST_MS, () => oracle.afterEvent());
  oracle.atRest();
}
