// Every library recovers the same signer of a voucher: libsecp256k1, noble, viem. Where viem takes more than
// the contract does, the seller is with the contract: such a voucher could never be claimed.

import { secp256k1 } from "@noble/curves/secp256k1.js";
import fc from "fast-check";
import { type Hex, hashTypedData, keccak256, recoverAddress } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { beforeAll, describe, expect, test } from "vitest";
import { nativeCurve, nobleCurve } from "#node/key/native-curve";
import { channelIdOf } from "#payment/channel";
import { BATCH_SETTLEMENT_ADDRESS } from "#simulator/chain/deploy";
import { ChannelIds } from "#simulator/seller/scheme/channel-ids";
import { VoucherSignatures } from "#simulator/seller/scheme/voucher-signatures";
import { type Keccak, keccakInWasm } from "#simulator/seller/scheme/wasm-keccak";

const CHAIN_ID = 31_337;
const ORDER = secp256k1.Point.Fn.ORDER;

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => hex(bytes));
const secret = fc.bigInt({ min: 1n, max: ORDER - 1n }).map((key) => word(key));
const amount = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n });
const tampering = fc.constantFrom(
  "none",
  "other parity",
  "v 0 or 1",
  "v 29",
  "v 255",
  "high s",
  "high s, v as it was",
  "r 0",
  "s 0",
  "r the order",
  "s the order",
  "another amount",
  "another channel",
  "another signer",
  "noise",
);
type Tampering = typeof tampering extends fc.Arbitrary<infer Kind> ? Kind : never;

function hex(bytes: Uint8Array): Hex {
  return `0x${Buffer.from(bytes).toString("hex")}`;
}

function word(value: bigint): Hex {
  return `0x${value.toString(16).padStart(64, "0")}`;
}

function digestOf(channelId: Hex, maxClaimableAmount: bigint): Hex {
  return hashTypedData({
    domain: {
      name: "x402 Batch Settlement",
      version: "1",
      chainId: CHAIN_ID,
      verifyingContract: BATCH_SETTLEMENT_ADDRESS,
    },
    types: {
      Voucher: [
        { name: "channelId", type: "bytes32" },
        { name: "maxClaimableAmount", type: "uint128" },
      ],
    },
    primaryType: "Voucher",
    message: { channelId, maxClaimableAmount },
  });
}

function tampered(signature: Hex, how: Tampering, noise: Hex): Hex {
  const r = BigInt(signature.slice(0, 66));
  const s = BigInt(`0x${signature.slice(66, 130)}`);
  const v = Number.parseInt(signature.slice(130), 16);
  const joined = (r2: bigint, s2: bigint, v2: number): Hex =>
    `${word(r2)}${word(s2).slice(2)}${v2.toString(16).padStart(2, "0")}`;
  switch (how) {
    case "other parity":
      return joined(r, s, 55 - v);
    case "v 0 or 1":
      return joined(r, s, v - 27);
    case "v 29":
      return joined(r, s, 29);
    case "v 255":
      return joined(r, s, 255);
    case "high s":
      return joined(r, ORDER - s, 55 - v);
    case "high s, v as it was":
      return joined(r, ORDER - s, v);
    case "r 0":
      return joined(0n, s, v);
    case "s 0":
      return joined(r, 0n, v);
    case "r the order":
      return joined(ORDER, s, v);
    case "s the order":
      return joined(r, ORDER, v);
    case "noise":
      return `${noise}${noise.slice(2)}1b`;
    default:
      return signature;
  }
}

describe("a voucher's signature", () => {
  let keccak: Keccak;
  let native: VoucherSignatures;
  let noble: VoucherSignatures;
  beforeAll(async () => {
    keccak = await keccakInWasm();
    native = new VoucherSignatures(nativeCurve(), keccak, CHAIN_ID);
    noble = new VoucherSignatures(nobleCurve(), keccak, CHAIN_ID);
  });

  test("is verified alike by libsecp256k1, noble and viem, and by the contract's rules for s and v", async () => {
    let good = 0;
    let bad = 0;
    const voucher = fc.tuple(secret, secret, bytes32, bytes32, amount, tampering);
    await fc.assert(
      fc.asyncProperty(voucher, async ([key, otherKey, channelId, noise, maxClaimable, how]) => {
        const signer = privateKeyToAccount(key);
        const authorizer = (how === "another signer" ? privateKeyToAccount(otherKey) : signer).address;
        const signed = await signer.sign({ hash: digestOf(channelId, maxClaimable) });
        const signature = tampered(signed, how, noise);
        const shownChannel = how === "another channel" ? noise : channelId;
        const shownAmount = how === "another amount" ? maxClaimable ^ 1n : maxClaimable;

        const v = Number.parseInt(signature.slice(130), 16);
        const isLow = BigInt(`0x${signature.slice(66, 130)}`) <= ORDER / 2n;
        const recovered = await recoverAddress({
          hash: digestOf(shownChannel, shownAmount),
          signature,
        }).catch(() => undefined);
        const expected = recovered === authorizer && (v === 27 || v === 28) && isLow;

        const asked = [authorizer.toLowerCase(), shownChannel, shownAmount, signature] as const;
        expect({ how, native: native.isSignedBy(...asked) }).toEqual({ how, native: expected });
        expect({ how, noble: noble.isSignedBy(...asked) }).toEqual({ how, noble: expected });
        if (expected) good += 1;
        else bad += 1;
      }),
      { numRuns: 150, examples: allTamperings() },
    );
    expect(good).toBeGreaterThan(0);
    expect(bad).toBeGreaterThan(10);
  });

  test("counts only for the authorizer whose key made it, also once keys are known", async () => {
    const [ours, theirs] = [word(7n), word(8n)].map((key) => privateKeyToAccount(key));
    const channelId = word(5n);
    const signature = await ours!.sign({ hash: digestOf(channelId, 100n) });
    for (const signatures of [native, noble]) {
      for (let time = 0; time < 2; time += 1) {
        expect(signatures.isSignedBy(ours!.address.toLowerCase(), channelId, 100n, signature)).toBe(true);
        expect(signatures.isSignedBy(theirs!.address.toLowerCase(), channelId, 100n, signature)).toBe(false);
      }
    }
  });

  test("of any other length or of no hex is refused", () => {
    for (const signature of [
      "",
      "0x",
      `0x${"11".repeat(64)}`,
      `0x${"11".repeat(66)}`,
      `0x${"zz".repeat(65)}`,
    ]) {
      expect(native.isSignedBy(`0x${"0".repeat(40)}`, word(1n), 1n, signature)).toBe(false);
    }
  });

  test("is hashed by a keccak that equals viem's for every length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(hex(keccak(bytes))).toBe(keccak256(bytes));
      }),
    );
  });
});

/** Each tampering at least once, whatever is drawn. */
function allTamperings(): [[Hex, Hex, Hex, Hex, bigint, Tampering]][] {
  const kinds: Tampering[] = fc
    .sample(tampering, { numRuns: 400, seed: 1 })
    .filter((kind, index, all) => all.indexOf(kind) === index);
  return kinds.map((kind) => [[word(11n), word(12n), word(13n), word(14n), 15n, kind]]);
}

describe("a channel's id", () => {
  const address = fc
    .uint8Array({ minLength: 20, maxLength: 20 })
    .map((bytes) => `0x${Buffer.from(bytes).toString("hex")}`);
  const config = fc.record({
    payer: address,
    payerAuthorizer: address,
    receiver: address,
    receiverAuthorizer: address,
    token: address,
    withdrawDelay: fc.integer({ min: 900, max: 2_592_000 }),
    salt: bytes32,
  });

  test("is the same hashed or remembered, and one for every config", () => {
    const ids = new ChannelIds(CHAIN_ID);
    fc.assert(
      fc.property(config, config, (one, other) => {
        for (const asked of [one, other, one]) expect(ids.idOf(asked)).toBe(channelIdOf(asked, CHAIN_ID));
        expect(ids.idOf({ ...one, withdrawDelay: one.withdrawDelay + 1 })).not.toBe(ids.idOf(one));
      }),
    );
    expect(ids.idOf({ ...fc.sample(config, 1)[0]!, payer: "0x12" })).toBeUndefined();
  });
});
