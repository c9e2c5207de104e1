/**
 * A fleet of lights in a process of its own: the device machine as it is, with as much to buy as it can.
 *
 * Promise: every light is the product's own runtime; only its meter and its wish to buy are the bench's. Its link is
 * the lean one and it signs by libsecp256k1, so that the fleet is not what is measured.
 */
import { randomBytes } from "node:crypto";
import type { Checkpoint } from "#core/events";
import { systemClock } from "#node/clock";
import { type Host, startHost } from "#node/host";
import { openNativeKey } from "#node/native-key";
import { fromHex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { addressOf } from "#payment/key";
import { openLeanLink, Soon } from "#simulator/fleet/lean-link";
import { answerParent, optionsOfParent } from "./child.ts";
import { percentile } from "./figures.ts";
import { Gate, GatedLink, type Passage } from "./gate.ts";

export interface FleetProcessOptions {
  readonly brokerUrl: string;
  /** 0x and hex digits. */
  readonly gatewayPublicKey: string;
  readonly chainId: number;
  readonly token: string;
  /** What one purchase lasts, real seconds; null: lights that buy as often as they may. */
  readonly intervalSeconds: number | null;
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

const { brokerUrl, gatewayPublicKey, chainId, token, intervalSeconds } =
  optionsOfParent<FleetProcessOptions>();
const publicKey = fromHex(gatewayPublicKey);
const gatewayAddress = addressOf(publicKey);
const soon = new Soon();
const clock = systemClock();
const gate = new Gate();
const lights: Host[] = [];
const starved = { lights: new Set<string>(), longestMs: 0 };
/** A lamp so strong that one purchase lasts its interval; none where lights buy as often as they may. */
const loadMilliwatts = intervalSeconds === null ? 0 : (WANTED_UNITS * 3_600) / intervalSeconds;
let purchases = 0;
let trouble = "";

function raise(): Host {
  const key = openNativeKey(randomBytes(32));
  let charged = 0;
  let stored: Checkpoint | null = null;
  let level = 0;
  let units = 0;
  let sinceMs = clock.nowMs();
  let darkSinceMs: number | null = null;
  const burn = () => {
    const nowMs = clock.nowMs();
    units += (((loadMilliwatts * level) / 100) * (nowMs - sinceMs)) / 3_600_000;
    sinceMs = nowMs;
  };
  function watchDark(isDark: boolean): void {
    if (isDark) darkSinceMs ??= clock.nowMs();
    if (darkSinceMs === null) return;
    starved.lights.add(key.address);
    starved.longestMs = Math.max(starved.longestMs, clock.nowMs() - darkSinceMs);
    if (!isDark) darkSinceMs = null;
  }

  const link = openLeanLink({
    brokerUrl,
    key,
    gatewayAddress,
    soon,
    keepaliveSeconds: 600,
    clock,
    random: Math.random,
    reconnect: { firstMs: 200, maxMs: 5_000 },
    onTrouble: (text) => {
      trouble = text;
    },
  });
  return startHost({
    settings: {
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
      levelWithoutClock: 0,
    },
    key,
    gatewayPublicKey: publicKey,
    clock,
    chainSeconds: () => Date.now() / 1000,
    random: Math.random,
    meter: {
      read(done) {
        burn();
        done({ raw: Math.floor(units), powerMilliwatts: (loadMilliwatts * level) / 100 });
      },
    },
    lamp: {
      set(levelPercent) {
        burn();
        level = levelPercent;
      },
    },
    journal: {
      load: () => stored,
      store(checkpoint, done) {
        stored = checkpoint;
        done(null);
      },
    },
    link: new GatedLink(link, gate),
    almanac: { plan: () => [{ minuteOfDay: 0, levelPercent: 100 }] },
    describe: {
      model: "bench light",
      firmware: "1",
      meter: "none",
      unit: "mWh",
      wantedUnits: WANTED_UNITS,
    },
    observe(_event, _effects, { channel, levelPercent, wantedPercent }) {
      if (intervalSeconds !== null && charged > 0) watchDark(levelPercent === 0 && wantedPercent > 0);
      if (channel === null || channel.charged <= charged) return;
      charged = channel.charged;
      purchases += 1;
    },
  });
}

/** Until a condition holds of all lights. */
async function all(isSo: (light: Host) => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + BOUGHT_MS + 20 * lights.length;
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
      await all((light) => (light.state().channel?.charged ?? 0) > 0, "that have bought");
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
    /** What nobody holds any more is not weighed; needs --expose-gc. */
    collect: () => globalThis.gc?.(),
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
