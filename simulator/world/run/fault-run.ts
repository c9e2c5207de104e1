/**
 * One world, from its seed to its outcome: lights, broker, gateway, seller and chain through one or more
 * nights, troubled first and left in peace at the end.
 *
 * Promise: the same options give the same outcome and the same trace, whatever else the machine does.
 */
import { shareOf } from "../../seller/sale/charged-share.ts";
import { Adversary } from "../actors/adversary.ts";
import { ChainModel } from "../actors/chain.ts";
import { Light, type LightParts } from "../actors/device.ts";
import { type FaultTargets, scheduleFaults } from "../actors/fault-schedule.ts";
import { FaultyLink } from "../actors/faulty-link.ts";
import { Gateway } from "../actors/gateway.ts";
import { Seller } from "../actors/seller.ts";
import { type FaultKind, Faults } from "../engine/faults.ts";
import { keyOf } from "../engine/keys.ts";
import { Tables } from "../engine/tables.ts";
import { World } from "../engine/world.ts";
import { Oracle } from "../invariants/oracle.ts";
import type { WorldViolation } from "../invariants/world-violation.ts";
import { Network } from "../surroundings/faulty-network.ts";
import { drawWorldSetting, type Setting, type WorldOptions } from "./world-options.ts";

export interface WorldOutcome {
  readonly seed: number;
  readonly events: number;
  readonly traceHash: string;
  readonly violation: WorldViolation | null;
  /** The trace's latest lines, when there was a violation. */
  readonly latest: readonly string[];
  readonly fired: ReadonlyMap<FaultKind, number>;
  /** Atomic units at rest. */
  readonly money: { readonly charged: number; readonly claimed: number; readonly settled: number };
  /** Rungs charged. */
  readonly purchases: number;
}

const HOUR_MS = 3_600_000;
/** Between two looks at who is lit. */
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
  newcomersPerDayAtomic: TREASURY_ATOMIC,
};
/**
 * Runs one world to its outcome.
 * @param settingOf where and when it plays; drawn from its seed when absent
 */
export async function runFaults(
  options: WorldOptions,
  settingOf: (options: WorldOptions, world: World, faults: Faults) => Setting = drawWorldSetting,
): Promise<WorldOutcome> {
  const world = new World(options.seed);
  const faults = new Faults(options.faults, world.stream("faults"));
  const setting = settingOf(options, world, faults);
  const { endMs, peaceAtMs } = setting;
  const parts = build(options, setting, world, faults);
  const { oracle, lights } = parts;
  for (const light of lights) world.at(0, () => light.boot());
  scheduleFaults(parts, peaceAtMs);
  setting.begin(parts);
  world.at(peaceAtMs, () => makePeace(parts));
  for (let atMs = setting.litFromMs; atMs < endMs; atMs += LOOK_MS) {
    world.at(atMs, () => lookAtLights(parts, setting.epochSeconds));
  }
  await world.run(endMs, () => oracle.afterEvent());
  if (oracle.violation === null) await rest(parts, endMs);
  setting.end(parts);
  const { claimed, settled } = parts.chain;
  return {
    seed: options.seed,
    events: world.events,
    latest: oracle.violation === null ? [] : world.latest(),
    violation: oracle.violation,
    traceHash: world.traceHash(),
    fired: faults.counts,
    money: { charged: oracle.chargedAtomic(), claimed, settled },
    purchases: oracle.purchases(),
  };
}

interface Built extends FaultTargets {
  readonly oracle: Oracle;
}

function build(options: WorldOptions, setting: Setting, world: World, faults: Faults): Built {
  const { signing } = options;
  const chargedShare = shareOf(options.chargePercent ?? 100);
  const { epochSeconds, perChannelAtomic } = setting;
  const gatewayTables = new Tables(faults, world.stream("gateway disk"));
  const sellerTables = new Tables(faults, world.stream("seller disk"));
  const chain = new ChainModel({
    world,
    faults,
    signing,
    epochSeconds,
    receiver: keyOf("seller").address,
  });
  chain.mint(keyOf("treasury").address, TREASURY_ATOMIC);
  const oracle = new Oracle({
    world,
    gatewayTables,
    sellerTables,
    chain: () => chain,
    perChannelAtomic,
    chargedShare,
  });
  const names = new Map<string, string>();
  for (let index = 0; index < setting.sites.length; index++) {
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
    ceilings: setting.ceilings,
    hostile: (payload) => oracle.hostile.add(payload),
  });
  const seller = new Seller({
    world,
    faults,
    tables: sellerTables,
    chain,
    tariff: setting.tariff,
    unit: setting.unit,
    signing,
    epochSeconds,
    chargedShare,
    watch: oracle,
  });
  const gatewayClock = { offsetSeconds: 0 };
  const gateway = new Gateway({
    world,
    tables: gatewayTables,
    chain,
    network,
    link: new FaultyLink(world, faults, () => seller),
    signing,
    limits: { ...LIMITS, perChannelAtomic },
    now: () => epochSeconds + world.nowMs / 1000 + gatewayClock.offsetSeconds,
    acted: (what) => oracle.acted("gateway", what),
  });
  const lights = buildLights(options, setting, { world, faults, network }, oracle);
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

function buildLights(
  { signing, boards = 0 }: WorldOptions,
  { epochSeconds, sites, ownerOf }: Setting,
  surroundings: Pick<LightParts, "world" | "faults" | "network">,
  oracle: Oracle,
): Light[] {
  return sites.map((site, index) => {
    const light = new Light({
      ...surroundings,
      ...{
        signing,
        index,
        site,
        epochSeconds,
        watch: oracle,
        owner: ownerOf(index),
        isBoard: index < boards,
      },
    });
    oracle.addLight(light);
    return light;
  });
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
function lookAtLights({ world, lights, oracle, left }: Built, epochSeconds: number): void {
  const wallSeconds = epochSeconds + world.nowMs / 1000;
  for (const light of lights) {
    const canPay = light.isServed && !light.memoryLost && !left.has(light) && oracle.hasMoney(light);
    oracle.watchLight(light, light.meter.wantedPercent(wallSeconds), canPay);
    oracle.watchDisobedient(light);
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
  for (const light of lights) light.meter.end();
  await world.run(endMs + REST_MS, () => oracle.afterEvent());
  oracle.atRest();
}
