/**
 * A fleet of simulated lights on real connections, and what it did so far.
 *
 * Promise: the evening begins when every light has bought once; it ends with every purchase answered or given up,
 * so that what devices signed and sellers charged can be compared to the last atomic unit.
 */

import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import { detach } from "#core/detach";
import type { Policy } from "#core/policy";
import type { Signer } from "#core/ports";
import { energyMilliwattHours } from "#core/units";
import { systemClock } from "#node/clock";
import type { HostLink, HostParts } from "#node/host";
import { type Curve, fastestCurve } from "#node/key/native-curve";
import { type MqttLinkOptions, openMqttLink } from "#node/mqtt-link";
import { throwUncaught } from "#node/process-guard";
import { addressOf, type Key } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import { seededRandom } from "../city/random.ts";
import type { BoardRun } from "../hardware/simulated-board-host.ts";
import { openLoad, type SimulatedLoad, type Site } from "../profiles/profile.ts";
import { type Cheat, EVERYONE } from "../scenario/actions.ts";
import { ClockThrottle } from "./clock-throttle.ts";
import { FleetClock } from "./fleet-clock.ts";
import { Troubles } from "./fleet-troubles.ts";
import type { Boards, BoardsResult } from "./lights/board-lights.ts";
import { Light } from "./lights/fleet-light.ts";
import { LeanLinks } from "./lights/lean-link.ts";
import { settingsOf } from "./lights/light-settings.ts";
import { quickSigners } from "./lights/quick-signer.ts";
import { type Evening, type Progress, progressOf } from "./recorded-evening.ts";

export interface FleetOptions {
  readonly sites: readonly Site[];
  /** Group of each light that is in one, by its name. */
  readonly groups: ReadonlyMap<string, string>;
  /** Draws which round trips are kept. */
  readonly seed: number;
  readonly speed: number;
  /** Unix time at which the simulated evening begins. */
  readonly epochSeconds: number;
  /** What one purchase should last for at rated power, simulated seconds. */
  readonly intervalSeconds: number;
  /** Where the lights of a group connect. */
  readonly brokerUrlFor: (group: string) => string;
  readonly gatewayPublicKey: Uint8Array;
  /** What proves the lights to a broker elsewhere; their keys when absent. */
  readonly account?: Pick<MqttLinkOptions, "tls" | "login">;
  /** On the lean MQTT link instead of the device's own: for fleets of thousands. */
  readonly isLean: boolean;
  /** The first lights of the fleet are boards; null for none. */
  readonly boards: Boards | null;
  /** What the owner of a group's lights allows one of them to sign. @param index of the light among all */
  readonly policyFor: (site: Site, group: string, index: number) => Policy;
  /** Lights say in their hello what they may pay with: where a gateway sends each to the seller that takes it. */
  readonly tellsTokens: boolean;
  /** They say whom they pay: where several sellers sell one unit. */
  readonly tellsPayee: boolean;
  readonly onTrouble: (text: string) => void;
}

/** Real time for all lights to connect and buy once, milliseconds: plus a deposit's time for each. */
const CONNECT_MS = 60_000;
const CONNECT_PER_LIGHT_MS = 250;
/** Lights that connect at once; the rest follow, as a broker's backlog is short. */
const CONNECT_AT_ONCE = 50;
const CONNECT_STEP_MS = 50;

/** Longest wait for answers under way at the end, milliseconds of real time. */
export const DRAIN_MS = 20_000;

/** Of its interval, the share that a purchase may take before the clock slows down. */
const PATIENCE = 0.25;

/** The same for a fleet with boards, whose connections live in simulated time and give up after 20 s. */
const BOARD_PATIENCE_MS = 5_000;

const KEEPALIVE_SECONDS = 60;
const RECONNECT = { firstMs: 200, maxMs: 2_000 };

/** Round trips kept for the percentiles; a longer run keeps an even sample. */
const LATENCIES_MAX = 100_000;

export class Fleet implements Evening {
  readonly lights: Light[] = [];
  readonly latenciesMs: number[] = [];
  private readonly options: FleetOptions;
  private readonly throttle: ClockThrottle;
  private readonly clock: FleetClock;
  private readonly troubles: Troubles;
  private startedAtMs = 0;
  private purchases = 0;
  private outages = 0;
  private readonly sample: () => number;
  private readonly boardRuns = new Map<string, BoardRun>();
  private readonly curve: Curve;
  /** By broker: what its lean links share. */
  private readonly leanLinks = new Map<string, LeanLinks>();

  constructor(options: FleetOptions) {
    this.options = options;
    const realMs = () => performance.now();
    this.troubles = new Troubles(options.onTrouble, realMs);
    this.sample = seededRandom(options.seed);
    const { curve, reason } = fastestCurve();
    this.curve = curve;
    if (reason !== undefined) options.onTrouble(`lights sign in JavaScript, twenty times slower: ${reason}`);
    const patienceMs = options.intervalSeconds * 1000 * PATIENCE;
    const mostMs = options.boards === null ? Number.POSITIVE_INFINITY : BOARD_PATIENCE_MS;
    this.throttle = new ClockThrottle(Math.min(patienceMs, mostMs), realMs);
    this.clock = new FleetClock(options.speed, options.epochSeconds, () => this.throttle.atMs(), realMs);
  }

  /**
   * Connects every light and waits until each has bought once, boards until their ladder is signed, or until `isEnough` says so; simulated time
   * runs at real speed meanwhile. Throws when a light cannot buy.
   * @param onConnected called repeatedly with how many lights have bought
   */
  async connect(onConnected: (lights: number) => void, isEnough: () => boolean): Promise<void> {
    const { sites } = this.options;
    const signerOf = await quickSigners();
    this.throttle.begin("start", Number.NEGATIVE_INFINITY);
    this.clock.start();
    for (const [index, site] of sites.entries()) {
      if (isEnough()) break;
      this.lights.push(
        this.raise(
          site,
          await openLoad(site, this.clock, (waits) => this.waitsFor(`${site.name} load`, waits)),
          index,
          signerOf,
        ),
      );
      if (index % CONNECT_AT_ONCE !== CONNECT_AT_ONCE - 1) continue;
      onConnected(this.connected());
      await sleep(CONNECT_STEP_MS);
      this.throttle.renew("start");
    }
    const deadline = performance.now() + CONNECT_MS + CONNECT_PER_LIGHT_MS * sites.length;
    while (this.connected() < sites.length && !isEnough()) {
      if (performance.now() > deadline) throw new Watt402Error("unreachable", this.whyNotConnected());
      onConnected(this.connected());
      await sleep(CONNECT_STEP_MS);
      this.throttle.renew("start");
    }
    this.throttle.end("start");
    this.startedAtMs = this.clock.beginEvening();
    for (const { monitor } of this.lights) monitor.beginEvening();
  }

  /** Wakes at a simulated time after the evening's beginning, milliseconds. */
  at(afterMs: number, wake: () => void): () => void {
    return this.clock.at(this.startedAtMs + afterMs, wake);
  }

  /** Makes a group cheat from now on, or stop with null; returns how many lights that are. */
  cheat(group: string, cheat: Cheat | null): number {
    const members = this.lights.filter(({ name }) => group === EVERYONE || this.groupOf(name) === group);
    for (const light of members) {
      light.cheat(cheat);
      // A bad signature gets no answer to wait for.
      if (cheat === "bad-signatures") this.throttle.end(light.name);
    }
    return members.length;
  }

  /** From here to `endOutage`, waiting lights do not slow the clock down. */
  beginOutage(): void {
    this.throttle.beginOutage();
  }

  /**
   * Time runs at real speed until what was out has recovered, as programs start in real time. Then the clock
   * does not wait for the lights: they present again what was not answered by a back-off in simulated time.
   */
  endOutage(recovered: Promise<void>): void {
    const recovery = `recovery ${this.outages++}`;
    this.throttle.begin(recovery, Number.NEGATIVE_INFINITY);
    this.throttle.endOutage();
    const over = recovered.then(() => {
      this.throttle.end(recovery);
      for (const { name } of this.lights) this.throttle.end(name);
    });
    detach(over, throwUncaught);
  }

  /** Unix time on the lights' clock, seconds with their fraction. */
  wallSeconds(): number {
    return this.clock.wallSeconds();
  }

  /** Runs for so much simulated time, or until `isEnough` says so. */
  async run(simulatedMs: number, isEnough: () => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      const poll = setInterval(() => {
        if (!isEnough()) return;
        clearInterval(poll);
        resolve();
      }, 50);
      this.clock.at(this.startedAtMs + simulatedMs, () => {
        clearInterval(poll);
        resolve();
      });
    });
  }

  /** Lets purchases under way end, within a bound, then stops every light. */
  async stop(drainMs: number): Promise<void> {
    const deadline = performance.now() + drainMs;
    this.throttle.begin("stop", Number.NEGATIVE_INFINITY);
    const isWaiting = (light: Light) =>
      light.state().pending !== null && light.cheating() !== "bad-signatures";
    while (performance.now() < deadline && this.lights.some(isWaiting)) {
      await sleep(20);
    }
    this.clock.stop();
    await Promise.all(this.lights.map((light) => light.stop()));
  }

  progress(): Progress {
    return progressOf(this.lights, this.clock.nowMs() - this.startedAtMs);
  }

  /** What its boards did; null without any. */
  boards(): BoardsResult | null {
    if (this.options.boards === null) return null;
    const runs = [...this.boardRuns.values()];
    const bought = this.lights.map(({ name, monitor }) => (this.boardRuns.has(name) ? monitor.made : 0));
    return {
      lights: runs.length,
      purchases: bought.reduce((sum, made) => sum + made, 0),
      rungsSigned: runs.reduce((sum, { board }) => sum + board.ladder.signed, 0),
      rungsInStore: runs.reduce((sum, { board }) => sum + board.store.ready(), 0),
    };
  }

  private connected(): number {
    return this.lights.filter((light) => this.isConnected(light)).length;
  }

  private isConnected(light: Light): boolean {
    const run = this.boardRuns.get(light.name);
    return light.monitor.made > 0 || (run !== undefined && this.options.boards!.isReady(run));
  }

  private whyNotConnected(): string {
    const waiting = this.lights.filter((light) => !this.isConnected(light)).map((light) => light.state());
    const offline = waiting.filter(({ linkUp }) => !linkUp).length;
    const unoffered = waiting.filter(({ channel }) => channel === null).length;
    const refusal = waiting
      .map(({ offerRefusal, answerRefusal }) => offerRefusal ?? answerRefusal)
      .find(Boolean);
    return (
      `fleet: expected every light to buy once, ${waiting.length} of ${this.lights.length} did not ` +
      `(${offline} not connected, ${unoffered} without an offer${refusal ? `, refusal "${refusal}"` : ""}); ` +
      "are seller and chain reachable, and is the treasury funded?"
    );
  }

  private raise(planned: Site, load: SimulatedLoad, index: number, signerOf: (key: Key) => Signer): Light {
    const { boards, brokerUrlFor, gatewayPublicKey, intervalSeconds } = this.options;
    const { name } = planned;
    const board = boards !== null && index < boards.count ? boards : null;
    const site = board === null ? planned : { ...planned, meter: board.meter, meterInitial: 0 };
    const group = this.groupOf(name);
    const secret = randomBytes(32);
    const key = this.curve.openKey(secret);
    const startOn = (on: Boards) => (parts: HostParts) => {
      const run = on.start(this.braking(name, parts), {
        name,
        secret,
        brokerUrl: brokerUrlFor(group),
        onWait: (waits) => this.waitsFor(`${name} answer`, waits),
      });
      this.boardRuns.set(name, run);
      return run;
    };
    const wanted = energyMilliwattHours(site.lamp.ratedMilliwatts, intervalSeconds * 1000);
    const wantedUnits = Math.max(1, Math.round(wanted), load.own?.wantedUnits ?? 0);
    const light: Light = new Light({
      name,
      key,
      signer: signerOf(key),
      site,
      load,
      settings: settingsOf({
        site,
        load,
        policy: this.options.policyFor(site, group, index),
        wantedUnits,
        speed: this.options.speed,
      }),
      tellsTokens: this.options.tellsTokens,
      tellsPayee: this.options.tellsPayee,
      clock: this.clock,
      link: board === null ? this.openLink(site, key, group) : board.link,
      gatewayPublicKey,
      wantedUnits,
      ...(board === null ? {} : { start: startOn(board) }),
      onPurchase: (begins, roundTripMs) => this.notePurchase(light, begins, roundTripMs),
      onServed: (waits) => this.waitsToBeServed(name, waits),
      onLeft: () => this.throttle.end(name),
    });
    return light;
  }

  /** The parts of a board, whose connection shows itself only by the machine's steps. */
  private braking(name: string, parts: HostParts): HostParts {
    return {
      ...parts,
      observe: (event, effects, state) => {
        if (event.type === "link") this.waitsFor(`${name} link`, !event.up);
        parts.observe?.(event, effects, state);
      },
    };
  }

  private waitsFor(what: string, waits: boolean): void {
    if (waits) this.throttle.begin(what, this.clock.nowMs());
    else this.throttle.end(what);
  }

  /** At a border each second without a seller is one of the drive: time runs at real speed until somebody sells. */
  private waitsToBeServed(name: string, waits: boolean): void {
    if (waits) this.throttle.begin(`${name} seller`, Number.NEGATIVE_INFINITY);
    else this.throttle.end(`${name} seller`);
  }

  private connection({ name, random }: Site, key: Key, group: string): HostLink {
    const { account, isLean, brokerUrlFor, gatewayPublicKey } = this.options;
    const brokerUrl = brokerUrlFor(group);
    // Connections live in real time, whatever the lights' own clock does.
    const clock = systemClock();
    const common = { brokerUrl, keepaliveSeconds: KEEPALIVE_SECONDS, clock, reconnect: RECONNECT };
    if (!isLean) {
      const onTrouble = (text: string) => this.troubles.take(name, text);
      return openMqttLink({
        ...common,
        ...account,
        protocolVersion: 4,
        key,
        gatewayPublicKey,
        random,
        onTrouble,
      });
    }
    const gatewayAddress = addressOf(gatewayPublicKey);
    const onTrouble = (text: string) => this.troubles.take("a light", text);
    const links =
      this.leanLinks.get(brokerUrl) ??
      new LeanLinks({ ...common, gatewayAddress, random: this.sample, onTrouble });
    this.leanLinks.set(brokerUrl, links);
    return links.open(key);
  }

  private openLink(site: Site, key: Key, group: string): HostLink {
    const { name } = site;
    const link = this.connection(site, key, group);
    return {
      close: () => link.close(),
      publish: (leaf, payload, retained) => link.publish(leaf, payload, retained),
      onMessage: (take) =>
        link.onMessage((leaf, payload) => {
          this.clock.catchUp();
          take(leaf, payload);
        }),
      onChange: (take) =>
        link.onChange((up) => {
          this.clock.catchUp();
          this.waitsFor(`${name} link`, !up);
          take(up);
        }),
    };
  }

  private groupOf(name: string): string {
    return this.options.groups.get(name) ?? EVERYONE;
  }

  private notePurchase(light: Light, begins: boolean, roundTripMs: number): void {
    if (begins) {
      if (light.cheating() !== "bad-signatures") this.throttle.begin(light.name, this.clock.nowMs());
      return;
    }
    this.throttle.end(light.name);
    this.purchases++;
    if (this.latenciesMs.length < LATENCIES_MAX) this.latenciesMs.push(roundTripMs);
    else {
      const slot = Math.floor(this.sample() * this.purchases);
      if (slot < LATENCIES_MAX) this.latenciesMs[slot] = roundTripMs;
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
