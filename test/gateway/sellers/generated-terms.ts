// 402 answers by the thousand, of terms right and wrong in every member, each taken to a device: what it signs is what
// its own policy reckons, whatever the answer asks for.

import fc from "fast-check";
import { expect } from "vitest";
import type { Terms } from "#core/events";
import { type Policy, refuseOffer } from "#core/policy";
import { offerOf } from "#gateway/purchase/channels";
import type { ChannelRecord } from "#gateway/purchase/ports";
import { chooseRequirements } from "#gateway/sellers/client/requirements";
import { purchaseNonce, transferDigest } from "#payment/authorization";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { openKey, recoverAddress } from "#payment/key";
import { checkOffer } from "#payment/offer/offer";
import {
  EXACT_PROXY_ADDRESS,
  PERMIT2_ADDRESS,
  permitDigest,
  UPTO_PROXY_ADDRESS,
} from "#payment/permit2/permit";
import type { Permit2Rules } from "#payment/permit2/permit2-offer";
import { signWith } from "#payment/signer";
import { voucherDigest } from "#payment/voucher";
import { readOffer } from "#protocol/messages";
import type { PaymentRequired } from "#protocol/x402";
import { deviceOf, NETWORK, PAY_TO, TOKEN } from "../purchase/fixtures.ts";

const key = openKey(new Uint8Array(32).fill(5));
const FACILITATOR = `0x${"fa".repeat(20)}`;
/** Verifies transfers in the token's place, and the owner knows it. */
const WALLET = `0x${"77".repeat(20)}`;
const OTHER = `0x${"99".repeat(20)}`;
const END_SECONDS = 1_800_000_600;

const POLICY: Policy = {
  network: NETWORK,
  asset: TOKEN,
  schemes: ["batch-settlement", "exact", "upto"],
  payees: [PAY_TO],
  unit: "mWh",
  priceCeiling: 1_000_000,
  quantumMaxAtomic: 1_000,
  dailyBudgetAtomic: 100_000,
  unpaid: { kind: "off" },
  contracts: [BATCH_SETTLEMENT_ADDRESS, TOKEN, PERMIT2_ADDRESS, WALLET],
};

const RULES: Permit2Rules = {
  spenders: [EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS],
  facilitators: [FACILITATOR],
  validityMaxSeconds: 600,
  approvals: ["eip2612"],
  approveAtLeastAtomic: 0,
  gasPriceMaxWei: 0,
};

const named = fc.constantFrom<unknown>(
  OTHER,
  FACILITATOR,
  PAY_TO,
  TOKEN,
  PERMIT2_ADDRESS,
  WALLET,
  "0x",
  7,
  null,
  {},
);
function mostly(right: unknown, wrong: fc.Arbitrary<unknown>) {
  return fc.oneof({ arbitrary: fc.constant(right), weight: 9 }, { arbitrary: wrong, weight: 1 });
}
const method = mostly(
  undefined,
  fc.constantFrom<unknown>("permit2", "permit2", "permit2", "eip3009", "erc7710", 3),
);

const entry = fc.record({
  scheme: fc.constantFrom("batch-settlement", "exact", "upto", "auth-capture", ""),
  network: mostly(NETWORK, fc.constantFrom("base", "eip155:1", "eip155:031337", "solana:x")),
  amount: mostly("100", fc.constantFrom("0", "-1", "1000", "1001", "99999999999999999999", "1e3", "0x64")),
  asset: mostly(TOKEN, fc.constantFrom(OTHER, TOKEN.toUpperCase().replace("0X", "0x"), "0x")),
  payTo: mostly(PAY_TO, fc.constantFrom(OTHER, PAY_TO.toUpperCase().replace("0X", "0x"))),
  maxTimeoutSeconds: mostly(300, fc.constantFrom(601, 1, 4_000_000)),
  extra: fc.record({
    name: mostly("USD Coin", fc.constantFrom<unknown>("Permit2", "GatewayWalletBatched", 5, undefined)),
    version: mostly("2", fc.constantFrom<unknown>("1", 5, undefined)),
    assetTransferMethod: fc.oneof(method, fc.constant("permit2")),
    facilitatorAddress: mostly(FACILITATOR, named),
    verifyingContract: mostly(undefined, named),
    spender: mostly(undefined, named),
    nonce: mostly(undefined, fc.constantFrom<unknown>("0x00", 1)),
    validBefore: mostly(undefined, fc.constantFrom<unknown>(4_000_000_000, "9")),
    receiverAuthorizer: mostly(PAY_TO, named),
    withdrawDelay: mostly(900, fc.constantFrom<unknown>(0, "900", 1e12)),
  }),
});

/** @returns how many of the answers led to something that the device signed */
export function checkGeneratedTerms(answers: number): number {
  let signed = 0;
  const accepts = fc.array(entry, { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(accepts, (options) => {
      const required = {
        x402Version: 2,
        resource: { url: "http://s/" },
        accepts: options,
      } as unknown as PaymentRequired;
      const { requirements } = chooseRequirements(required, {
        schemes: ["batch-settlement", "exact", "upto"],
        tokens: [{ network: NETWORK, asset: TOKEN }],
        methods: ["eip3009", "permit2"],
        verifiers: [WALLET, OTHER],
      });
      if (requirements !== null && takeToDevice(requirements)) signed += 1;
    }),
    { numRuns: answers },
  );
  return signed;
}

function takeToDevice(requirements: ChannelRecord["requirements"]): boolean {
  const { receiverAuthorizer, withdrawDelay } = requirements.extra;
  const isBatch = requirements.scheme === "batch-settlement";
  const config = {
    payer: OTHER,
    payerAuthorizer: key.address,
    receiver: requirements.payTo,
    receiverAuthorizer: receiverAuthorizer as string,
    token: requirements.asset,
    withdrawDelay: withdrawDelay as number,
    salt: `0x${"00".repeat(32)}`,
  };
  const channel = {
    id: `0x${"11".repeat(32)}`,
    device: deviceOf(key).device,
    seller: "seller",
    resource: "http://s/",
    requirements,
    config: isBatch ? config : null,
    balance: 0,
    promised: 10_000,
    charged: 400,
    signed: 400,
    granted: 0,
    revision: 9,
  } as ChannelRecord;
  const tariff = { unit: "mWh", pricePerMillionUnits: 200_000, validUntilSeconds: 0, menu: [100] };
  const { message } = readOffer(JSON.stringify(offerOf(channel, tariff, false)));
  if (message === null) return false;
  const { offer } = checkOffer(message, key.address, { permit2: RULES, verifierSecondsMax: 600 });
  if (offer === null || refuseOffer(POLICY, offer) !== null) return false;

  const { terms, channelId, charged, quantumAtomic } = offer;
  const request = {
    terms,
    channelId,
    maxClaimable: charged + quantumAtomic,
    amountAtomic: quantumAtomic,
    validBeforeSeconds: END_SECONDS,
  };
  let signature = new Uint8Array(0);
  signWith(key).sign(request, (made) => {
    signature = Uint8Array.from(made!);
  });
  expect(quantumAtomic).toBeGreaterThan(0);
  expect(quantumAtomic).toBeLessThanOrEqual(POLICY.quantumMaxAtomic);
  expect(signature).toHaveLength(65);
  const own = ownDigest(terms, channelId, quantumAtomic, request.maxClaimable);
  expect(recoverAddress(own, signature)).toBe(key.address);
  return true;
}

/** What this policy would have the device sign; of the offer's words scheme, method, amount and the token's own name. */
function ownDigest(
  { scheme, spender, contract, tokenName: name, tokenVersion: version }: Terms,
  channelId: string,
  amountAtomic: number,
  maxClaimable: number,
): Uint8Array {
  if (scheme === "batch-settlement") return voucherDigest(channelId, maxClaimable, 31_337);
  const nonce = purchaseNonce(channelId, maxClaimable - amountAtomic);
  if (spender === undefined) {
    expect([TOKEN, WALLET]).toContain(contract);
    return transferDigest(
      { chainId: 31_337, address: contract, name, version },
      { from: key.address, to: PAY_TO, value: amountAtomic, validBeforeSeconds: END_SECONDS, nonce },
    );
  }
  const permit = { chainId: 31_337, token: TOKEN, amountAtomic, nonce, deadlineSeconds: END_SECONDS };
  const to = PAY_TO;
  return permitDigest({
    ...permit,
    witness: scheme === "exact" ? { kind: "exact", to } : { kind: "upto", to, facilitator: FACILITATOR },
  });
}
