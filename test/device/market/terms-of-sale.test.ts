import { verifyOfferSignatureEIP712 } from "@x402/extensions/offer-receipt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { priceAt, STEPS_MAX } from "#market/price-series";
import { contradictionIn, offerSigner, readSignedOffer, termsHashIn, withTerms } from "#market/signed-offer";
import { highestPrice, readTerms, type Terms, termsHash } from "#market/terms-of-sale";
import { readSignedReceipt, receiptSigner } from "#market/usage-receipt";
import { dealings, offerOf, receiptsOf, SELLER, STRANGER, termsOf } from "./sale.ts";

describe("terms", () => {
  it("have one hash, in whatever order a document writes its members", () => {
    const terms = termsOf();
    const turned = Object.fromEntries(Object.entries(terms).toReversed());
    expect(readTerms(turned).terms).toEqual(terms);
    expect(termsHash(turned as Terms)).toBe(termsHash(terms));
    expect(termsHash({ ...terms, metered: true })).not.toBe(termsHash(terms));
  });

  it("have a price for each second of their window, and the highest of a span is that of its seconds", () => {
    fc.assert(
      fc.property(dealings, fc.nat(99_999), fc.nat(300), ({ terms: [terms] }, start, length) => {
        const { fromSeconds, untilSeconds } = terms!;
        const from = fromSeconds + (start % (untilSeconds - fromSeconds));
        const to = Math.min(from + length, untilSeconds - 1);
        const prices = Array.from({ length: to - from + 1 }, (_, at) => priceAt(terms!, from + at)!);
        expect(highestPrice(terms!, from, to)).toBe(Math.max(...prices));
        expect(priceAt(terms!, fromSeconds - 1)).toBeNull();
        expect(priceAt(terms!, untilSeconds)).toBeNull();
      }),
    );
  });

  it.each<[string, object, string]>([
    ["another unit", { unit: "kWh" }, "unit"],
    ["a price that is no number", { price: [[1, Number.NaN]] }, "price"],
    [
      "a curve that begins after its window",
      { price: [[1_900_000_000, 5]] },
      "expected a price from 1800000000 on",
    ],
    [
      "a curve whose seconds do not rise",
      {
        price: [
          [5, 1],
          [5, 2],
        ],
      },
      "expected rising seconds",
    ],
    ["a million steps", { price: Array.from({ length: 1_000_000 }, (_, at) => [at, 1]) }, `${STEPS_MAX}`],
    ["a window that has no end", { untilSeconds: 4_000_000_000 }, "expected 1 to 604800 s"],
    ["a window of nothing", { untilSeconds: 1_800_000_000 }, "found 0"],
    ["quanta out of order", { quantaAtomic: [100, 10] }, "expected rising quanta"],
    ["an address of capitals", { payTo: `0x${"AB".repeat(20)}` }, "payTo"],
    ["an API that is no page", { api: "javascript:alert(1)" }, "api"],
    ["members that nobody knows", { discount: 1 }, "discount"],
  ])("with %s are refused by name", (_what, change, named) => {
    const { terms, reason } = readTerms({ ...termsOf(), ...change });
    expect(terms).toBeNull();
    expect(reason).toContain(named);
    expect(reason.length).toBeLessThan(320);
  });

  it("are refused whatever a stranger's JSON is", () => {
    const parsed = fc.json().map((json) => JSON.parse(json) as unknown);
    fc.assert(
      fc.property(fc.oneof(parsed, fc.anything()), (document) => {
        expect(readTerms(document).terms).toBeNull();
        expect(readSignedOffer(document)).toBeNull();
        expect(readSignedReceipt(document)).toBeNull();
      }),
    );
  });
});

describe("a signed offer", () => {
  it("is one of x402's own package's, which finds the same signer", async () => {
    const { terms, offer } = offerOf(termsOf());
    const theirs = await verifyOfferSignatureEIP712(
      offer as Parameters<typeof verifyOfferSignatureEIP712>[0],
    );
    expect(theirs.signer.toLowerCase()).toBe(SELLER.address);
    expect(offerSigner(offer)).toBe(SELLER.address);
    expect(contradictionIn(offer, terms)).toBeNull();
    expect(readSignedOffer(JSON.parse(JSON.stringify(offer)))).toEqual(offer);
  });

  it.each(["network", "asset", "payTo", "resourceUrl", "validUntil", "amount"] as const)(
    "that says another %s than its terms contradicts them",
    (member) => {
      const terms = termsOf();
      const other = {
        network: "eip155:1",
        asset: STRANGER.address,
        payTo: STRANGER.address,
        resourceUrl: withTerms("https://elsewhere.example/?quantum=10", termsHash(terms)),
        validUntil: 1,
        amount: "11",
      };
      const { offer } = offerOf(terms, { [member]: other[member] });
      expect(contradictionIn(offer, terms)).toContain(member);
    },
  );

  it("names its terms in the resource, and a name without a hash names none", () => {
    const hash = termsHash(termsOf());
    expect(termsHashIn(withTerms("https://power.example/v1/energy?quantum=10", hash))).toBe(hash);
    for (const odd of ["", "no url", "https://a.example/?terms=0x12", "https://a.example/?quantum=1"])
      expect(termsHashIn(odd)).toBeNull();
  });
});

it("a receipt of use survives a file, and one that is changed is signed by nobody that is known", () => {
  const [signed] = receiptsOf({ terms: [termsOf()], sales: [], receiptsAt: [1_800_000_010] });
  expect(readSignedReceipt(JSON.parse(JSON.stringify(signed)))).toEqual(signed);
  const { receipt, seller } = signed!;
  expect(receiptSigner(receipt, seller)).toBe(SELLER.address);
  for (const member of ["chainId", "charged", "granted", "register", "toSeconds"] as const)
    expect(receiptSigner({ ...receipt, [member]: receipt[member] + 1 }, seller)).not.toBe(SELLER.address);
});
