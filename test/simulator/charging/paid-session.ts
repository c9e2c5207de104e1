/**
 * One charging session, paid as it goes: the real device host and machine, its real side of OCPP, a simulated charge point
 * on a real WebSocket, and a gateway made of the same frames and tags as the real one.
 */
import type { Checkpoint } from "#core/events";
import { channelTagOf } from "#core/rungs";
import { startHost } from "#node/host";
import { decodePay, encodeGrant } from "#protocol/frames";
import { type OfferMessage, readState } from "#protocol/messages";
import { peekJson, sealFrame, sealJson } from "#protocol/tag";
import type { ChargingFault } from "#simulator/charging/charging-faults";
import { type ChargingSiteOptions, openChargingSite } from "#simulator/charging/charging-site";
import { seededRandom } from "#simulator/city/random";
import {
  ASSET,
  CHANNEL,
  CHANNEL_ID,
  DEVICE_KEY,
  EVENING_SECONDS,
  GATEWAY_KEY,
  SELLER,
  SETTINGS,
  TAGGER,
} from "../../device/node/fixtures.ts";
import { TurnClock } from "./turn-clock.ts";

/** $0.20 a kilowatt-hour. */
const PRICE = 200_000;
const GRANT_MS = 400;

export interface SessionOptions {
  readonly seed: number;
  readonly version: ChargingSiteOptions["version"];
  readonly faults?: readonly ChargingFault[];
  readonly minutes?: number;
  readonly strikeMinute?: number;
  readonly stays?: ChargingSiteOptions["stays"];
  readonly charger?: Readonly<Record<string, unknown>>;
  /** No payment is answered from this minute on. */
  readonly unpaidFromMinute?: number;
}

export interface SessionOutcome {
  readonly deliveredMilliwattHours: number;
  readonly registerMilliwattHours: number;
  readonly grantedMilliwattHours: number;
  readonly quantumMilliwattHours: number;
  /** The most by which delivery was ever ahead of what was granted; negative when it never was. */
  readonly overshootMilliwattHours: number;
  readonly excessMilliwattHours: number;
  readonly payments: number;
  readonly obeys: boolean;
  readonly inTransaction: boolean;
  readonly trouble: string | null;
  /** What its state message says last. */
  readonly refusal: string | null;
  readonly troubles: readonly string[];
  readonly remarks: readonly string[];
  readonly shownCost: number | null;
}

export async function runSession(options: SessionOptions): Promise<SessionOutcome> {
  const { seed, version, faults = [], minutes = 30, strikeMinute = 10, charger } = options;
  const clock = new TurnClock(EVENING_SECONDS);
  const random = seededRandom(seed);
  const site = await openChargingSite({
    clock,
    random,
    version,
    faults,
    strikeSeconds: strikeMinute * 60,
    onWait: clock.onWait,
    ...(options.stays && { stays: options.stays }),
    ...(charger && { charger }),
  });
  const { wantedUnits } = site;
  const quantumAtomic = Math.ceil((wantedUnits * PRICE) / 1e6);
  const unpaidMs = (options.unpaidFromMinute ?? Number.POSITIVE_INFINITY) * 60_000;
  let granted = 0;
  let payments = 0;
  let refusal: string | null = null;
  let takeMessage: (leaf: string, payload: Uint8Array) => void = () => {};
  let stored: Checkpoint | null = null;
  const host = startHost({
    settings: {
      ...SETTINGS,
      policy: { ...SETTINGS.policy, quantumMaxAtomic: 10 * quantumAtomic, dailyBudgetAtomic: 1e9 },
      meter: { rollOverAt: 0, powerMaxMilliwatts: site.settings.powerMaxMilliwatts },
      ratedMilliwatts: site.settings.ratedMilliwatts,
      tickMs: site.settings.tickMs,
      lowMarkPermille: 1500,
    },
    key: DEVICE_KEY,
    signer: { sign: (_request, done) => done(new Uint8Array(65).fill(27)) },
    gatewayPublicKey: GATEWAY_KEY.publicKey,
    clock,
    chainSeconds: () => clock.wallSeconds(),
    random,
    meter: site.meter,
    lamp: site.load,
    almanac: site.almanac,
    journal: {
      load: () => stored,
      store: (checkpoint, done) => {
        stored = checkpoint;
        done(null);
      },
    },
    link: {
      publish: (leaf, payload) => {
        if (leaf === "hello") takeMessage("offer", sealJson(TAGGER, "offer", offerOf(quantumAtomic)));
        if (leaf === "state") refusal = readState(peekJson(payload) ?? "").message?.refusal ?? null;
        if (leaf !== "pay") return;
        const { maxClaimable } = decodePay(payload).frame!;
        clock.at(clock.nowMs() + GRANT_MS, () => {
          if (clock.nowMs() > unpaidMs) return;
          payments = Math.max(payments, maxClaimable / quantumAtomic);
          granted = Math.max(granted, Math.floor((maxClaimable * 1e6) / PRICE));
          takeMessage("grant", sealFrame(TAGGER, "grant", grantOf(maxClaimable, granted)));
        });
      },
      onMessage: (take) => {
        takeMessage = take;
      },
      onChange: (take) => clock.at(clock.nowMs() + 1, () => take(true)),
      close: async () => {},
    },
    describe: { model: "bench", firmware: "0", meter: "ocpp", unit: "mWh", wantedUnits },
    observe: (_event, _effects, state) => site.observe(state),
  });
  let overshoot = Number.NEGATIVE_INFINITY;
  const troubles = new Set<string>();
  const remarks = new Set<string>();
  await clock.run(minutes * 60_000, () => {
    overshoot = Math.max(overshoot, site.truth.deliveredMilliwattHours() - granted);
    const [trouble, remark] = [site.trouble(), site.remark()];
    if (trouble !== null) troubles.add(trouble);
    if (remark !== null) remarks.add(remark);
  });
  const { register, account } = host.state();
  const outcome = {
    deliveredMilliwattHours: site.truth.deliveredMilliwattHours(),
    registerMilliwattHours: register.total - (account?.registerAtOpen ?? 0),
    grantedMilliwattHours: granted,
    quantumMilliwattHours: wantedUnits,
    overshootMilliwattHours: overshoot,
    excessMilliwattHours: site.excessMilliwattHours(),
    payments,
    obeys: site.obeys,
    inTransaction: site.truth.isInTransaction(),
    trouble: site.trouble(),
    refusal,
    troubles: [...troubles],
    remarks: [...remarks],
    shownCost: site.truth.shownCost(),
  };
  await host.stop();
  await site.close();
  return outcome;
}

function offerOf(quantumAtomic: number): OfferMessage {
  return {
    v: 1,
    revision: 1,
    resource: "http://seller/energy",
    requirements: {
      scheme: "batch-settlement",
      network: "eip155:31337",
      amount: String(quantumAtomic),
      asset: ASSET,
      payTo: SELLER,
      maxTimeoutSeconds: 3600,
      extra: { name: "USD Coin", version: "2" },
    },
    channel: CHANNEL,
    unit: "mWh",
    pricePerMillionUnits: PRICE,
    validUntilSeconds: 0,
    balance: 1_000_000_000,
    charged: 0,
    granted: 0,
  };
}

function grantOf(charged: number, granted: number): Uint8Array {
  return encodeGrant({
    refusal: null,
    channelTag: channelTagOf(CHANNEL_ID),
    charged,
    granted,
    pricePerMillionUnits: PRICE,
    validUntilSeconds: 0,
  });
}
