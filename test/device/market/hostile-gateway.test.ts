/**
 * Property: whatever a gateway hands out, a device takes an offer under terms only when its seller is bound by them, and signs a
 * receipt of use only when that says what the device knows itself.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Offer } from "#core/events";
import { bootMachine, type State } from "#core/machine";
import { openChannel } from "#core/rungs";
import type { Opened } from "#host/inbox";
import type { OfferedTerms } from "#market/judge";
import { withTerms } from "#market/signed-offer";
import { highestPrice, type Terms, termsHash } from "#market/terms-of-sale";
import { readSignedReceipt, receiptSigner, type UsageReceipt } from "#market/usage-receipt";
import { GatewayDocuments } from "#node/general/gateway-documents";
import { Market } from "#node/market/market";
import { CLOCKS_APART_SECONDS, type MarketMemory, NOTHING_KNOWN } from "#node/market/market-rules";
import { type Key, openKey } from "#payment/key";
import { ON_DEMAND } from "../core/seller.ts";
import { CHANNEL, CONFIG, DEVICE, offerOf, SELLER, STRANGER, signedBy, termsOf } from "./sale.ts";

const RUNS = 600;
const START = 1_800_000_000;
const CHAIN = 84_532;
const PINNED = openKey(new Uint8Array(32).fill(13));
const SIGNERS = [SELLER, PINNED, STRANGER] as const;
const POLICY = {
  ...ON_DEMAND.policy,
  network: `eip155:${CHAIN}`,
  asset: CONFIG.token,
  priceCeiling: 400_000,
};
const SETTINGS = { ...ON_DEMAND, policy: POLICY };

const OFFER: Offer = {
  revision: 1,
  channelId: CHANNEL,
  terms: {
    ...{ scheme: "batch-settlement", network: POLICY.network, asset: CONFIG.token, payTo: SELLER.address },
    ...{ contract: `0x${"01".repeat(20)}`, tokenName: "USD Coin", tokenVersion: "2" },
  },
  unit: "mWh",
  quantumAtomic: 100,
  pricePerMillionUnits: 200_000,
  balance: 1_000,
  ...{ charged: 0, granted: 0, metered: false },
};

/** Mostly as it should be, sometimes one of some others. */
function mostly<Value>(right: Value, ...others: readonly Value[]): fc.Arbitrary<Value> {
  return fc.oneof(
    { weight: 8, arbitrary: fc.constant(right) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
}

const terms: fc.Arbitrary<Terms> = fc
  .record({
    payTo: mostly(SELLER.address, STRANGER.address),
    asset: mostly(CONFIG.token, `0x${"bb".repeat(20)}`),
    network: mostly(POLICY.network, "eip155:1"),
    unit: mostly<Terms["unit"]>("mWh", "s"),
    quantaAtomic: mostly([10, 100], [10]),
    price: mostly<[number, number][]>(
      [[START, 200_000]],
      [[START, 100_000]],
      [[START, 500_000]],
      [
        [START, 100_000],
        [START + 7_200, 300_000],
      ],
    ),
    untilSeconds: mostly(START + 86_400, START + 60),
  })
  .map((changes) => termsOf(changes));

const offer: fc.Arbitrary<Offer> = fc
  .record({ quantumAtomic: mostly(100, 10, 50), pricePerMillionUnits: mostly(200_000, 300_000, 450_000) })
  .map((changes) => ({ ...OFFER, ...changes }));

/** A device, and a gateway that answers what it likes. */
class Device {
  readonly signed: UsageReceipt[] = [];
  readonly timers: { readonly atMs: number; readonly act: () => void }[] = [];
  memory: MarketMemory = NOTHING_KNOWN;
  nowSeconds = START + 3_600;
  nowMs = 0;
  state: State = { ...bootMachine(SETTINGS, null), linkUp: true };
  readonly #answer: (method: string, url: string) => string;
  readonly #documents: GatewayDocuments;
  readonly market: Market;

  constructor(answer: (method: string, url: string) => string) {
    this.#answer = answer;
    const clock = {
      nowMs: () => this.nowMs,
      wallSeconds: () => this.nowSeconds,
      at: (atMs: number, act: () => void) => {
        this.timers.push({ atMs, act });
        return () => undefined;
      },
    };
    this.#documents = new GatewayDocuments({
      clock,
      random: () => 0.5,
      send: (payload) => this.#serve(new TextDecoder().decode(payload)),
    });
    this.market = new Market({
      rules: { isRequired: true, keys: [PINNED.address], receiptEveryMs: 1_000 },
      store: {
        load: () => this.memory,
        store: (memory) => {
          this.memory = memory;
        },
      },
      key: DEVICE,
      settings: SETTINGS,
      clock,
      documents: this.#documents,
      state: () => this.state,
    });
    this.#documents.linkChanged(true);
  }

  hear(heard: Offer, hash: string): Opened[] {
    const taken: Opened[] = [];
    this.market.hear(heard, withTerms("https://power.example/v1/energy?quantum=100", hash), (opened) =>
      taken.push(opened),
    );
    return taken;
  }

  /** Until the device has asked for its next receipt. */
  askReceipt(): void {
    this.nowMs += 1_000;
    for (const { act } of this.timers.splice(0).filter(({ atMs }) => atMs <= this.nowMs)) act();
  }

  #serve(text: string): void {
    const { id, method, url, body } = JSON.parse(text) as Record<string, string>;
    if (method === "PUT") {
      const receipt = readSignedReceipt(JSON.parse(body!))!;
      expect(receiptSigner(receipt.receipt, receipt.device!)).toBe(DEVICE.address);
      this.signed.push(receipt.receipt);
    }
    const answer = { v: 1, id, status: 200, body: this.#answer(method!, url!) };
    this.#documents.take(new TextEncoder().encode(JSON.stringify(answer)));
  }
}

it("no offer is taken but under terms that bind its seller to it", () => {
  const taken = { yes: 0, no: 0 };
  const document = fc.record({
    said: terms,
    named: terms,
    isNamed: fc.boolean(),
    signer: mostly<Key>(...SIGNERS),
  });
  const contradiction = mostly({}, { amount: "11" }, { validUntil: 1 }, { payTo: STRANGER.address });
  const seconds = mostly(START + 3_600, START - 3_600, START + 90_000, START + 7_000);
  fc.assert(
    fc.property(document, contradiction, offer, seconds, (made, changes, heard, nowSeconds) => {
      const { said, signer } = made;
      const hash = termsHash(made.isNamed ? said : made.named);
      const offered: OfferedTerms = offerOf(said, changes, signer);
      const device = new Device(() => JSON.stringify(offered));
      device.nowSeconds = nowSeconds;
      const opened = device.hear(heard, hash);
      expect(opened.length).toBe(1);
      if (opened[0]!.kind !== "offer") {
        taken.no += 1;
        expect(opened[0]!.kind).toBe("offer-refused");
        return;
      }
      taken.yes += 1;
      expect(termsHash(said)).toBe(hash);
      expect([said.payTo, PINNED.address]).toContain(signer.address);
      expect(changes).toEqual({});
      const { network, asset, payTo } = heard.terms;
      expect(said).toMatchObject({ network, asset, payTo, unit: "mWh" });
      expect(said.quantaAtomic).toContain(heard.quantumAtomic);
      const around = [nowSeconds - CLOCKS_APART_SECONDS, nowSeconds + CLOCKS_APART_SECONDS] as const;
      expect(highestPrice(said, ...around)).toBeGreaterThanOrEqual(heard.pricePerMillionUnits);
      expect(heard.pricePerMillionUnits).toBeLessThanOrEqual(POLICY.priceCeiling);
    }),
    { numRuns: RUNS },
  );
  // Neither all nor none: the property would hold of a device that takes nothing.
  expect(Math.min(taken.yes, taken.no)).toBeGreaterThan(RUNS / 20);
});

it("no receipt is signed but one that says what the device knows, and never less than before", () => {
  let count = 0;
  const changed = fc.record(
    {
      charged: fc.integer({ min: 0, max: 300 }),
      granted: fc.integer({ min: 0, max: 1_500 }),
      register: fc.integer({ min: 0, max: 50 }),
      toSeconds: fc.constantFrom(START, START + 3_500, START + 3_700, START + 4_600, START + 90_000),
      chainId: fc.constant(1),
      channelId: fc.constant(`0x${"12".repeat(32)}`),
      termsHash: fc.constant(`0x${"34".repeat(32)}`),
    },
    { requiredKeys: [] },
  );
  const rounds = fc.array(fc.tuple(changed, fc.boolean(), mostly<Key>(...SIGNERS)), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(rounds, (made) => {
      const agreed = termsOf();
      let answer = JSON.stringify(offerOf(agreed));
      const device = new Device(() => answer);
      expect(device.hear(OFFER, termsHash(agreed))[0]!.kind).toBe("offer");
      const channel = { ...openChannel(OFFER, null), charged: 200, granted: 1_000, signed: 200 };
      device.state = { ...device.state, channel, register: { ...device.state.register, total: 40 } };
      for (const [changes, isHonest, signer] of made) {
        const honest: UsageReceipt = {
          ...{ channelId: CHANNEL, chainId: CHAIN, charged: 200, granted: 1_000, register: 40 },
          ...{ toSeconds: device.nowSeconds, termsHash: termsHash(agreed) },
        };
        answer = JSON.stringify(signedBy({ ...honest, ...(isHonest ? {} : changes) }, signer, null));
        const before = device.signed.length;
        device.askReceipt();
        if (device.signed.length === before) continue;
        count += 1;
        const { toSeconds, ...said } = device.signed.at(-1)!;
        expect({ ...said, toSeconds: honest.toSeconds }).toEqual(honest);
        expect(Math.abs(toSeconds - device.nowSeconds)).toBeLessThanOrEqual(CLOCKS_APART_SECONDS);
        expect(toSeconds).toBeGreaterThanOrEqual(device.signed.at(-2)?.toSeconds ?? 0);
        expect([SELLER, PINNED]).toContain(signer);
        expect(device.memory.acknowledged.at(-1)).toMatchObject({
          charged: 200,
          granted: 1_000,
          register: 40,
        });
      }
    }),
    { numRuns: RUNS / 10 },
  );
  expect(count).toBeGreaterThan(RUNS / 40);
});
