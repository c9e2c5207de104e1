/**
 * One light of a world: the device's own host and journal on a simulated pole, disk, clock and link.
 *
 * Promise: what the oracle hears of it comes from its ports: what it signed, stored, switched and read.
 * Killed, it leaves the relay as it is; without power it is dark.
 */
import type { Checkpoint, Effect, Event } from "#core/events";
import type { State } from "#core/machine";
import type { Clock, Journal, SigningRequest } from "#core/ports";
import { channelTagOf } from "#core/purchase";
import { isCounting } from "#core/state";
import { type Host, type HostLink, startHost } from "#node/host";
import { type FileJournal, openJournal } from "#node/journal";
import type { Draw } from "../city/random.ts";
import { Disk } from "./disk.ts";
import { Faults } from "./faults.ts";
import { keyOf } from "./keys.ts";
import type { Network } from "./network.ts";
import { type Pole, PoleMeter } from "./pole.ts";
import { Life } from "./power.ts";
import { deviceSigner, type Signing } from "./signing.ts";
import type { World } from "./world.ts";

/** What a light's ports tell. */
export interface LightWatch {
  /** Something that others could see or that lasts. */
  acted(light: Light, what: string): void;
  signing(light: Light, request: SigningRequest): void;
  /** A process begins on what it found on its disk. */
  recovered(light: Light, found: Recovery): void;
}

/** What recovery made of a disk, once, again, and after having been interrupted. */
export interface Recovery {
  readonly once: string;
  readonly again: string;
  readonly interrupted: string;
  /** What it may be: the last checkpoint that was answered, or one asked for since. */
  readonly allowed: readonly string[];
}

/** What whoever owns a light puts around it: something on its connection, and an eye on its machine. */
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
  readonly pole: Pole;
  readonly epochSeconds: number;
  readonly watch: LightWatch;
  readonly owner: LightOwner;
}

const JOURNAL = "/var/lib/watt402/device.journal";
const NO_FAULTS = new Faults("none", () => 0);
const NOTHING = "nothing";

export class Light {
  readonly name: string;
  /** 40 lower-case hex digits. */
  readonly device: string;
  readonly pole: Pole;
  readonly meter: PoleMeter;
  readonly disk: Disk;
  readonly clock: WorldClock;
  /** Its disk became another than it left: what it remembers is not to be relied on. */
  memoryLost = false;
  /** The meter forgot what it had counted before anybody could store it: its energy is nobody's to know. */
  get meterForgot(): boolean {
    return this.forgot || this.meter.hidReset;
  }

  private readonly parts: LightParts;
  private readonly random: Draw;
  private life: Life;
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
    const { world, faults, index, pole, epochSeconds } = parts;
    this.parts = parts;
    this.name = `light ${index}`;
    this.device = keyOf(this.name).address.slice(2);
    this.pole = pole;
    this.random = world.stream(this.name);
    this.meter = new PoleMeter(pole, faults, () => world.nowMs);
    this.disk = new Disk(faults, world.stream(`${this.name} disk`));
    this.clock = new WorldClock(world, epochSeconds, () => parts.watch.acted(this, "set a timer"));
    this.life = new Life(world);
    this.life.end();
  }

  /** The machine's state; null while no process runs. */
  state(): State | null {
    return this.life.isAlive && this.host !== null ? this.host.state() : null;
  }

  get isRunning(): boolean {
    return this.life.isAlive;
  }

  boot(): void {
    if (this.life.isAlive) return;
    const { world, network, pole, signing, watch, owner } = this.parts;
    watch.recovered(this, this.tryRecovery());
    const life = new Life(world);
    const journal = this.openJournal(life);
    if (journal === null) return;
    this.life = life;
    // A counter that is wrong from the first look on is to the device what a meter exchanged without power is.
    this.forgot ||= this.meter.isWrong;
    this.rememberedAtBoot = this.answered.includes('"channels":[{');
    this.clock.begin(life);
    const signer = deviceSigner(signing, this.name);
    world.note(`${this.name} starts`);
    this.host = startHost({
      settings: pole.settings,
      key: keyOf(this.name),
      gatewayPublicKey: keyOf("gateway").publicKey,
      clock: this.clock,
      chainSeconds: () => null,
      random: this.random,
      meter: this.meter,
      lamp: {
        set: (levelPercent) => {
          if (!life.isAlive) return;
          watch.acted(this, "set the lamp");
          world.note(`${this.name} lamp ${levelPercent}`);
          this.meter.set(levelPercent);
        },
      },
      journal: this.watched(journal, life),
      link: network.link(this.device, life, (link) => owner.bend(link)),
      almanac: pole.almanac,
      describe: {
        model: `${pole.lamp.ratedMilliwatts / 1000} W`,
        firmware: "world",
        meter: pole.meter.name,
        unit: "mWh",
        wantedUnits: pole.wantedUnits,
      },
      signer: {
        sign: (request, done) => {
          watch.acted(this, "signed");
          if (this.signerFails) {
            this.parts.faults.fired("signer-unavailable");
            done(null);
            return;
          }
          watch.signing(this, request);
          signer.sign(request, done);
        },
      },
      observe: (event, effects, state) => owner.observe(event, effects, state),
    });
  }

  /** SIGKILL: the relay stays as it is, and what was written to the disk's cache is still there. */
  kill(): void {
    if (!this.life.isAlive) return;
    this.life.end();
    this.host = null;
    this.forgot ||= this.epochAtReset !== null || this.meterLied || this.meter.isWrong;
    this.parts.network.unplug(this.device);
    this.parts.world.note(`${this.name} killed`);
  }

  cutPower(): void {
    this.kill();
    this.meter.set(0);
    this.disk.cutPower();
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
      const channels = this.answered === NOTHING ? [] : (JSON.parse(this.answered) as Checkpoint).channels;
      for (const { id, reserved } of channels) this.reserves.set(channelTagOf(id), reserved);
    }
    return this.reserves.get(channelTag) ?? 0;
  }

  private openJournal(life: Life): FileJournal | null {
    const disk = this.disk.mount(life, () => this.parts.watch.acted(this, "wrote to its disk"));
    try {
      return openJournal(JOURNAL, disk);
    } catch (error) {
      this.parts.world.note(`${this.name} does not start: ${(error as Error).message}`);
      return null;
    }
  }

  private watched(journal: FileJournal, life: Life): Journal {
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

  private tryRecovery(): Recovery {
    const copy = this.disk.copy(NO_FAULTS);
    const once = recoverOn(copy);
    const broken = this.disk.copy(NO_FAULTS);
    return {
      once,
      again: recoverOn(copy),
      interrupted: interruptRecovery(broken) ?? recoverOn(broken),
      allowed: [this.answered, ...this.asked],
    };
  }
}

function textOf(checkpoint: Checkpoint | null): string {
  return checkpoint === null ? NOTHING : JSON.stringify(checkpoint);
}

/** The checkpoint that a disk recovers to, or why it does not. */
function recoverOn(disk: Disk): string {
  try {
    return textOf(
      openJournal(
        JOURNAL,
        disk.mount(QUIET_LIFE, () => {}),
      ).load(),
    );
  } catch (error) {
    return `damaged: ${(error as Error).message}`;
  }
}

/** The power goes while the torn tail is being cut. Null when it did; else recovery never came to that. */
function interruptRecovery(disk: Disk): string | null {
  const mounted = disk.mount(QUIET_LIFE, () => {});
  try {
    openJournal(JOURNAL, {
      ...mounted,
      cut() {
        throw new Error("the power is gone");
      },
    });
  } catch {
    return null;
  }
  return null;
}

/** Recovery is synchronous: nothing of this life ever waits. */
const QUIET_LIFE = {
  later: () => Promise.reject(new Error("recovery waits for nothing")),
} as unknown as Life;

/** A device's clocks: a monotonic one that may run fast or slow, and a wall clock that may be anything. */
export class WorldClock implements Clock {
  /** Seconds by which the wall clock is wrong. */
  offsetSeconds = 0;
  /** The wall clock is not trusted before this world time. */
  frozenUntilMs = 0;
  /** Relative error of both clocks. */
  drift = 0;
  /** Latest Unix day that the device was ever told. */
  dayTold = 0;
  private readonly world: World;
  private readonly epochSeconds: number;
  private readonly acted: () => void;
  private life: Life | null = null;
  private startedAtMs = 0;

  constructor(world: World, epochSeconds: number, acted: () => void) {
    this.world = world;
    this.epochSeconds = epochSeconds;
    this.acted = acted;
  }

  begin(life: Life): void {
    this.life = life;
    this.startedAtMs = this.world.nowMs;
  }

  nowMs(): number {
    return (this.world.nowMs - this.startedAtMs) * (1 + this.drift);
  }

  wallSeconds(): number | null {
    if (this.world.nowMs < this.frozenUntilMs) return null;
    const seconds = this.trueSeconds() + this.offsetSeconds + (this.drift * this.world.nowMs) / 1000;
    this.dayTold = Math.max(this.dayTold, Math.floor(seconds / 86_400));
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
