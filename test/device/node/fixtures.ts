/**
 * A device on the bench: the real host and machine, with clock, meter, lamp, journal and link in the
 * test's hands, and a gateway made of the same frames and tags as the real one.
 */
import type { Checkpoint, PlanStep } from "#core/events";
import type { Settings } from "#core/machine";
import type { Clock, Signer } from "#core/ports";
import { type Host, type HostParts, startHost } from "#node/host";
import { hmacSha256 } from "#node/key/native-hmac";
import { BATCH_SETTLEMENT_ADDRESS, channelIdOf } from "#payment/channel";
import { openKey } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import { decodePay, encodeGrant, type Pay } from "#protocol/frames";
import type { ChannelConfig, OfferMessage } from "#protocol/messages";
import { isSealedFrame, openJson, sealFrame, sealJson, type Tagger } from "#protocol/tag";

export const DEVICE_KEY = openKey(new Uint8Array(32).fill(7));
export const GATEWAY_KEY = openKey(new Uint8Array(32).fill(9));
export const TAGGER: Tagger = { hmac: hmacSha256, key: tagKeyBetween(GATEWAY_KEY, DEVICE_KEY.publicKey) };

export const ASSET = `0x${"aa".repeat(20)}`;
export const SELLER = `0x${"bb".repeat(20)}`;
/** 2026-11-20 20:00 UTC: the plan below asks for full light. */
export const EVENING_SECONDS = Date.UTC(2026, 10, 20, 20) / 1000;
export const ALWAYS_ON: readonly PlanStep[] = [{ minuteOfDay: 0, levelPercent: 100 }];

export const CHANNEL: ChannelConfig = {
  payer: `0x${"cc".repeat(20)}`,
  payerAuthorizer: DEVICE_KEY.address,
  receiver: SELLER,
  receiverAuthorizer: SELLER,
  token: ASSET,
  withdrawDelay: 86400,
  salt: `0x${"01".repeat(32)}`,
};
export const CHANNEL_ID = channelIdOf(CHANNEL, 31337);

export const SETTINGS: Settings = {
  policy: {
    schemes: ["batch-settlement", "exact"],
    network: "eip155:31337",
    asset: ASSET,
    contracts: [BATCH_SETTLEMENT_ADDRESS, ASSET],
    payees: [SELLER],
    unit: "mWh",
    priceCeiling: 400_000,
    quantumMaxAtomic: 1000,
    dailyBudgetAtomic: 1_000_000,
    unpaid: { kind: "off" },
  },
  meter: { rollOverAt: 0, powerMaxMilliwatts: 100_000 },
  ratedMilliwatts: 60_000,
  lowMarkPermille: 700,
  retry: { firstMs: 2000, maxMs: 60_000 },
  tickMs: 60_000,
  readingMs: 300_000,
  signsOnDemand: true,
  levelWithoutClock: 0,
};

/** Time that moves only when the test says so. */
export class BenchClock implements Clock {
  private timeMs = 0;
  private readonly timers = new Set<{ readonly atMs: number; readonly wake: () => void }>();
  startSeconds: number | null = EVENING_SECONDS;

  nowMs(): number {
    return this.timeMs;
  }
  wallSeconds(): number | null {
    return this.startSeconds === null ? null : this.startSeconds + this.timeMs / 1000;
  }
  at(atMs: number, wake: () => void): () => void {
    const timer = { atMs, wake };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }
  get armed(): number {
    return this.timers.size;
  }
  advance(byMs: number): void {
    const endMs = this.timeMs + byMs;
    for (;;) {
      const due = [...this.timers].filter((timer) => timer.atMs <= endMs);
      const next = due.sort((left, right) => left.atMs - right.atMs)[0];
      if (next === undefined) break;
      this.timers.delete(next);
      this.timeMs = Math.max(this.timeMs, next.atMs);
      next.wake();
    }
    this.timeMs = endMs;
  }
}

/** One thing a port was asked to do, in order. */
export type Did =
  | { readonly did: "lamp"; readonly levelPercent: number }
  | { readonly did: "store"; readonly checkpoint: Checkpoint }
  | { readonly did: "sign" }
  | {
      readonly did: "publish";
      readonly leaf: string;
      readonly payload: Uint8Array;
      readonly retained: boolean;
    }
  | { readonly did: "close" };

export class Bench {
  readonly clock = new BenchClock();
  readonly did: Did[] = [];
  stored: Checkpoint | null = null;
  /** What the journal answers; a function takes the answer into the test's hands. */
  storing: string | null | ((done: (error: string | null) => void) => void) = null;
  silentMeter = false;
  /** While true every PAY is answered at once, inside its own publish, with 500 mWh a rung. */
  answering = false;
  private energy = 0;
  private level = 0;
  private sinceMs = 0;
  private takeMessage: (leaf: string, payload: Uint8Array) => void = () => {};
  private takeChange: (up: boolean) => void = () => {};
  private revision = 0;

  start(parts: Partial<HostParts> = {}): Host {
    return startHost({
      settings: SETTINGS,
      key: DEVICE_KEY,
      gatewayPublicKey: GATEWAY_KEY.publicKey,
      clock: this.clock,
      chainSeconds: () => this.clock.wallSeconds(),
      random: () => 0.5,
      meter: {
        read: (done) =>
          done(this.silentMeter ? null : { raw: this.raw(), powerMilliwatts: this.level * 600 }),
      },
      lamp: {
        set: (levelPercent) => {
          this.raw();
          this.level = levelPercent;
          this.did.push({ did: "lamp", levelPercent });
        },
      },
      journal: {
        load: () => this.stored,
        store: (checkpoint, done) => {
          this.did.push({ did: "store", checkpoint });
          if (typeof this.storing === "function") return this.storing(done);
          if (this.storing === null) this.stored = checkpoint;
          done(this.storing);
        },
      },
      link: {
        publish: (leaf, payload, retained) => {
          this.did.push({ did: "publish", leaf, payload, retained });
          if (leaf === "pay" && this.answering) this.answer();
        },
        onMessage: (take) => {
          this.takeMessage = take;
        },
        onChange: (take) => {
          this.takeChange = take;
        },
        close: async () => {
          this.did.push({ did: "close" });
        },
      },
      almanac: { plan: () => ALWAYS_ON },
      describe: { model: "bench", firmware: "0", meter: "bench", unit: "mWh", wantedUnits: 500 },
      ...parts,
    });
  }

  /** Energy so far, mWh. */
  raw(): number {
    const nowMs = this.clock.nowMs();
    this.energy += (600 * this.level * (nowMs - this.sinceMs)) / 3_600_000;
    this.sinceMs = nowMs;
    return Math.floor(this.energy);
  }

  link(up: boolean): void {
    this.takeChange(up);
  }

  deliver(leaf: string, payload: Uint8Array): void {
    this.takeMessage(leaf, payload);
  }

  offer(changes: Partial<OfferMessage> = {}): void {
    this.deliver("offer", sealJson(TAGGER, "offer", this.offerMessage(changes)));
  }

  offerMessage(changes: Partial<OfferMessage> = {}): OfferMessage {
    return {
      v: 1,
      revision: ++this.revision,
      resource: "http://seller/energy",
      requirements: {
        scheme: "batch-settlement",
        network: "eip155:31337",
        amount: "100",
        asset: ASSET,
        payTo: SELLER,
        maxTimeoutSeconds: 3600,
        extra: { name: "USD Coin", version: "2" },
      },
      channel: CHANNEL,
      unit: "mWh",
      pricePerMillionUnits: 200_000,
      validUntilSeconds: 0,
      balance: 1_000_000,
      charged: 0,
      granted: 0,
      ...changes,
    };
  }

  grant(channelTag: number, charged: number, granted: number): void {
    const frame = encodeGrant({
      refusal: null,
      channelTag,
      charged,
      granted,
      pricePerMillionUnits: 200_000,
      validUntilSeconds: 0,
    });
    this.deliver("grant", sealFrame(TAGGER, "grant", frame));
  }

  /** Grants the latest PAY: 500 mWh for every 100 atomic units charged so far. */
  answer(): void {
    const { channelTag, maxClaimable } = this.pays().at(-1)!;
    this.grant(channelTag, maxClaimable, maxClaimable * 5);
  }

  /** Every PAY published, oldest first; throws when one is not sealed by the device. */
  pays(): Pay[] {
    return this.published("pay").map((payload) => {
      if (!isSealedFrame(TAGGER, "pay", payload)) throw new Error("a PAY frame carries a wrong tag");
      const { frame, error } = decodePay(payload);
      if (frame === null) throw new Error(error);
      return frame;
    });
  }

  /** Every JSON message published on a leaf, opened with the gateway's tag key. */
  messages(leaf: string): Record<string, unknown>[] {
    return this.published(leaf).map((payload) => {
      const json = openJson(TAGGER, leaf, payload);
      if (json === null) throw new Error(`a ${leaf} message carries a wrong tag`);
      return JSON.parse(json) as Record<string, unknown>;
    });
  }

  published(leaf: string): Uint8Array[] {
    const found: Uint8Array[] = [];
    for (const one of this.did) if (one.did === "publish" && one.leaf === leaf) found.push(one.payload);
    return found;
  }
}

/** A signer whose answers the test holds back, or that fails. */
export function heldSigner(inner: Signer, failing: boolean) {
  const waiting: (() => void)[] = [];
  const held = {
    failing,
    holding: true,
    asked: 0,
    sign: (request: Parameters<Signer["sign"]>[0], done: (signature: Uint8Array | null) => void) => {
      held.asked++;
      if (held.failing) done(null);
      else if (!held.holding) inner.sign(request, done);
      else waiting.push(() => inner.sign(request, done));
    },
    release: () => {
      for (const answer of waiting.splice(0)) answer();
    },
  };
  return held;
}

export function exactTerms(offer: OfferMessage): OfferMessage {
  return { ...offer, channel: null, requirements: { ...offer.requirements, scheme: "exact" } };
}
