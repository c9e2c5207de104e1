import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Event } from "#core/events";
import type { State } from "#core/machine";
import { channelTagOf } from "#core/purchase";
import { chooseQuantum } from "#gateway/purchase/channels";
import { startHost } from "#node/host";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { decodePay, encodeGrant } from "#protocol/frames";
import type { OfferMessage } from "#protocol/messages";
import { sealFrame, sealJson } from "#protocol/tag";
import { generateCity } from "#simulator/city/generate";
import { LampModel } from "#simulator/fleet/lamp-model";
import { type Pole, polesOf } from "#simulator/fleet/street";
import { newAccount, purchase } from "#simulator/utility/accounts";
import { DEFAULT_MENU, quoting, seriesTariff } from "#simulator/utility/tariff";
import { runCalmCity, sumUp } from "#simulator/world/calm/calm-city";
import { type CalmOptions, runCalmLight } from "#simulator/world/calm/calm-light";
import { COUNTERS, calmSettings } from "#simulator/world/calm/calm-share";
import { packCity, unpackLight } from "#simulator/world/calm/packed-city";
import {
  BenchClock,
  CHANNEL,
  CHANNEL_ID,
  DEVICE_KEY,
  GATEWAY_KEY,
  SELLER,
  TAGGER,
} from "../../device/node/bench.ts";

const EPOCH_SECONDS = Date.UTC(2026, 0, 15, 12) / 1000;
const ANSWER_MS = 60;
const BALANCE = 10_000_000;

/** What a light did: every event it took, and what it owed and showed behind it. */
interface Seen {
  readonly type: Event["type"];
  readonly atMs: number;
  readonly charged: number;
  readonly signed: number;
  readonly register: number;
  readonly granted: number;
  readonly levelPercent: number;
}

function seen(event: Event, state: State): Seen {
  return {
    type: event.type,
    atMs: event.at.nowMs,
    charged: state.channel?.charged ?? 0,
    signed: state.channel?.signed ?? 0,
    register: state.register.total,
    granted: state.account?.granted ?? 0,
    levelPercent: state.levelPercent,
  };
}

function optionsFor(hours: number, prices: readonly number[]): CalmOptions {
  const points = prices.map((pricePerMillionUnits, nth) => ({
    startSeconds: EPOCH_SECONDS - 3600 + nth * 4 * 3600,
    pricePerMillionUnits,
  }));
  return {
    epochSeconds: EPOCH_SECONDS,
    durationMs: hours * 3_600_000,
    quote: quoting(seriesTariff(points)),
    menu: DEFAULT_MENU,
    terms: {
      scheme: "batch-settlement",
      network: "eip155:31337",
      asset: CHANNEL.token,
      payTo: SELLER,
      contract: BATCH_SETTLEMENT_ADDRESS,
      tokenName: "USD Coin",
      tokenVersion: "2",
    },
    balance: BALANCE,
    answerMs: ANSWER_MS,
  };
}

function settingsFor(pole: Pole, wantedUnits: number) {
  const settings = calmSettings(pole.lamp, pole.meter, wantedUnits);
  const policy = { ...settings.policy, network: "eip155:31337", asset: CHANNEL.token, payees: [SELLER] };
  return { ...settings, policy };
}

/** The same light under the real host, with sealed frames, signatures and a seller behind them. */
function runHosted(pole: Pole, wantedUnits: number, options: CalmOptions): Seen[] {
  const log: Seen[] = [];
  const clock = new BenchClock();
  clock.startSeconds = EPOCH_SECONDS;
  const model = new LampModel(pole.lamp, pole.meter, pole.meterInitial, () => clock.nowMs());
  const quote = () => options.quote(EPOCH_SECONDS + clock.nowMs() / 1000);
  let account = newAccount(CHANNEL_ID, "batch-settlement");
  let deliver: (leaf: string, payload: Uint8Array) => void = () => {};
  let revision = 0;
  let offered = 0;

  function offer(): void {
    offered = quote().pricePerMillionUnits;
    const tariff = { unit: "mWh", pricePerMillionUnits: offered, validUntilSeconds: 0, menu: DEFAULT_MENU };
    const message: OfferMessage = {
      v: 1,
      revision: ++revision,
      resource: "http://seller.example/v1/energy",
      requirements: {
        scheme: "batch-settlement",
        network: "eip155:31337",
        amount: String(chooseQuantum(tariff, wantedUnits)),
        asset: CHANNEL.token,
        payTo: SELLER,
        maxTimeoutSeconds: 60,
        extra: { name: "USD Coin", version: "2" },
      },
      channel: CHANNEL,
      unit: "mWh",
      pricePerMillionUnits: offered,
      validUntilSeconds: 0,
      balance: BALANCE,
      charged: account.charged,
      granted: account.granted,
    };
    deliver("offer", sealJson(TAGGER, "offer", message));
  }

  function sell(frame: Uint8Array): void {
    const pay = decodePay(frame).frame!;
    clock.at(clock.nowMs() + ANSWER_MS, () => {
      const now = quote();
      account = purchase(account, pay.maxClaimable - account.charged, now).account;
      const grant = encodeGrant({
        refusal: null,
        channelTag: channelTagOf(CHANNEL_ID),
        charged: account.charged,
        granted: account.granted,
        ...now,
      });
      deliver("grant", sealFrame(TAGGER, "grant", grant));
      if (now.pricePerMillionUnits !== offered) offer();
    });
  }

  startHost({
    settings: settingsFor(pole, wantedUnits),
    key: DEVICE_KEY,
    gatewayPublicKey: GATEWAY_KEY.publicKey,
    clock,
    chainSeconds: () => clock.wallSeconds(),
    random: pole.random,
    meter: model,
    lamp: model,
    journal: { load: () => null, store: (_, done) => done(null) },
    link: {
      publish: (leaf, payload) => {
        if (leaf === "hello") offer();
        if (leaf === "pay") sell(payload);
      },
      onMessage: (take) => {
        deliver = take;
      },
      onChange: (take) => take(true),
      close: async () => {},
    },
    almanac: pole.almanac,
    describe: { model: "calm", firmware: "test", meter: pole.meter.name, unit: "mWh", wantedUnits },
    observe: (event, _, state) => log.push(seen(event, state)),
  });
  clock.advance(options.durationMs);
  return log;
}

describe("a calm night", () => {
  it("is the host's own night, event by event, on random poles and prices", () => {
    const price = fc.integer({ min: 50_000, max: 600_000 });
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 3, max: 20 }),
        fc.array(price, { minLength: 1, maxLength: 6 }),
        (seed, minutes, prices) => {
          const options = optionsFor(20, prices);
          // Twice the same pole: its random numbers are drawn as it lives.
          const [calm, hosted] = [0, 1].map(() => polesOf(generateCity({ lights: 1, seed }))[0]!);
          const wantedUnits = Math.round((calm!.lamp.ratedMilliwatts * minutes) / 60);
          const log: Seen[] = [];
          const settings = settingsFor(calm!, wantedUnits);
          runCalmLight(calm!, settings, wantedUnits, CHANNEL_ID, options, (event, state) =>
            log.push(seen(event, state)),
          );
          const expected = runHosted(hosted!, wantedUnits, options);
          // The calm night lets the last purchase end; the host stops at the hour.
          expect(log.slice(0, expected.length)).toEqual(expected);
          expect(log.length - expected.length).toBeLessThanOrEqual(4);
          expect(log.filter(({ type }) => type === "grant").length).toBeGreaterThan(5);
        },
      ),
      { numRuns: 12 },
    );
  });

  it("of a whole city reconciles, and does not depend on the number of workers", async () => {
    const city = { lights: 1_100, nights: 1, seed: 7 };
    const one = await runCalmCity({ ...city, workers: 1 });
    const three = await runCalmCity({ ...city, workers: 3 });
    expect(one.violations).toEqual([]);
    expect(one.charged).toBe(one.signed);
    expect(one.charged).toBeGreaterThan(0);
    expect(Math.abs(one.delivered - one.consumed)).toBeLessThan(1_100 * city.lights);
    const { peakMiB: _, ...alike } = one;
    expect(three).toMatchObject(alike);
  });

  it("tells which light's counter is off by one", () => {
    const row: Record<(typeof COUNTERS)[number], number> = {
      signed: 300,
      charged: 300,
      credited: 1500,
      granted: 1500,
      consumed: 1400,
      purchases: 3,
      delivered: 1400,
      starvedMs: 0,
      events: 9,
      hash: 1,
      broken: 0,
    };
    const rows = (bent: Partial<typeof row>) =>
      Float64Array.from([row, { ...row, ...bent }].flatMap((of) => COUNTERS.map((name) => of[name])));
    const told = (bent: Partial<typeof row>) =>
      sumUp(rows(bent), 2, 0).violations.map(({ invariant, light }) => `${invariant} ${light}`);
    expect(told({})).toEqual([]);
    expect(told({ charged: 301 })).toEqual(["M2 light-2"]);
    expect(told({ credited: 1501 })).toEqual(["E2 light-2"]);
    expect(told({ broken: 1 })).toEqual(["E1 light-2"]);
    expect(told({ broken: 3 })).toEqual(["M1 light-2"]);
  });

  it("unpacks every light as the generator made it", () => {
    const city = generateCity({ lights: 300, seed: 11 });
    const packed = packCity(city);
    for (const [nth, light] of city.lights.entries()) {
      const { lamp, meter, meterInitial, latitude, longitude, dimming, switchEarlyMinutes } = light;
      const kept = { lamp, meter, meterInitial, latitude, longitude, dimming, switchEarlyMinutes };
      expect(unpackLight(packed, nth)).toMatchObject(kept);
    }
  });
});
