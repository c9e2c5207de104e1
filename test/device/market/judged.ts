/** An honest seller's dealings among strangers' documents, and each lie, judged: any number of them. */
import fc from "fast-check";
import { expect } from "vitest";
import { type ChannelOnChain, CLOCKS_APART_SECONDS, type Evidence, judge, type Lie } from "#market/judge";
import { termsHash } from "#market/terms-of-sale";
import type { SignedReceipt, UsageReceipt } from "#market/usage-receipt";
import {
  CHANNEL,
  CONFIG,
  type Dealings,
  dealings,
  evidenceOf,
  offerOf,
  receiptsOf,
  SELLER,
  STRANGER,
  signedBy,
  termsOf,
} from "./sale.ts";

/** What an honest seller's chain shows: deposits for all that is charged, claims of what had been charged. */
function honestChain({ sales }: Dealings, lateSeconds: number): ChannelOnChain {
  let totalAtomic = 0;
  const claims = sales.map(({ atSeconds, charged }) => {
    totalAtomic += charged;
    return { totalAtomic, atSeconds: atSeconds + lateSeconds };
  });
  const nowSeconds = sales.at(-1)!.atSeconds + lateSeconds;
  return { channelId: CHANNEL, depositedAtomic: totalAtomic, claims, nowSeconds };
}

/** Documents are held back and turned about, strangers add theirs: none of it convicts the seller. @returns how often */
export function judgeHonest(numRuns: number): number {
  let judged = 0;
  const lateSeconds = fc.integer({ min: -CLOCKS_APART_SECONDS, max: 100_000 });
  fc.assert(
    fc.property(
      dealings,
      fc.infiniteStream(fc.integer({ min: 0, max: 999 })),
      lateSeconds,
      (made, dice, late) => {
        const roll = () => (dice.next().value as number) / 1_000;
        const some = <Item>(items: readonly Item[]) =>
          items.filter(() => roll() > 0.2).sort(() => roll() - 0.5);
        const honest = evidenceOf(made);
        const of = honest.receipts[0]!.receipt;
        const foreign = termsOf({ payTo: STRANGER.address, price: [[1, 900_000]] });
        const forged = { ...of, charged: 2 ** 40, granted: 2 ** 40, toSeconds: of.toSeconds };
        const evidence = {
          ...honest,
          offered: some([
            ...honest.offered,
            // Another's terms; the seller's offer beside terms that it never saw; the seller's terms by a stranger's hand.
            offerOf(foreign, {}, STRANGER),
            { ...honest.offered[0]!, terms: { ...made.terms[0]!, price: [[0, 1]] as [number, number][] } },
            offerOf(made.terms[0]!, { amount: "7" }, STRANGER),
          ]),
          receipts: some([
            ...honest.receipts,
            signedBy({ ...forged, termsHash: termsHash(foreign) }, STRANGER),
            signedBy(forged, STRANGER),
          ]),
          channels: some([CONFIG, { ...CONFIG, receiver: STRANGER.address }]),
          chain: some([honestChain(made, late)]),
        };
        judged += 1;
        const { convictions, devices } = judge(evidence);
        expect(convictions.filter(({ seller }) => seller === SELLER.address)).toEqual([]);
        expect(devices).toEqual([]);
      },
    ),
    { numRuns },
  );
  return judged;
}

/** Changes an honest seller's evidence; null where the dealings give this lie nothing to work on. */
type Telling = (made: Dealings) => Evidence | null;

export const LIES: Readonly<Record<Lie, Telling>> = {
  "offer-contradicts-terms": (made) =>
    evidenceOf(made, {
      offered: made.terms.map((terms, at) => offerOf(terms, at === 0 ? { amount: "11" } : {})),
    }),
  "terms-of-another-sale": (made) => {
    const terms = made.terms.map((one) => ({ ...one, asset: `0x${"bb".repeat(20)}` }));
    return evidenceOf({ ...made, terms });
  },
  "terms-not-in-force": (made) => {
    if (made.terms.length < 2) return null;
    const other = ({ receipt }: SignedReceipt) =>
      made.terms.map((terms) => termsHash(terms)).find((hash) => hash !== receipt.termsHash)!;
    const receipts = receiptsOf(made).map((one) => signedBy({ ...one.receipt, termsHash: other(one) }));
    return evidenceOf(made, { receipts });
  },
  "counters-fell": (made) =>
    withLast(made, (last, before) =>
      last.toSeconds > before.toSeconds && before.granted > 0
        ? { ...last, granted: before.granted - 1 }
        : null,
    ),
  "receipts-contradict": (made) =>
    withLast(made, (last, before) =>
      before.granted > 0
        ? { ...before, charged: before.charged + 1, granted: before.granted - 1, register: last.register }
        : null,
    ),
  "granted-below-terms": (made) => {
    const highest = Math.max(...made.terms.flatMap(({ price }) => price.map(([, one]) => one)));
    const receipts = receiptsOf(made, () => 2 * highest);
    const charged = receipts.at(-1)!.receipt.charged - receipts[0]!.receipt.charged;
    // Below two units of what is due the rounding may cover it.
    return (charged * 1_000_000) / highest > 4 * receipts.length ? evidenceOf(made, { receipts }) : null;
  },
  "charged-above-deposit": (made) => {
    const last = receiptsOf(made).at(-1)!.receipt;
    if (last.charged === 0) return null;
    const chain = { ...honestChain(made, 0), depositedAtomic: last.charged - 1 };
    return evidenceOf(made, { chain: [chain] });
  },
  "claimed-above-charged": (made) => {
    const { toSeconds, charged } = receiptsOf(made).at(-1)!.receipt;
    const atSeconds = toSeconds - CLOCKS_APART_SECONDS;
    const claims = [{ totalAtomic: charged + 1, atSeconds }];
    return evidenceOf(made, {
      chain: [{ channelId: CHANNEL, depositedAtomic: 1e9, claims, nowSeconds: toSeconds }],
    });
  },
};

function withLast(
  made: Dealings,
  change: (last: UsageReceipt, before: UsageReceipt) => UsageReceipt | null,
): Evidence | null {
  const receipts = receiptsOf(made);
  const changed = change(receipts.at(-1)!.receipt, receipts.at(-2)!.receipt);
  return changed === null
    ? null
    : evidenceOf(made, { receipts: [...receipts.slice(0, -1), signedBy(changed)] });
}

/** Dealings in which a lie is told: each convicts the seller of it. @returns how many */
export function judgeLying(lie: Lie, numRuns: number): number {
  let lies = 0;
  fc.assert(
    fc.property(dealings, (made) => {
      const evidence = LIES[lie](made);
      fc.pre(evidence !== null);
      lies += 1;
      expect(judge(evidence!).convictions.map((one) => one.lie)).toContain(lie);
    }),
    { numRuns },
  );
  return lies;
}
