/** A light in software, 7.2 kW so that it buys several times a second: its owner's settings, its lamp and its meter. */
import { randomBytes } from "node:crypto";
import {
  type Clock,
  type Host,
  type Lamp,
  type Meter,
  openJournal,
  openMqttLink,
  type Settings,
  startHost,
  systemClock,
} from "watt402/device";
import type { Gateway } from "watt402/gateway";
import { BATCH_SETTLEMENT_ADDRESS, fromHex, openKey } from "watt402/payment";
import { type Market, PRICE } from "./market.ts";

const RATED_MILLIWATTS = 7_200_000;
const MS_PER_HOUR = 3_600_000;

/** What the owner allows it to sign, and how it behaves. */
export function settingsOn({ chainId, token }: Market["chain"]): Settings {
  return {
    policy: {
      schemes: ["batch-settlement"],
      network: `eip155:${chainId}`,
      asset: token,
      contracts: [BATCH_SETTLEMENT_ADDRESS],
      payees: [],
      unit: "mWh",
      priceCeiling: 2 * PRICE,
      quantumMaxAtomic: 1_000,
      dailyBudgetAtomic: 1_000_000,
      unpaid: { kind: "off" },
    },
    meter: { rollOverAt: 0, powerMaxMilliwatts: 2 * RATED_MILLIWATTS },
    ratedMilliwatts: RATED_MILLIWATTS,
    lowMarkPermille: 500,
    retry: { firstMs: 100, maxMs: 1_000 },
    tickMs: 1_000,
    readingMs: 5_000,
    signsOnDemand: true,
    levelWithoutClock: 100,
  };
}

/** Lit all day. */
export const ALMANAC = { plan: () => [{ minuteOfDay: 0, levelPercent: 100 }] };

/** What a device says of itself when it enrols. */
export const DESCRIPTION = {
  model: "example light",
  firmware: "1",
  meter: "simulated",
  unit: "mWh",
  wantedUnits: 500,
};

/** A lamp, and the meter that counts what it draws. */
export class SimulatedLamp implements Lamp, Meter {
  readonly #clock: Clock;
  #powerMilliwatts = 0;
  #milliwattHours = 0;
  #sinceMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  set(levelPercent: number): void {
    this.#count();
    this.#powerMilliwatts = (RATED_MILLIWATTS * levelPercent) / 100;
  }

  read(done: Parameters<Meter["read"]>[0]): void {
    this.#count();
    done({ raw: Math.floor(this.#milliwattHours), powerMilliwatts: this.#powerMilliwatts });
  }

  #count(): void {
    const nowMs = this.#clock.nowMs();
    this.#milliwattHours += (this.#powerMilliwatts * (nowMs - this.#sinceMs)) / MS_PER_HOUR;
    this.#sinceMs = nowMs;
  }
}

/** A light with a key of its own that buys from this gateway until it is stopped. */
export function startLight(market: Market, { brokerUrl, publicKey }: Gateway): Host {
  const clock = systemClock();
  const key = openKey(randomBytes(32));
  const gatewayPublicKey = fromHex(publicKey);
  const lamp = new SimulatedLamp(clock);
  const host = startHost({
    settings: settingsOn(market.chain),
    key,
    gatewayPublicKey,
    clock,
    chainSeconds: clock.wallSeconds,
    random: Math.random,
    meter: lamp,
    lamp,
    journal: openJournal(`${market.folder}/${key.address}.journal`),
    link: openMqttLink({
      brokerUrl,
      protocolVersion: 4,
      key,
      gatewayPublicKey,
      keepaliveSeconds: 10,
      clock,
      random: Math.random,
      onTrouble: (text) => console.error(text),
    }),
    almanac: ALMANAC,
    describe: DESCRIPTION,
  });
  market.add(host);
  return host;
}

/** Atomic units that a light was charged so far. */
export function chargedTo(light: Host): number {
  return light.state().channel?.charged ?? 0;
}
