/**
 * One light of a world: the device's own host and journal on a simulated site, disk, clock and link.
 *
 * Promise: what the oracle hears of it comes from its ports: what it signed, stored, switched and read.
 * Killed, it leaves the relay as it is; without power it is dark.
 */

import type { Checkpoint, Effect, Event } from "#core/events";
import type { State } from "#core/machine";
import type { Clock, Journal, SigningRequest } from "#core/ports";
import { channelTagOf } from "#core/rungs";
import { isCounting } from "#core/state";
import { type Host, type HostLink, startHost } from "#node/host";
import { parseJson } from "#protocol/nesting";
import type { Draw } from "../../city/random.ts";
import { followDrive } from "../../profiles/driving/followed-drive.ts";
import type { Faults } from "../engine/faults.ts";
import { keyOf } from "../engine/keys.ts";
import { ProcessLifetime } from "../engine/process-lifetime.ts";
import { deviceSigner, type Signing, voucherBy } from "../engine/signing.ts";
import type { World } from "../engine/world.ts";
import { CHAIN_ID } from "../engine/world-terms.ts";
import { BoardMemory } from "../surroundings/board-memory.ts";
import { ChargingEquipment } from "../surroundings/charging-equipment.ts";
import { DiskMemory, NOTHING, textOf } from "../surroundings/disk-memory.ts";
import type { Network } from "../surroundings/faulty-network.ts";
import type { Memory, OpenMemory, Recovered } from "../surroundings/memory.ts";
import { type Site, SiteMeter } from "../surroundings/simulated-site.ts";
import type { LoadParts, SiteLoad } from "../surroundings/site-load.ts";

/** What a light's ports report. */
export interface LightWatch {
  /** Something that others could see or that lasts. */
  acted(light: Light, what: string): void;
  /** It hands out a rung. */
  signing(light: Light, request: SigningRequest): void;
  /** It signs a rung that it keeps to itself. */
  signingAhead(light: Light, channelTag: number, maxClaimable: number): void;
  /** A process begins on what it found on its disk. */
  recovered(light: Light, found: Recovery): void;
}

export interface Recovery extends Recovered {
  /** What it may be: the last checkpoint that was answered, or one asked for since. */
  readonly allowed: readonly string[];
}

/** What a light's owner puts around it: something on its connection, and an observer of its machine. */
export interface LightOwner {
  /** For each of the light's lives. */
  bend(link: HostLink): HostLink;
  /** Every step, before its effects are carried out. */
  observe(event: Event, effects: readonly Effect[], state: State): void;
}

export const NO_OWNER: LightOwner = { bend: (link) => link, observe: () => {} };

export interface LightParts {
  readonly world: World;
  readonly faults: Faults;
  readonly network: Network;
  readonly signing: Signing;
  readonly index: number;
  readonly site: Site;
  readonly epochSeconds: number;
  readonly watch: LightWatch;
  readonly owner: LightOwner;
  /** It keeps its memory and its rungs as an Espruino board does. */
  readonly isBoard: boolean;
}

export class Light {
  readonly name: string;
  /** 40 lower-case hex digits. */
  readonly device: string;
  readonly site: Site;
  readonly meter: SiteLoad;
  readonly memory: Memory;
  readonly clock: WorldClock;
  /** Its disk became another than it left: what it remembers is not to be relied on. */
  memoryLost = false;
  /** The meter forgot what it had counted before it could be stored: its energy is unknown. */
  get meterForgot(): boolean {
    return this.forgot || this.meter.hidReset;
  }

  private readonly parts: LightParts;
  private readonly random: Draw;
  private life: ProcessLifetime;
  private host: Host | null = null;
  private forgot = false;
  /** The meter showed energy that was not used, little enough to be believed. */
  meterLied = false;
  /** Epoch of the register when the meter was reset, until a later one is stored. */
  private epochAtReset: number | null = null;
  /** Latest epoch of the register that any disk of this light ever held. */
  private epochStored = 0;
  private answered: string = NOTHING;
  private asked: string[] = [];
  private readonly reserves = new Map<number, number>();
  private reservesOf = "";
  signerFails = false;
  private rememberedAtBoot = false;

  constructor(parts: LightParts) {
    const { world, index, site, epochSeconds } = parts;
    this.parts = parts;
    this.name = `light ${index}`;
    this.device = keyOf(this.name).address.slice(2);
    this.site = site;
    this.random = world.stream(this.name);
    this.meter = loadOn(parts, this.name);
    this.memory = memoryOf(parts, this);
    this.clock = new WorldClock(world, epochSeconds, () => parts.watch.acted(this, "set a timer"));
    this.life = new ProcessLifetime(world);
    this.life.end();
  }

  /** The machine's state; null while no process runs. */
  state(): State | null {
    return this.life.isAlive && this.host !== null ? this.host.state() : null;
  }

  /** Somebody sells where it is, and a link reaches it. */
  get isServed(): boolean {
    const here = this.meter.drive?.at(this.parts.world.nowMs);
    return here === undefined || (here.seller !== null && !here.isTunnel);
  }

  get isRunning(): boolean {
    return this.life.isAlive;
  }

  boot(): void {
    if (this.life.isAlive) return;
    const { world, watch } = this.parts;
    watch.recovered(this, { ...this.memory.recover(), allowed: [this.answered, ...this.asked] });
    const life = new ProcessLifetime(world);
    const opened = this.openMemory(life);
    if (opened === null) return;
    this.life = life;
    // A counter that is wrong from the first look on is to the device what a meter exchanged without power is.
    this.forgot ||= this.meter.isWrong;
    this.rememberedAtBoot = this.answered.includes('"channels":[{');
    world.note(`${this.name} starts`);
    life.soon(() => this.start(life, opened));
  }

  private start(life: ProcessLifetime, { memory, load }: Opened): void {
    const { journal, signer, follow } = memory;
    const { world, network, site, watch, owner } = this.parts;
    const { drive } = this.meter;
    const clock = { nowMs: () => world.nowMs, at: (ms: number, wake: () => void) => life.at(ms, wake) };
    const followed = drive === undefined ? null : followDrive(drive, site.settings.policy.payees, clock);
    this.host = startHost({
      settings: { ...site.settings, signsOnDemand: !this.parts.isBoard },
      key: keyOf(this.name),
      gatewayPublicKey: keyOf("gateway").publicKey,
      clock: this.clock,
      chainSeconds: () => null,
      random: this.random,
      meter: load.meter,
      lamp: {
        ...(load.lamp.onTrouble && { onTrouble: (take) => load.lamp.onTrouble?.(take) }),
        set: (levelPercent) => {
          if (!life.isAlive) return;
          watch.acted(this, "set the lamp");
          world.note(`${this.name} lamp ${levelPercent}`);
          load.lamp.set(levelPercent);
        },
      },
      journal: this.watched(journal, life),
      link: network.link(this.device, life, (link) => owner.bend(followed?.through(link) ?? link)),
      almanac: followed?.almanac ?? load.almanac,
      whereabouts: followed?.whereabouts,
      offerWish: load.offerWish,
      describe: {
        model: site.profile.model(site),
        firmware: "world",
        meter: site.meter.name,
        unit: site.profile.goods.unit,
        wantedUnits: site.wantedUnits,
      },
      signer: {
        sign: (request, done) => {
          watch.acted(this, "signed");
          if (this.signerFails) {
            this.parts.faults.fired("signer-unavailable");
            done(null);
            return;
          }
          signer.sign(request, (signature) => {
            if (signature !== null) watch.signing(this, request);
            done(signature);
          });
        },
      },
      observe: (event, effects, state) => {
        follow(state);
        load.observe(state);
        owner.observe(event, effects, state);
      },
    });
  }

  /** SIGKILL: the relay stays as it is, and what was written to the disk's cache is still there. */
  kill(): void {
    if (!this.life.isAlive) return;
    this.life.end();
    this.meter.left();
    this.host = null;
    this.forgot ||= this.epochAtReset !== null || this.meterLied || this.meter.isWrong;
    this.parts.network.unplug(this.device);
    this.parts.world.note(`${this.name} killed`);
  }

  cutPower(): void {
    this.kill();
    this.meter.cutPower();
    this.memory.cutPower();
  }

  pause(forMs: number): void {
    this.life.pause(forMs);
  }

  /** The meter begins again at zero, before the device's eyes. */
  resetMeter(): void {
    const state = this.state();
    if (state === null) return;
    if (!this.meter.reset()) return;
    // What it counted before anybody looked went with its counter.
    this.forgot ||= !isCounting(state);
    this.epochAtReset ??= state.register.epoch;
  }

  /** True for a light that was started with a memory of its channel: it need believe no one about it. */
  get knowsItsChannel(): boolean {
    return this.rememberedAtBoot && !this.memoryLost;
  }

  /** The highest rung of a channel that the disk's latest checkpoint covers, atomic units. */
  storedReserve(channelTag: number): number {
    if (this.reservesOf !== this.answered) {
      this.reservesOf = this.answered;
      this.reserves.clear();
      const channels = this.answered === NOTHING ? [] : (parseJson(this.answered) as Checkpoint).channels;
      for (const { id, reserved } of channels) this.reserves.set(channelTagOf(id), reserved);
    }
    return this.reserves.get(channelTag) ?? 0;
  }

  private openMemory(life: ProcessLifetime): Opened | null {
    try {
      const memory = this.memory.open(life, () => this.parts.watch.acted(this, "wrote to its disk"));
      this.clock.begin(life);
      return { memory, load: this.meter.open(life, this.clock, memory) };
    } catch (error) {
      this.parts.world.note(`${this.name} does not start: ${(error as Error).message}`);
      return null;
    }
  }

  private watched(journal: Journal, life: ProcessLifetime): Journal {
    const loaded = journal.load();
    this.answered = textOf(loaded);
    this.asked = [];
    // A disk from before the meter began again at zero knows nothing of what was used in between.
    if (this.memoryLost && (loaded?.register.epoch ?? 0) < this.epochStored) this.forgot = true;
    return {
      load: () => loaded,
      store: (checkpoint, done) => {
        const text = textOf(checkpoint);
        this.asked.push(text);
        journal.store(checkpoint, (error) => {
          if (!life.isAlive) return;
          if (error === null) {
            this.answered = text;
            this.asked = [];
            this.epochStored = Math.max(this.epochStored, checkpoint.register.epoch);
            const isStored = this.epochAtReset !== null && checkpoint.register.epoch > this.epochAtReset;
            if (isStored) this.epochAtReset = null;
          }
          done(error);
        });
      },
    };
  }
}

/** What a process has in its hands. */
interface Opened {
  readonly memory: OpenMemory;
  readonly load: LoadParts;
}

function loadOn({ world, faults, site, epochSeconds }: LightParts, name: string): SiteLoad {
  const draw = world.stream(`load of ${name}`);
  const { charger } = site.profile;
  if (charger === undefined) return new SiteMeter(site, faults, draw, () => world.nowMs);
  const { meterInitial } = site;
  return new ChargingEquipment({ world, faults, draw, name, epochSeconds, settings: charger, meterInitial });
}

function memoryOf({ world, faults, signing, isBoard, watch }: LightParts, light: Light): Memory {
  const { name } = light;
  if (!isBoard) return new DiskMemory(world, faults, name, deviceSigner(signing, name));
  return new BoardMemory({
    world,
    faults,
    name,
    sign: (channelId, maxClaimable) => voucherBy(signing, name, CHAIN_ID, channelId, maxClaimable),
    signedAhead: (channelTag, maxClaimable) => watch.signingAhead(light, channelTag, maxClaimable),
  });
}

/** A device's clocks: a monotonic one that may run fast or slow, and a wall clock that may be anything. */
class WorldClock implements Clock {
  /** Seconds by which the wall clock is wrong. */
  offsetSeconds = 0;
  /** The wall clock is not trusted before this world time. */
  frozenUntilMs = 0;
  /** Relative error of both clocks. */
  drift = 0;
  /** Latest Unix day that the device's clock ever showed. */
  latestDay = 0;
  private readonly world: World;
  private readonly epochSeconds: number;
  private readonly acted: () => void;
  private life: ProcessLifetime | null = null;
  private startedAtMs = 0;

  constructor(world: World, epochSeconds: number, acted: () => void) {
    this.world = world;
    this.epochSeconds = epochSeconds;
    this.acted = acted;
  }

  begin(life: ProcessLifetime): void {
    this.life = life;
    this.startedAtMs = this.world.nowMs;
  }

  nowMs(): number {
    return (this.world.nowMs - this.startedAtMs) * (1 + this.drift);
  }

  wallSeconds(): number | null {
    if (this.world.nowMs < this.frozenUntilMs) return null;
    const seconds = this.trueSeconds() + this.offsetSeconds + (this.drift * this.world.nowMs) / 1000;
    this.latestDay = Math.max(this.latestDay, Math.floor(seconds / 86_400));
    return seconds;
  }

  at(ms: number, wake: () => void): () => void {
    this.acted();
    return this.life!.at(this.startedAtMs + ms / (1 + this.drift), wake);
  }

  private trueSeconds(): number {
    return this.epochSeconds + this.world.nowMs / 1000;
  }
}
