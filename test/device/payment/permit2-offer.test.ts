import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Offer } from "#core/events";
import { purchaseNonce } from "#payment/authorization";
import { toHex } from "#payment/bytes";
import { openKey, recoverAddress } from "#payment/key";
import { checkOffer, TOKEN_ALONE } from "#payment/offer/offer";
import { approveDigest, tokenPermitDigest } from "#payment/permit2/approval";
import {
  EXACT_PROXY_ADDRESS,
  PERMIT2_ADDRESS,
  permitDigest,
  UPTO_PROXY_ADDRESS,
} from "#payment/permit2/permit";
import type { Permit2Rules } from "#payment/permit2/permit2-offer";
import { signWith } from "#payment/signer";
import { approvalIn } from "#protocol/approval-frame";
import { type OfferMessage, readOffer } from "#protocol/messages";
import vectors from "../../../device/protocol/vectors.json";

const key = openKey(new Uint8Array(32).fill(3));
const TOKEN = `0x${"c0".repeat(20)}`;
const PAY_TO = `0x${"b0".repeat(20)}`;
const FACILITATOR = `0x${"fa".repeat(20)}`;
const OTHER = `0x${"99".repeat(20)}`;

const RULES: Permit2Rules = {
  spenders: [EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS],
  facilitators: [FACILITATOR],
  validityMaxSeconds: 600,
  approvals: ["eip2612", "erc20"],
  approveAtLeastAtomic: 0,
  gasPriceMaxWei: 10_000_000_000,
};

const message = vectors.json.find(({ leaf }) => leaf === "offer")!.message as OfferMessage;

function offerOf(scheme: string, extra: object = {}, changes: Partial<OfferMessage> = {}): OfferMessage {
  const terms = {
    assetTransferMethod: "permit2",
    name: "USD Coin",
    version: "2",
    facilitatorAddress: FACILITATOR,
  };
  const requirements = {
    ...message.requirements,
    scheme,
    asset: TOKEN,
    payTo: PAY_TO,
    extra: { ...terms, ...extra },
  };
  return { ...message, channel: null, requirements, ...changes };
}

const check = (offer: OfferMessage, rules: Permit2Rules | null = RULES) =>
  checkOffer(offer, key.address, { ...TOKEN_ALONE, permit2: rules });

function sign(offer: Offer, validBeforeSeconds = 1_800_000_000) {
  const request = {
    terms: offer.terms,
    channelId: offer.channelId,
    maxClaimable: offer.charged + offer.quantumAtomic,
    amountAtomic: offer.quantumAtomic,
    validBeforeSeconds,
  };
  let signed = new Uint8Array(0);
  signWith(key).sign(request, (signature) => {
    signed = Uint8Array.from(signature!);
  });
  return signed;
}

describe("an offer by Permit2 (P1)", () => {
  it.each([
    ["a contract in Permit2's place", { verifyingContract: OTHER }, "contract-not-allowed"],
    ["what is no contract", { verifyingContract: 5 }, "contract-not-allowed"],
    ["a spender of the seller's own", { spender: OTHER }, "spender-not-allowed"],
    ["a method that is not spoken", { assetTransferMethod: "erc7710" }, "scheme-not-allowed"],
    ["a method that is no text", { assetTransferMethod: 1 }, "scheme-not-allowed"],
  ])("is refused by name when it names %s", (_what, extra, refusal) => {
    for (const scheme of ["exact", "upto"])
      expect(check(offerOf(scheme, extra))).toEqual({ offer: null, refusal });
  });

  it("is refused by name when upto's facilitator is another, or none", () => {
    const refused = { offer: null, refusal: "facilitator-not-allowed" };
    for (const facilitatorAddress of [OTHER, undefined, "0x", 7]) {
      expect(check(offerOf("upto", { facilitatorAddress }))).toEqual(refused);
      expect(check(offerOf("exact", { facilitatorAddress })).refusal).toBeNull();
    }
    expect(
      check(offerOf("upto", { facilitatorAddress: OTHER }), { ...RULES, facilitators: [] }).refusal,
    ).toBeNull();
    expect(check(offerOf("upto", { facilitatorAddress: "0x" }), { ...RULES, facilitators: [] })).toEqual(
      refused,
    );
  });

  it("is refused by name without rules, with another spender, and when it wants too long a validity", () => {
    expect(check(offerOf("exact"), null).refusal).toBe("contract-not-allowed");
    expect(check(offerOf("upto"), { ...RULES, spenders: [EXACT_PROXY_ADDRESS] }).refusal).toBe(
      "spender-not-allowed",
    );
    const offer = offerOf("exact");
    const requirements = { ...offer.requirements, maxTimeoutSeconds: 601 };
    expect(check({ ...offer, requirements }).refusal).toBe("validity-too-long");
  });

  it("is refused by name when it asks for an approval that the rules do not give", () => {
    const refused = { offer: null, refusal: "approval-not-allowed" };
    const ask = (approval: object, rules = RULES, extra = {}) =>
      check(offerOf("exact", extra, { approval: approval as never }), rules);
    expect(ask({ kind: "eip2612", nonce: 0 }, { ...RULES, approvals: ["erc20"] })).toEqual(refused);
    expect(ask({ kind: "eip2612", nonce: 0 }, RULES, { name: undefined })).toEqual(refused);
    const fees = { maxFeePerGas: 10_000_000_001, maxPriorityFeePerGas: 0 };
    expect(ask({ kind: "erc20", nonce: 0, ...fees })).toEqual(refused);
    expect(ask({ kind: "erc20", nonce: 0, maxFeePerGas: 1, maxPriorityFeePerGas: 2 })).toEqual(refused);
    expect(ask({ kind: "erc20", nonce: 0, maxFeePerGas: 1, maxPriorityFeePerGas: 1 }).refusal).toBeNull();
  });

  it("has another account than EIP-3009's, so that a nonce of one is none of the other", () => {
    const byToken = check(offerOf("exact", { assetTransferMethod: "eip3009" })).offer!;
    const byPermit2 = check(offerOf("exact")).offer!;
    expect(byToken.terms).toMatchObject({ contract: TOKEN });
    expect(byPermit2.terms).toMatchObject({ contract: PERMIT2_ADDRESS, spender: EXACT_PROXY_ADDRESS });
    expect(byPermit2.channelId).not.toBe(byToken.channelId);
  });

  it("by EIP-3009 is not signed for another contract's domain", () => {
    const offer = offerOf("exact", { assetTransferMethod: undefined, verifyingContract: OTHER });
    expect(check(offer)).toEqual({ offer: null, refusal: "contract-not-allowed" });
    const own = offerOf("exact", {
      assetTransferMethod: undefined,
      verifyingContract: TOKEN.toUpperCase().replace("0X", "0x"),
    });
    expect(check(own).refusal).toBeNull();
  });
});

describe("what is signed for it", () => {
  const named = fc.constantFrom(
    OTHER,
    FACILITATOR,
    PAY_TO,
    TOKEN,
    PERMIT2_ADDRESS,
    UPTO_PROXY_ADDRESS,
    "0x",
    7,
    null,
  );
  /** Mostly as it should be, or every offer would be refused. */
  const mostly = <Value>(right: Value, wrong: fc.Arbitrary<unknown>) =>
    fc.oneof({ arbitrary: fc.constant<unknown>(right), weight: 6 }, { arbitrary: wrong, weight: 1 });
  const extras = fc.record({
    assetTransferMethod: mostly("permit2", fc.constantFrom("eip3009", "erc7710", 3, null)),
    facilitatorAddress: mostly(FACILITATOR, named),
    verifyingContract: mostly(undefined, named),
    spender: mostly(undefined, named),
    name: mostly("USD Coin", fc.constantFrom("Permit2", 5)),
    version: mostly("2", fc.constantFrom("1", 5)),
    nonce: fc.constantFrom("0x00", 1),
    deadline: fc.constantFrom(4_000_000_000, "9"),
    permit2Address: named,
  });
  const approvals = fc.option(
    fc.record(
      {
        kind: fc.constantFrom("eip2612", "erc20"),
        nonce: fc.nat(100),
        maxFeePerGas: fc.nat(20_000_000_000),
        maxPriorityFeePerGas: fc.nat(2_000_000_000),
      },
      { requiredKeys: ["kind", "nonce"] },
    ),
    { nil: undefined },
  );
  const rules = fc.record({
    spenders: fc.subarray([EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS] as string[]),
    facilitators: fc.subarray([FACILITATOR, OTHER]),
    validityMaxSeconds: fc.constantFrom(59, 60, 600),
    approvals: fc.subarray(["eip2612", "erc20"] as ("eip2612" | "erc20")[]),
    approveAtLeastAtomic: fc.constantFrom(0, 5_000),
    gasPriceMaxWei: fc.constantFrom(0, 10_000_000_000),
  });

  it("is what the device reckons from its own rules and request, whatever the offer says", () => {
    let accepted = 0;
    fc.assert(
      fc.property(
        fc.constantFrom("exact", "upto"),
        extras,
        approvals,
        rules,
        (scheme, extra, approval, own) => {
          const offered = offerOf(
            scheme,
            extra,
            approval === undefined ? {} : { approval: approval as never },
          );
          const read = readOffer(JSON.stringify(offered));
          const { offer } = check(read.message!, own);
          if (offer === null || offer.terms.spender === undefined) return;
          accepted += 1;
          const { terms, channelId, charged, quantumAtomic } = offer;
          const signed = sign(offer);
          const permit = {
            chainId: 31_337,
            token: TOKEN,
            amountAtomic: quantumAtomic,
            nonce: purchaseNonce(channelId, charged),
            deadlineSeconds: 1_800_000_000,
          };
          const { facilitator = "" } = terms;
          expect(own.spenders).toContain(scheme === "exact" ? EXACT_PROXY_ADDRESS : UPTO_PROXY_ADDRESS);
          if (scheme === "upto" && own.facilitators.length > 0)
            expect(own.facilitators).toContain(facilitator);
          expect(offered.requirements.maxTimeoutSeconds).toBeLessThanOrEqual(own.validityMaxSeconds);
          const witness =
            scheme === "exact"
              ? ({ kind: "exact", to: PAY_TO } as const)
              : ({ kind: "upto", to: PAY_TO, facilitator } as const);
          const digest = permitDigest({ ...permit, witness });
          expect(recoverAddress(digest, signed.slice(0, 65))).toBe(key.address);

          const given = approvalIn(signed);
          expect(given === null).toBe(approval === undefined);
          if (given === null) return;
          const { kind, approvedAtomic, nonce, maxFeePerGas, maxPriorityFeePerGas, signature } = given.frame!;
          expect(own.approvals).toContain(kind);
          expect(approvedAtomic).toBe(
            kind === "eip2612" ? quantumAtomic : Math.max(quantumAtomic, own.approveAtLeastAtomic),
          );
          expect(maxFeePerGas).toBeLessThanOrEqual(own.gasPriceMaxWei);
          const approved = { amountAtomic: approvedAtomic, nonce };
          const token = {
            chainId: 31_337,
            address: TOKEN,
            name: terms.tokenName,
            version: terms.tokenVersion,
          };
          const approvalDigest =
            kind === "eip2612"
              ? tokenPermitDigest(token, { ...approved, owner: key.address, deadlineSeconds: 1_800_000_000 })
              : approveDigest({
                  ...approved,
                  chainId: 31_337,
                  token: TOKEN,
                  maxFeePerGas,
                  maxPriorityFeePerGas,
                });
          expect(recoverAddress(approvalDigest, signature)).toBe(key.address);
        },
      ),
      { numRuns: 1_500 },
    );
    expect(accepted).toBeGreaterThan(30);
  });

  it("has one nonce whatever its size, end, facilitator and approval, so Permit2 pays one of them", () => {
    const nonceOf = (offer: Offer) => purchaseNonce(offer.channelId, offer.charged);
    const one = check(offerOf("upto")).offer!;
    const other = check(
      offerOf("upto", { facilitatorAddress: OTHER }, { approval: { kind: "eip2612", nonce: 1 } }),
      { ...RULES, facilitators: [] },
    ).offer!;
    expect(nonceOf(other)).toBe(nonceOf(one));
    expect(toHex(sign(one).slice(0, 65))).not.toBe(toHex(sign(other).slice(0, 65)));
    expect(toHex(sign(one))).toBe(toHex(sign(one)));
  });
});
