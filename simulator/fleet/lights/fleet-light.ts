/**
 * One simulated streetlight: the real device runtime on a real connection, with a simulated lamp, meter
 * and clock around it, and a monitor beside it.
 *
 * Promise: nothing of the device is imitated but its surroundings.
 */

import type { Checkpoint } from "#core/events";
import type { Settings, State } from "#core/machine";
import type { Journal, Signer } from "#core/ports";
import { grantedByAll } from "#host/credit-by-seller";
import { type HostLink, type HostParts, type RunningMachine, startHost } from "#node/host";
import type { Key } from "#payment/key";
import { parseJson } from "#protocol/nesting";
import { tokenName } from "#protocol/payment-token";
import { type FollowedDrive, followDrive } from "../../profiles/driving/followed-drive.ts";
import type { SimulatedLoad, Site } from "../../profiles/profile.ts";
import type { Cheat } from "../../scenario/actions.ts";
import type { FleetClock } from "../fleet-clock.ts";
import { InvariantMonitor } from "../reconciliation/invariant-monitor.ts";
import type { EveningLight } from "../recorded-evening.ts";
import { CheatingLink } from "./cheat.ts";

export interface LightParts {
  readonly name: string;
  readonly key: Key;
  readonly signer: Signer;
  readonly site: Site;
  readonly load: SimulatedLoad;
  readonly settings: Settings;
  readonly clock: FleetClock;
  readonly link: HostLink;
  readonly gatewayPublicKey: Uint8Array;
  /** What one purchase should bring, units. */
  readonly wantedUnits: number;
  readonly tellsTokens: boolean;
  /** It says in its hello whom it pays, where its unit has several sellers. */
  readonly tellsPayee: boolean;
  /** What carries the machine: the host on Linux when absent. */
  readonly start?: (parts: HostParts) => RunningMachine;
  /** Called at every purchase that begins (true) or ends, with its round trip in real milliseconds. */
  readonly onPurchase: (begins: boolean, roundTripMs: number) => void;
  /** Of one that moves: whether it waits for what a seller at hand would sell. */
  readonly onServed: (waits: boolean) => void;
  /** It left, and what it waited for may never come. */
  readonly onLeft: () => void;
}

export class Light implements EveningLight {
  readonly name: string;
  readonly address: string;
  readonly monitor: InvariantMonitor;
  readonly site: Site;
  /** Cheats in use so far. */
  readonly cheats = new Set<Cheat>();
  /** Whom its owner lets it pay; of one that moves by the seller's number. */
  readonly payees: readonly string[];
  /** Borders and tunnel mouths that it has passed. */
  borders = 0;
  private readonly load: SimulatedLoad;
  private readonly drive: FollowedDrive | null;
  private readonly link: CheatingLink;
  private readonly host: RunningMachine;
  /** As its meter showed itself last, and as the machine heard of it last. */
  private drawnWhenShown = 0;
  private drawnWhenRead = 0;

  constructor(parts: LightParts) {
    this.name = parts.name;
    this.address = parts.key.address;
    const { site, clock, load } = parts;
    this.site = site;
    this.load = load;
    this.payees = parts.settings.policy.payees;
    this.drive =
      load.drive === undefined
        ? null
        : followDrive(load.drive, this.payees, clock, () => this.passBorder(parts));
    const link = this.drive === null ? parts.link : this.drive.through(parts.link);
    this.link = new CheatingLink(link, parts.key, parts.gatewayPublicKey, site.random);
    this.monitor = new InvariantMonitor({
      name: parts.name,
      nowMs: () => clock.nowMs(),
      // What is led around the meter is no promise of the device's: the feeder's meter finds it.
      deliveredUnits: () => load.meteredUnits(),
      onPurchase: parts.onPurchase,
    });
    this.host = (parts.start ?? startHost)({
      settings: parts.settings,
      key: parts.key,
      signer: parts.signer,
      gatewayPublicKey: parts.gatewayPublicKey,
      clock,
      chainSeconds: () => Date.now() / 1000,
      random: site.random,
      meter: {
        read: (done) => {
          this.drawnWhenShown = load.deliveredUnits();
          load.read(done);
        },
      },
      lamp: load,
      journal: memoryJournal(),
      link: this.link,
      almanac: this.drive?.almanac ?? load.own?.almanac ?? site.almanac,
      whereabouts: this.drive?.whereabouts,
      offerWish: load.own?.offerWish,
      describe: {
        model: site.profile.model(site),
        firmware: "watt402-simulate",
        meter: site.meter.name,
        unit: parts.settings.policy.unit,
        wantedUnits: parts.wantedUnits,
        ...(parts.tellsTokens ? { pays: tokenName(parts.settings.policy) } : {}),
        ...(parts.tellsPayee ? { payee: this.payees[0]! } : {}),
      },
      observe: (event, effects, state) => {
        if ("reading" in event && event.reading !== null) this.drawnWhenRead = this.drawnWhenShown;
        load.own?.observe(state);
        this.monitor.observe(event, effects, state);
        if (this.drive !== null) parts.onServed(isWaiting(state) && this.drive.isServed());
      },
    });
  }

  state(): State {
    return this.host.state();
  }

  async stop(): Promise<void> {
    this.drive?.stop();
    await this.host.stop();
    await this.load.close?.();
  }

  /** Makes it cheat from now on, or stop with null. */
  cheat(cheat: Cheat | null): void {
    if (cheat !== null) this.cheats.add(cheat);
    this.link.cheat = cheat;
    this.load.bypass(cheat === "bypass-meter" ? BYPASSED_PERMILLE : 0);
  }

  cheating(): Cheat | null {
    return this.link.cheat;
  }

  /** Frames sent or bent by cheats. */
  cheatFrames(): number {
    return this.link.frames;
  }

  /** What its load really drew since its birth, as its feeder sees it, units. */
  drawnUnits(): number {
    return this.load.deliveredUnits();
  }

  /** The same when its own meter was read last: what the register is to be held against. */
  drawnAtReadingUnits(): number {
    return this.drawnWhenRead;
  }

  /** What of it went through its meter, units. */
  meteredUnits(): number {
    return this.load.meteredUnits();
  }

  /** Units the meter has counted since the beginning. */
  consumedUnits(): number {
    const { register, account } = this.state();
    return account === null ? 0 : register.total - account.registerAtOpen;
  }

  /** Units credited over all channels. */
  grantedUnits(): number {
    return grantedByAll(this.state().account);
  }

  /** Of one that moves: units used in the region of one of its sellers, as physics has it; null: it stays where it is. */
  get usedAt(): ((nth: number) => number) | null {
    const { load } = this;
    return load.usedAt === undefined ? null : (nth) => load.usedAt!(nth);
  }

  private passBorder({ onLeft }: LightParts): void {
    this.borders += 1;
    onLeft();
  }

  /** Why it does not buy, as it was answered last. */
  refusal(): string | null {
    const { offerRefusal, answerRefusal } = this.state();
    return offerRefusal ?? answerRefusal;
  }

  /** Where seller and chain keep this light's money: its channel, or for exact its own address. */
  accountId(): string {
    const channel = this.state().channel;
    return channel === null || channel.terms.scheme === "exact" ? this.address : channel.id;
  }
}

function isWaiting({ linkUp, wantedPercent, levelPercent }: State): boolean {
  return linkUp && wantedPercent > 0 && levelPercent === 0;
}

/** Of its power, what a light draws past its meter when it cheats so: most, lest the meter stand still. */
export const BYPASSED_PERMILLE = 700;

/** A journal that is as durable as the process: simulated lights are born with their run. */
function memoryJournal(): Journal {
  let stored: string | null = null;
  return {
    load: () => (stored === null ? null : (parseJson(stored) as Checkpoint)),
    store(checkpoint, done) {
      stored = JSON.stringify(checkpoint);
      done(null);
    },
  };
}
