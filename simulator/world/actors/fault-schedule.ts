/**
 * When which fault strikes: events drawn at random over the faulty part of a world.
 *
 * Promise: every chosen kind is scheduled a few times; its effect ends by itself or by `heal`, so only what cannot be
 * repaired stays broken.
 */
import { type Draw, pick } from "../../city/random.ts";
import { type FaultKind, type Faults, HOSTILE_KINDS } from "../engine/faults.ts";
import { keyOf } from "../engine/keys.ts";
import type { Tables } from "../engine/tables.ts";
import type { World } from "../engine/world.ts";
import { WITHDRAW_DELAY_SECONDS } from "../engine/world-terms.ts";
import type { Direction, Network } from "../surroundings/faulty-network.ts";
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
   * Lights that L1 does not cover: their channel was emptied or is left by its payer, or the ledger or the
   * seller's accounts were replaced by an old copy, which only an operator can repair.
   */
  readonly left: Set<Light>;
}

/** Draws and schedules every fault until a time. */
export function scheduleFaults(parts: FaultTargets, untilMs: number): void {
  new FaultSchedule(parts, untilMs).scheduleAll();
}

class FaultSchedule {
  readonly #parts: FaultTargets;
  readonly #untilMs: number;
  readonly #draw: Draw;

  constructor(parts: FaultTargets, untilMs: number) {
    this.#parts = parts;
    this.#untilMs = untilMs;
    // The stream's name is part of the seed: another name would give every seed another night.
    this.#draw = parts.world.stream("misfortune");
  }

  /** The order is part of the seed, too: all draw from one stream. */
  scheduleAll(): void {
    this.#scheduleNetwork();
    this.#scheduleAdversary();
    this.#scheduleDevices();
    this.#scheduleGateway();
    this.#scheduleSeller();
    this.#scheduleClocks();
    this.#scheduleChain();
    this.#scheduleMeters();
    this.#scheduleSigners();
    this.#scheduleImages();
    for (const light of this.#parts.lights) light.meter.trouble(this.#untilMs);
  }

  /** @param perHour at severity 1 */
  #often(kind: FaultKind, perHour: number, act: () => void): void {
    const severity = this.#parts.faults.severity(kind);
    if (severity === 0) return;
    let atMs = 2 * MINUTE_MS;
    for (;;) {
      atMs += (-Math.log(1 - this.#draw()) * HOUR_MS) / (perHour * severity);
      if (atMs >= this.#untilMs) break;
      this.#parts.world.at(atMs, act);
    }
  }

  #between(fromMs: number, toMs: number): number {
    return fromMs + (toMs - fromMs) * this.#draw();
  }

  #anyLight(): Light {
    return pick(this.#parts.lights, this.#draw);
  }

  /** One device, or null for all. */
  #anyDevice(): string | null {
    return this.#draw() < 0.2 ? null : this.#anyLight().device;
  }

  #scheduleNetwork(): void {
    const { network, faults, adversary } = this.#parts;
    this.#often("partition", 1, () => {
      network.partition(this.#anyDevice(), ["up", "down"], this.#between(5 * SECOND_MS, 8 * MINUTE_MS));
    });
    this.#often("partition-one-way", 1, () => {
      const direction: Direction = this.#draw() < 0.5 ? "up" : "down";
      network.partition(this.#anyDevice(), [direction], this.#between(5 * SECOND_MS, 8 * MINUTE_MS));
    });
    this.#often("clog", 2, () => {
      network.clog(this.#anyDevice(), this.#between(5 * SECOND_MS, MINUTE_MS));
    });
    this.#often("broker-restart", 0.4, () => {
      faults.fired("broker-restart");
      const stale = faults.strikes("stale-retained", 0.5);
      network.restartBroker(this.#between(SECOND_MS, MINUTE_MS), stale);
    });
    this.#often("stale-retained", 1, () => adversary.makeStale());
  }

  #scheduleAdversary(): void {
    const { adversary } = this.#parts;
    this.#often("forged-publish", 4, () => adversary.forge());
    this.#often("foreign-publish", 4, () => adversary.mixUp());
    this.#often("replayed-publish", 4, () => adversary.replay());
    for (const kind of HOSTILE_KINDS) this.#often(kind, 0.3, () => adversary.lie(kind));
  }

  #scheduleDevices(): void {
    const { world, faults, lights } = this.#parts;
    const perLight = lights.length / 8;
    this.#often("device-killed", 1.5 * perLight, () => {
      const light = this.#anyLight();
      if (!light.isRunning) return;
      faults.fired("device-killed");
      light.kill();
      world.after(this.#between(SECOND_MS, 10 * SECOND_MS), () => this.#boot(light));
    });
    this.#often("device-power-cut", 1.5 * perLight, () => this.#cutPower(this.#anyLight()));
    for (const light of lights) {
      light.memory.onUnsynced = () => {
        const severity = Math.max(faults.severity("write-lost"), faults.severity("torn-tail"));
        if (this.#draw() >= UNSYNCED_CUT * severity) return;
        light.memory.failWithin(4 * this.#draw(), () => this.#cutPower(light));
      };
    }
    this.#often("device-paused", 1.5 * perLight, () => {
      faults.fired("device-paused");
      this.#anyLight().pause(this.#between(SECOND_MS, MINUTE_MS));
    });
  }

  #cutPower(light: Light): void {
    const { world, faults } = this.#parts;
    if (!light.isRunning) return;
    faults.fired("device-power-cut");
    light.cutPower();
    if (faults.strikes("bit-flip", 0.15)) light.memoryLost = light.memory.flipBit() || light.memoryLost;
    if (faults.strikes("old-image", 0.15))
      light.memoryLost = light.memory.becomeOldImage() || light.memoryLost;
    world.after(this.#between(5 * SECOND_MS, 10 * MINUTE_MS), () => this.#boot(light));
  }

  /** Starts a light again; the first start may fail. */
  #boot(light: Light): void {
    const { world, faults } = this.#parts;
    if (faults.strikes("clock-frozen", 0.3)) {
      light.clock.frozenUntilMs = world.nowMs + MINUTE_MS + 20 * MINUTE_MS * this.#draw();
    }
    light.boot();
    if (!light.isRunning || !faults.strikes("killed-in-recovery", 0.3)) return;
    world.after(60 * this.#draw(), () => {
      if (this.#draw() < 0.5) light.kill();
      else light.cutPower();
      world.after(2 * SECOND_MS, () => light.boot());
    });
  }

  #scheduleGateway(): void {
    const { world, faults, gateway, gatewayTables } = this.#parts;
    this.#often("gateway-killed", 0.7, () => {
      faults.fired("gateway-killed");
      world.note("gateway killed");
      gateway.kill();
      this.#restoreCopy("old-ledger", gatewayTables, "gateway's ledger is an old copy");
      world.after(this.#between(2 * SECOND_MS, MINUTE_MS), () => gateway.restart());
    });
    this.#often("gateway-paused", 0.7, () => {
      faults.fired("gateway-paused");
      gateway.pause(this.#between(SECOND_MS, MINUTE_MS));
    });
  }

  #scheduleSeller(): void {
    const { world, faults, seller, sellerTables } = this.#parts;
    this.#often("seller-killed", 0.7, () => {
      faults.fired("seller-killed");
      world.note("seller killed");
      seller.kill();
      this.#restoreCopy("old-accounts", sellerTables, "seller's accounts are an old copy");
      world.after(this.#between(2 * SECOND_MS, MINUTE_MS), () => seller.start());
    });
    this.#often("seller-paused", 0.7, () => {
      faults.fired("seller-paused");
      seller.pause(this.#between(SECOND_MS, MINUTE_MS));
    });
  }

  /** Sometimes a killed process finds its tables as they were at the latest image. */
  #restoreCopy(kind: FaultKind, tables: Tables, note: string): void {
    const { world, faults, lights, left } = this.#parts;
    if (faults.severity(kind) === 0 || this.#draw() >= 0.2 || !tables.becomeOldImage()) return;
    faults.fired(kind);
    for (const light of lights) left.add(light);
    world.note(note);
  }

  #scheduleClocks(): void {
    const { world, faults, lights, gatewayClock } = this.#parts;
    this.#often("clock-step", 0.3, () => {
      const seconds = pick([-DAY_SECONDS, DAY_SECONDS, -3600, 3600, -5, 5], this.#draw);
      faults.fired("clock-step");
      const clock = this.#draw() < 0.3 ? gatewayClock : this.#anyLight().clock;
      clock.offsetSeconds = seconds;
      world.after(this.#between(10 * MINUTE_MS, 2 * HOUR_MS), () => {
        clock.offsetSeconds = 0;
      });
    });
    if (faults.severity("clock-drift") === 0) return;
    for (const light of lights) {
      faults.fired("clock-drift");
      light.clock.drift = (this.#draw() - 0.5) * 400e-6;
    }
  }

  #scheduleChain(): void {
    this.#often("reorg", 6, () => this.#parts.chain.reorganise());
    this.#often("payer-withdraws", 0.04, () => this.#leave(this.#anyLight(), false));
    this.#often("channel-drained", 0.04, () => this.#leave(this.#anyLight(), true));
  }

  #leave(light: Light, atOnce: boolean): void {
    const { faults, chain, world, left, channelsOf } = this.#parts;
    for (const channelId of channelsOf(light)) {
      left.add(light);
      faults.fired(atOnce ? "channel-drained" : "payer-withdraws");
      world.note(`${light.name}'s channel is left by its payer`);
      if (atOnce) chain.takeBack(channelId, keyOf("treasury").address);
      else chain.withdraw(channelId, keyOf("treasury").address, WITHDRAW_DELAY_SECONDS);
    }
  }

  #scheduleMeters(): void {
    this.#meterFault("meter-stuck", 30 * MINUTE_MS, (light) => light.meter.stick());
    this.#meterFault("meter-silent", 20 * MINUTE_MS, (light) => light.meter.silence());
    this.#meterFault("meter-spike", 5 * MINUTE_MS, (light) => {
      const believable = this.#draw() < 0.5;
      light.meterLied ||= believable;
      light.meter.spike(believable ? 5000 : 30_000_000);
    });
    this.#often("meter-reset", 0.3, () => this.#anyLight().resetMeter());
  }

  #meterFault(kind: FaultKind, forMs: number, begin: (light: Light) => void): void {
    this.#often(kind, 0.5, () => {
      const light = this.#anyLight();
      begin(light);
      this.#parts.world.after(this.#between(MINUTE_MS, forMs), () => light.meter.heal());
    });
  }

  #scheduleSigners(): void {
    this.#often("signer-unavailable", 0.5, () => {
      const light = this.#anyLight();
      light.signerFails = true;
      this.#parts.world.after(this.#between(10 * SECOND_MS, 10 * MINUTE_MS), () => {
        light.signerFails = false;
      });
    });
  }

  #scheduleImages(): void {
    const { world, network, lights, gatewayTables, sellerTables } = this.#parts;
    for (let atMs = IMAGE_MS; atMs < this.#untilMs; atMs += IMAGE_MS) {
      world.at(atMs, () => {
        network.takeImage();
        for (const light of lights) light.memory.takeImage();
        gatewayTables.takeImage();
        sellerTables.takeImage();
      });
    }
  }
}
