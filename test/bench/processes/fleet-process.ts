/**
 * A fleet of lights in a process of its own: the device machine as it is, with as much to buy as it can.
 *
 * Promise: every light is the product's own runtime; only its meter and its wish to buy are the bench's. Its link is
 * the lean one and it signs by libsecp256k1, so that the fleet is not what is measured.
 */
import { randomBytes } from "node:crypto";
import type { Checkpoint, Reading } from "#core/events";
import type { Settings, State } from "#core/machine";
import type { Journal, Lamp, Meter } from "#core/ports";
import { type Host, startHost } from "#node/host";
import { openNativeKey } from "#node/key/native-key";
import { fromHex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { addressOf } from "#payment/key";
import { LeanLinks } from "#simulator/fleet/lights/lean-link";
import { quickSigners } from "#simulator/fleet/lights/quick-signer";
import { percentile } from "../figures.ts";
import { FleetClock } from "../fleet-clock.ts";
import { Gate, GatedLink, type Passage } from "../gate.ts";
import { answerParent, optionsOfParent } from "./child.ts";

export interface FleetProcessOptions {
  readonly brokerUrl: string;
  /** 0x and hex digits. */
  readonly gatewayPublicKey: string;
  readonly chainId: number;
  readonly token: string;
  /** What one purchase lasts, real seconds; null: lights that buy as often as they may. */
  readonly intervalSeconds: number | null;
  /** It is day: lamps that are off, and buy nothing. */
  readonly isDay: boolean;
}

/** What lights went without, since it was asked for the last time. */
export interface Starved {
  readonly lights: number;
  readonly longestMs: number;
}

/** What a fleet did so far. */
export interface FleetMark {
  readonly atMs: number;
  readonly purchases: number;
  readonly cpuMicroseconds: number;
}

export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly answers: number;
}

/** mWh that one purchase of 10 atomic units buys at 200,000 for a kWh. */
const WANTED_UNITS = 50;

/** Credit that no purchase ever fills: a light buys again as soon as it may. */
const INSATIABLE_PERMILLE = 1e12;

/** A light buys when seven tenths of a purchase are left: the rest is the time an answer may take. */
const LOW_MARK_PERMILLE = 700;

const CONNECT_AT_ONCE = 100;
const CONNECT_STEP_MS = 20;
const BOUGHT_MS = 120_000;
/** Longest wait for answers under way. */
const REST_MS = 10_000;

const { brokerUrl, gatewayPublicKey, chainId, token, intervalSeconds, isDay } =
  optionsOfParent<FleetProcessOptions>();
const publicKey = fromHex(gatewayPublicKey);
const clock = new FleetClock();
const signerOf = await quickSigners();
const gate = new Gate();
const lights: Host[] = [];
const starved = { lights: new Set<string>(), longestMs: 0 };
/** A lamp so strong that one purchase lasts its interval; none where lights buy as often as they may. */
const loadMilliwatts = intervalSeconds === null ? 0 : (WANTED_UNITS * 3_600) / intervalSeconds;
let purchases = 0;
let trouble = "";

const road = new LeanLinks({
  brokerUrl,
  gatewayAddress: addressOf(publicKey),
  keepaliveSeconds: 600,
  clock,
  random: Math.random,
  reconnect: { firstMs: 200, maxMs: 5_000 },
  onTrouble: (text) => {
    trouble = text;
  },
});

const SETTINGS: Settings = {
  policy: {
    schemes: ["batch-settlement"],
    network: `eip155:${chainId}`,
    asset: token,
    contracts: [BATCH_SETTLEMENT_ADDRESS],
    payees: [],
    unit: "mWh",
    priceCeiling: 1_000_000,
    quantumMaxAtomic: 10_000,
    dailyBudgetAtomic: 1_000_000_000,
    unpaid: { kind: "off" },
  },
  meter: { rollOverAt: 0, powerMaxMilliwatts: 2 * loadMilliwatts + 1_000 },
  ratedMilliwatts: Math.round(loadMilliwatts) + 1,
  lowMarkPermille: intervalSeconds === null ? INSATIABLE_PERMILLE : LOW_MARK_PERMILLE,
  retry: { firstMs: 10_000, maxMs: 30_000 },
  tickMs: 60_000,
  readingMs: 300_000,
  signsOnDemand: true,
  levelWithoutClock: 0,
};
const DESCRIPTION = {
  model: "bench light",
  firmware: "1",
  meter: "none",
  unit: "mWh",
  wantedUnits: WANTED_UNITS,
};
const ALMANAC = { plan: () => [{ minuteOfDay: 0, levelPercent: isDay ? 0 : 100 }] };
const chainSeconds = () => Date.now() / 1000;

/** What surrounds one device: its meter, lamp and journal in one, and nothing of its own that all have alike. */
class Surroundings implements Meter, Lamp, Journal {
  readonly #name: string;
  #charged = 0;
  #stored: Checkpoint | null = null;
  #level = 0;
  #units = 0;
  #sinceMs = clock.nowMs();
  #darkSinceMs: number | null = null;

  constructor(name: string) {
    this.#name = name;
  }

  read(done: (reading: Reading | null) => void): void {
    this.#burn();
    done({ raw: Math.floor(this.#units), powerMilliwatts: (loadMilliwatts * this.#level) / 100 });
  }

  set(levelPercent: number): void {
    this.#burn();
    this.#level = levelPercent;
  }

  load(): Checkpoint | null {
    return this.#stored;
  }

  store(checkpoint: Checkpoint, done: (error: string | null) => void): void {
    this.#stored = checkpoint;
    done(null);
  }

  look({ channel, levelPercent, wantedPercent }: State): void {
    if (intervalSeconds !== null && this.#charged > 0) {
      this.#watchDark(levelPercent === 0 && wantedPercent > 0);
    }
    if (channel === null || channel.charged <= this.#charged) return;
    this.#charged = channel.charged;
    purchases += 1;
  }

  #burn(): void {
    const nowMs = clock.nowMs();
    this.#units += (((loadMilliwatts * this.#level) / 100) * (nowMs - this.#sinceMs)) / 3_600_000;
    this.#sinceMs = nowMs;
  }

  #watchDark(isDark: boolean): void {
    if (isDark) this.#darkSinceMs ??= clock.nowMs();
    if (this.#darkSinceMs === null) return;
    starved.lights.add(this.#name);
    starved.longestMs = Math.max(starved.longestMs, clock.nowMs() - this.#darkSinceMs);
    if (!isDark) this.#darkSinceMs = null;
  }
}

function raise(): Host {
  const key = openNativeKey(randomBytes(32));
  const surroundings = new Surroundings(key.address);
  return startHost({
    settings: SETTINGS,
    key,
    gatewayPublicKey: publicKey,
    clock,
    chainSeconds,
    random: Math.random,
    meter: surroundings,
    lamp: surroundings,
    journal: surroundings,
    link: new GatedLink(road.open(key), gate),
    almanac: ALMANAC,
    describe: DESCRIPTION,
    signer: signerOf(key),
    observe(_event, _effects, state) {
      surroundings.look(state);
    },
  });
}

/** Until a condition holds of all lights. */
async function all(isSo: (light: Host) => boolean, what: string, passage: Passage = "open"): Promise<void> {
  const passingMs = typeof passage === "number" ? (1000 * lights.length) / passage : 0;
  const deadlineMs = performance.now() + BOUGHT_MS + 20 * lights.length + 2 * passingMs;
  for (let left = lights.filter((light) => !isSo(light)); left.length > 0; ) {
    if (performance.now() > deadlineMs) {
      const { offerRefusal, answerRefusal, linkUp } = left[0]!.state();
      const known = JSON.stringify({ offerRefusal, answerRefusal, linkUp });
      throw new Error(
        `expected ${lights.length} lights ${what}, ${left.length} are not: ${known}; ${trouble}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, CONNECT_STEP_MS));
    left = left.filter((light) => !isSo(light));
  }
}

/** Shuts the gate and waits for what is under way. */
async function rest(): Promise<void> {
  gate.set("shut");
  const deadlineMs = performance.now() + REST_MS;
  while (gate.underWay > 0 && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, CONNECT_STEP_MS));
  }
}

answerParent(
  {
    /** Raises so many more lights; resolves when each has its offer. */
    async connect({ count }: { count: number }) {
      for (let raised = 1; raised <= count; raised++) {
        lights.push(raise());
        if (raised % CONNECT_AT_ONCE === 0) await all((light) => light.state().linkUp, "connected");
      }
      await all((light) => light.state().channel !== null, "with an offer");
    },
    /** Resolves when each light has bought once: its channel is open then. */
    async buyOnce({ passage }: { passage: Passage }) {
      gate.set(passage);
      await all((light) => (light.state().channel?.charged ?? 0) > 0, "that have bought", passage);
      await rest();
      gate.latenciesMs = [];
    },
    pass: ({ passage }: { passage: Passage }) => gate.set(passage),
    rest,
    mark(): FleetMark {
      const { user, system } = process.cpuUsage();
      return { atMs: performance.now(), purchases, cpuMicroseconds: user + system };
    },
    /** Of the answers since the last time it was asked for. */
    latency(): Latency {
      const samples = gate.latenciesMs;
      gate.latenciesMs = [];
      return { p50: percentile(samples, 0.5), p99: percentile(samples, 0.99), answers: samples.length };
    },
    starved(): Starved {
      const found = { lights: starved.lights.size, longestMs: starved.longestMs };
      starved.lights.clear();
      starved.longestMs = 0;
      return found;
    },
    /** What is not referenced any more is not weighed; needs --expose-gc. */
    collect: () => globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" }),
    /** Payload up and down of one payment, bytes. */
    payloadBytes: () => gate.payloadBytes / gate.answers,
    /** Of every light, by its account at the seller: what it knows to be charged. */
    charged: () =>
      lights.map((light) => {
        const { id, charged } = light.state().channel!;
        return { id, charged };
      }),
  },
  async () => {
    gate.close();
    await Promise.all(lights.map((light) => light.stop().catch(() => undefined)));
  },
);
