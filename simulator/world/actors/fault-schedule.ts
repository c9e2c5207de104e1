/**
 * When which misfortune comes: events drawn from chance over the troubled part of a night.
 *
 * Promise: every kind that a world suffers is scheduled a few times; what it does is ended by itself or by
 * `heal`, so that nothing stays broken but what cannot be mended.
 */
import { type Draw, pick } from "../../city/random.ts";
import { type FaultKind, type Faults, HOSTILE_KINDS } from "../engine/faults.ts";
import { keyOf } from "../engine/keys.ts";
import type { Tables } from "../engine/tables.ts";
import type { World } from "../engine/world.ts";
import { WITHDRAW_DELAY_SECONDS } from "../engine/world-terms.ts";
import type { Direction, Network } from "../surroundings/network.ts";
import type { Adversary } from "./adversary.ts";
import type { ChainModel } from "./chain.ts";
import type { Light } from "./device.ts";
import type { Gateway } from "./gateway.ts";
import type { Seller } from "./seller.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_SECONDS = 86_400;
/** Chance that the power goes between a write and its sync, at severity 1. */
const UNSYNCED_CUT = 0.06;
const IMAGE_MS = 40 * MINUTE_MS;

export interface FaultTargets {
  readonly world: World;
  readonly faults: Faults;
  readonly network: Network;
  readonly adversary: Adversary;
  readonly lights: readonly Light[];
  readonly gateway: Gateway;
  readonly seller: Seller;
  readonly gatewayTables: Tables;
  readonly sellerTables: Tables;
  readonly chain: ChainModel;
  /** Seconds by which the gateway's clock is wrong. */
  readonly gatewayClock: { offsetSeconds: number };
  /** The channels a light has bought on. */
  readonly channelsOf: (light: Light) => ReadonlySet<string>;
  /**
   * Lights that nobody promised light: their channel was emptied or is left by its payer, or the ledger or
   * the seller's accounts became a copy of some time ago, which is an operator's business.
   */
  readonly left: Set<Light>;
}

/** Draws everything that will happen until a time. */
export function scheduleFaults(parts: FaultTargets, untilMs: number): void {
  const { world, faults, network, adversary, lights, chain } = parts;
  const draw = world.stream("misfortune");
  const anyLight = () => pick(lights, draw);
  const between = (fromMs: number, toMs: number) => fromMs + (toMs - fromMs) * draw();
  /** @param perHour at severity 1 */
  const often = (kind: FaultKind, perHour: number, act: () => void) => {
    const severity = faults.severity(kind);
    if (severity === 0) return;
    let atMs = 2 * MINUTE_MS;
    for (;;) {
      atMs += (-Math.log(1 - draw()) * HOUR_MS) / (perHour * severity);
      if (atMs >= untilMs) break;
      world.at(atMs, act);
    }
  };
  const somewhere = () => (draw() < 0.2 ? null : anyLight().device);

  often("partition", 1, () => {
    network.partition(somewhere(), ["up", "down"], between(5 * SECOND_MS, 8 * MINUTE_MS));
  });
  often("partition-one-way", 1, () => {
    const direction: Direction = draw() < 0.5 ? "up" : "down";
    network.partition(somewhere(), [direction], between(5 * SECOND_MS, 8 * MINUTE_MS));
  });
  often("clog", 2, () => network.clog(somewhere(), between(5 * SECOND_MS, MINUTE_MS)));
  often("broker-restart", 0.4, () => {
    faults.fired("broker-restart");
    const stale = faults.strikes("stale-retained", 0.5);
    network.restartBroker(between(SECOND_MS, MINUTE_MS), stale);
  });
  often("stale-retained", 1, () => adversary.makeStale());
  often("forged-publish", 4, () => adversary.forge());
  often("foreign-publish", 4, () => adversary.mixUp());
  often("replayed-publish", 4, () => adversary.replay());
  for (const kind of HOSTILE_KINDS) often(kind, 0.3, () => adversary.lie(kind));

  scheduleProcesses(parts, often, draw);

  often("clock-step", 0.3, () => {
    const seconds = pick([-DAY_SECONDS, DAY_SECONDS, -3600, 3600, -5, 5], draw);
    faults.fired("clock-step");
    const clock = draw() < 0.3 ? parts.gatewayClock : anyLight().clock;
    clock.offsetSeconds = seconds;
    world.after(between(10 * MINUTE_MS, 2 * HOUR_MS), () => {
      clock.offsetSeconds = 0;
    });
  });
  if (faults.severity("clock-drift") > 0) {
    for (const light of lights) {
      faults.fired("clock-drift");
      light.clock.drift = (draw() - 0.5) * 400e-6;
    }
  }

  often("reorg", 6, () => chain.reorganise());
  often("payer-withdraws", 0.04, () => leave(parts, anyLight(), false));
  often("channel-drained", 0.04, () => leave(parts, anyLight(), true));

  const meterTrouble = (kind: FaultKind, perHour: number, forMs: number, begin: (light: Light) => void) =>
    often(kind, perHour, () => {
      const light = anyLight();
      begin(light);
      world.after(between(MINUTE_MS, forMs), () => light.meter.heal());
    });
  meterTrouble("meter-stuck", 0.5, 30 * MINUTE_MS, (light) => light.meter.stick());
  meterTrouble("meter-silent", 0.5, 20 * MINUTE_MS, (light) => light.meter.silence());
  meterTrouble("meter-spike", 0.5, 5 * MINUTE_MS, (light) => {
    const believable = draw() < 0.5;
    light.meterLied ||= believable;
    light.meter.spike(believable ? 5000 : 30_000_000);
  });
  often("meter-reset", 0.3, () => anyLight().resetMeter());
  often("signer-unavailable", 0.5, () => {
    const light = anyLight();
    light.signerFails = true;
    world.after(between(10 * SECOND_MS, 10 * MINUTE_MS), () => {
      light.signerFails = false;
    });
  });

  for (let atMs = IMAGE_MS; atMs < untilMs; atMs += IMAGE_MS) {
    world.at(atMs, () => {
      network.takeImage();
      for (const light of lights) light.memory.takeImage();
      parts.gatewayTables.takeImage();
      parts.sellerTables.takeImage();
    });
  }
}

function scheduleProcesses(
  parts: FaultTargets,
  often: (kind: FaultKind, perHour: number, act: () => void) => void,
  draw: Draw,
): void {
  const { world, faults, lights, gateway, seller } = parts;
  const between = (fromMs: number, toMs: number) => fromMs + (toMs - fromMs) * draw();
  const perLight = lights.length / 8;

  often("device-killed", 1.5 * perLight, () => {
    const light = pick(lights, draw);
    if (!light.isRunning) return;
    faults.fired("device-killed");
    light.kill();
    world.after(between(SECOND_MS, 10 * SECOND_MS), () => bootLight(parts, light, draw));
  });
  const cutPower = (light: Light) => {
    if (!light.isRunning) return;
    faults.fired("device-power-cut");
    light.cutPower();
    if (faults.strikes("bit-flip", 0.15)) light.memoryLost = light.memory.flipBit() || light.memoryLost;
    if (faults.strikes("old-image", 0.15))
      light.memoryLost = light.memory.becomeOldImage() || light.memoryLost;
    world.after(between(5 * SECOND_MS, 10 * MINUTE_MS), () => bootLight(parts, light, draw));
  };
  often("device-power-cut", 1.5 * perLight, () => cutPower(pick(lights, draw)));
  for (const light of lights) {
    light.memory.onUnsynced = () => {
      const severity = Math.max(faults.severity("write-lost"), faults.severity("torn-tail"));
      if (draw() < UNSYNCED_CUT * severity) light.memory.failWithin(4 * draw(), () => cutPower(light));
    };
  }
  often("device-paused", 1.5 * perLight, () => {
    faults.fired("device-paused");
    pick(lights, draw).pause(between(SECOND_MS, MINUTE_MS));
  });
  often("gateway-killed", 0.7, () => {
    faults.fired("gateway-killed");
    world.note("gateway killed");
    gateway.kill();
    if (faults.severity("old-ledger") > 0 && draw() < 0.2 && parts.gatewayTables.becomeOldImage()) {
      faults.fired("old-ledger");
      for (const light of lights) parts.left.add(light);
      world.note("gateway's ledger is an old copy");
    }
    world.after(between(2 * SECOND_MS, MINUTE_MS), () => gateway.restart());
  });
  often("gateway-paused", 0.7, () => {
    faults.fired("gateway-paused");
    gateway.pause(between(SECOND_MS, MINUTE_MS));
  });
  often("seller-killed", 0.7, () => {
    faults.fired("seller-killed");
    world.note("seller killed");
    seller.kill();
    if (faults.severity("old-accounts") > 0 && draw() < 0.2 && parts.sellerTables.becomeOldImage()) {
      faults.fired("old-accounts");
      for (const light of lights) parts.left.add(light);
      world.note("seller's accounts are an old copy");
    }
    world.after(between(2 * SECOND_MS, MINUTE_MS), () => seller.start());
  });
  often("seller-paused", 0.7, () => {
    faults.fired("seller-paused");
    seller.pause(between(SECOND_MS, MINUTE_MS));
  });
}

/** Starts a light again, which may not go well the first time. */
function bootLight(parts: FaultTargets, light: Light, draw: Draw): void {
  const { world, faults } = parts;
  if (faults.strikes("clock-frozen", 0.3)) {
    light.clock.frozenUntilMs = world.nowMs + MINUTE_MS + 20 * MINUTE_MS * draw();
  }
  light.boot();
  if (!light.isRunning || !faults.strikes("killed-in-recovery", 0.3)) return;
  world.after(60 * draw(), () => {
    if (draw() < 0.5) light.kill();
    else light.cutPower();
    world.after(2 * SECOND_MS, () => light.boot());
  });
}

function leave(parts: FaultTargets, light: Light, atOnce: boolean): void {
  const { faults, chain, world } = parts;
  for (const channelId of parts.channelsOf(light)) {
    parts.left.add(light);
    faults.fired(atOnce ? "channel-drained" : "payer-withdraws");
    world.note(`${light.name}'s channel is left by its payer`);
    if (atOnce) chain.takeBack(channelId, keyOf("treasury").address);
    else chain.withdraw(channelId, keyOf("treasury").address, WITHDRAW_DELAY_SECONDS);
  }
}
