/**
 * A seller's dealings on one channel, honest unless a test changes them: terms in windows that follow each other, sales
 * priced by them, receipts of some seconds.
 */
import fc from "fast-check";
import type { Evidence, OfferedTerms } from "#market/judge";
import { priceAt } from "#market/price-series";
import { type OfferPayload, offerDigest, withTerms } from "#market/signed-offer";
import { type Terms, termsHash } from "#market/terms-of-sale";
import { receiptDigest, type SignedReceipt, type UsageReceipt } from "#market/usage-receipt";
import { toHex } from "#payment/bytes";
import { channelIdOf } from "#payment/channel";
import { type Key, openKey } from "#payment/key";

export const SELLER = openKey(new Uint8Array(32).fill(7));
export const DEVICE = openKey(new Uint8Array(32).fill(9));
export const STRANGER = openKey(new Uint8Array(32).fill(11));
const CHAIN = 84_532;
const START = 1_800_000_000;
const API = "https://power.example";

export const CONFIG = {
  payer: DEVICE.address,
  payerAuthorizer: DEVICE.address,
  receiver: SELLER.address,
  receiverAuthorizer: SELLER.address,
  token: `0x${"aa".repeat(20)}`,
  withdrawDelay: 86_400,
  salt: `0x${"05".repeat(32)}`,
};
export const CHANNEL = channelIdOf(CONFIG, CHAIN);

export function offerOf(terms: Terms, changes: Partial<OfferPayload> = {}, key: Key = SELLER): OfferedTerms {
  const payload = {
    version: 1 as const,
    resourceUrl: withTerms(`${terms.api}/v1/energy?quantum=${terms.quantaAtomic[0]}`, termsHash(terms)),
    scheme: "batch-settlement",
    network: terms.network,
    asset: terms.asset,
    payTo: terms.payTo,
    amount: String(terms.quantaAtomic[0]),
    validUntil: terms.untilSeconds,
    ...changes,
  };
  const signature = toHex(key.sign(offerDigest(payload)));
  return { terms, offer: { format: "eip712", payload, signature } };
}

export function signedBy(
  receipt: UsageReceipt,
  seller: Key = SELLER,
  device: Key | null = DEVICE,
): SignedReceipt {
  const digest = receiptDigest(receipt);
  return {
    receipt,
    seller: toHex(seller.sign(digest)),
    device: device === null ? null : toHex(device.sign(digest)),
  };
}

export interface Dealings {
  readonly terms: readonly Terms[];
  /** Rising seconds. */
  readonly sales: readonly { readonly atSeconds: number; readonly charged: number }[];
  readonly receiptsAt: readonly number[];
}

/** Of the time from the first window's begin to the last one's end. */
const share = fc.noBias(fc.integer({ min: 0, max: 10_000 })).map((part) => part / 10_000);

export const dealings: fc.Arbitrary<Dealings> = fc
  .record({
    windows: fc.array(
      fc.record({
        length: fc.integer({ min: 60, max: 90_000 }),
        prices: fc.array(fc.integer({ min: 1, max: 900_000 }), { minLength: 1, maxLength: 4 }),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    sales: fc.array(fc.tuple(share, fc.integer({ min: 1, max: 500 })), {
      minLength: 1,
      maxLength: 30,
    }),
    receipts: fc.array(share, { minLength: 2, maxLength: 6 }),
  })
  .map(({ windows, sales, receipts }) => {
    let fromSeconds = START;
    const terms = windows.map(({ length, prices }) => {
      const begins = fromSeconds;
      fromSeconds += length;
      const step = Math.floor(length / prices.length);
      const price = prices.map((one, at): [number, number] => [begins + at * step, one]);
      return termsOf({ price, fromSeconds: begins, untilSeconds: fromSeconds });
    });
    const at = (part: number) => START + Math.floor(part * (fromSeconds - 1 - START));
    return {
      terms,
      sales: sales
        .map(([part, charged]) => ({ atSeconds: at(part), charged }))
        .sort((a, b) => a.atSeconds - b.atSeconds),
      receiptsAt: receipts.map(at).sort((a, b) => a - b),
    };
  });

export function termsOf(changes: Partial<Terms> = {}): Terms {
  return {
    version: 1,
    unit: "mWh",
    api: API,
    network: `eip155:${CHAIN}`,
    asset: CONFIG.token,
    payTo: SELLER.address,
    quantaAtomic: [10, 100],
    metered: false,
    price: [[START, 200_000]],
    fromSeconds: START,
    untilSeconds: START + 86_400,
    ...changes,
  };
}

/** Receipts of the seconds asked for. @param priced what a sale costs, where it is not what the terms say */
export function receiptsOf(
  { terms, sales, receiptsAt }: Dealings,
  priced = (price: number): number => price,
): SignedReceipt[] {
  return receiptsAt.map((toSeconds) => {
    let [charged, granted, money] = [0, 0, 0];
    for (const sale of sales.filter(({ atSeconds }) => atSeconds <= toSeconds)) {
      const price = priced(termsAt(terms, sale.atSeconds).price);
      money += sale.charged * 1_000_000;
      charged += sale.charged;
      granted += Math.floor(money / price);
      money %= price;
    }
    const termsHashed = termsHash(termsAt(terms, toSeconds).terms);
    const counters = { charged, granted, register: granted, toSeconds, termsHash: termsHashed };
    return signedBy({ channelId: CHANNEL, chainId: CHAIN, ...counters });
  });
}

export function termsAt(all: readonly Terms[], atSeconds: number): { terms: Terms; price: number } {
  const terms = all.find((one) => priceAt(one, atSeconds) !== null)!;
  return { terms, price: priceAt(terms, atSeconds)! };
}

export function evidenceOf(made: Dealings, changes: Partial<Evidence> = {}): Evidence {
  return {
    offered: made.terms.map((terms) => offerOf(terms)),
    receipts: receiptsOf(made),
    channels: [CONFIG],
    chain: [],
    sellersKeys: [],
    ...changes,
  };
}
