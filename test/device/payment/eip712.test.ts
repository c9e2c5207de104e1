import { computeChannelId } from "@x402/evm/batch-settlement/client";
import fc from "fast-check";
import { type Hex, hashTypedData, recoverTypedDataAddress } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { describe, expect, it } from "vitest";
import { receiveDigest, transferDigest } from "#payment/authorization";
import { fromHex, toHex, wordOfAddress, wordOfBytes32, wordOfInteger } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS, batchSettlementSeparator, channelIdOf } from "#payment/channel";
import { chainIdOf, domainSeparator, typeHash } from "#payment/eip712";
import { addressOf, openKey, recoverAddress } from "#payment/key";
import { paymentDigest, signWith } from "#payment/signer";
import { voucherDigest } from "#payment/voucher";

const bytesOf = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => toHex(bytes));
const address = bytesOf(20);
const word = bytesOf(32);
const secret = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => {
  // Below the curve's order, and not zero.
  const scalar = bytes.slice();
  scalar[0]! &= 0x7f;
  scalar[31]! |= 1;
  return scalar;
});
const chainId = fc.integer({ min: 1, max: 999_999_999_999_999 });
const counter = fc.integer({ min: 0, max: 2 ** 48 - 1 });

const field = (type: string, ...names: string[]) => names.map((name) => ({ name, type }));
const TYPES = {
  ChannelConfig: [
    ...field("address", "payer", "payerAuthorizer", "receiver", "receiverAuthorizer", "token"),
    ...field("uint40", "withdrawDelay"),
    ...field("bytes32", "salt"),
  ],
  Voucher: [...field("bytes32", "channelId"), ...field("uint128", "maxClaimableAmount")],
};
const TRANSFER = [
  ...field("address", "from", "to"),
  ...field("uint256", "value", "validAfter", "validBefore"),
  ...field("bytes32", "nonce"),
];

const batch = (id: number) => ({
  name: "x402 Batch Settlement",
  version: "1",
  chainId: id,
  verifyingContract: BATCH_SETTLEMENT_ADDRESS,
});

describe("type hashes and separators", () => {
  it("are those of the standard's contracts", () => {
    const hashes = [
      "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)",
      "Voucher(bytes32 channelId,uint128 maxClaimableAmount)",
      "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
      "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
    ].map((type) => toHex(typeHash(type)));
    expect(hashes).toEqual([
      "0x1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308",
      "0x1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69",
      "0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267",
      "0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8",
    ]);
    expect(toHex(batchSettlementSeparator(31337))).toBe(
      "0xbf720f8d28a5c76a2f7743512598984fa4b90dd1efdb19af73f64cc6587d68af",
    );
  });

  it("differ for tokens whose name and version only read the same side by side", () => {
    const domain = { chainId: 1, verifyingContract: BATCH_SETTLEMENT_ADDRESS };
    const one = domainSeparator({ ...domain, version: "1|a", name: "b" });
    const other = domainSeparator({ ...domain, version: "1", name: "a|b" });
    expect(toHex(one)).not.toBe(toHex(other));
  });

  it("stay right when more domains are seen than are kept", () => {
    const first = toHex(batchSettlementSeparator(1));
    for (let id = 1; id <= 300; id++) batchSettlementSeparator(id);
    expect(toHex(batchSettlementSeparator(1))).toBe(first);
  });
});

describe("digests", () => {
  it("of channels equal viem's and the x402 SDK's channel id, for any configuration", () => {
    const config = fc.record({
      payer: address,
      payerAuthorizer: address,
      receiver: address,
      receiverAuthorizer: address,
      token: address,
      withdrawDelay: fc.integer({ min: 0, max: 4_294_967_295 }),
      salt: word,
    });
    fc.assert(
      fc.property(config, chainId, (message, id) => {
        const found = channelIdOf(message, id);
        expect(found).toBe(
          hashTypedData({ domain: batch(id), types: TYPES, primaryType: "ChannelConfig", message }),
        );
        expect(found).toBe(computeChannelId(message, `eip155:${id}`));
      }),
      { numRuns: 1_000 },
    );
  });

  it("of vouchers and authorizations equal viem's, for any amount", () => {
    fc.assert(
      fc.property(word, counter, chainId, (channelId, maxClaimable, id) => {
        const message = { channelId, maxClaimableAmount: BigInt(maxClaimable) };
        expect(toHex(voucherDigest(channelId, maxClaimable, id))).toBe(
          hashTypedData({ domain: batch(id), types: TYPES, primaryType: "Voucher", message }),
        );
      }),
      { numRuns: 1_000 },
    );
    const token = fc.record({ chainId, address, name: fc.string(), version: fc.string() });
    const authorization = fc.record({
      from: address,
      to: address,
      value: counter,
      validBeforeSeconds: fc.integer({ min: 0, max: 4_294_967_295 }),
      nonce: word,
    });
    fc.assert(
      fc.property(token, authorization, ({ address: verifyingContract, ...rest }, one) => {
        const domain = { ...rest, verifyingContract };
        const message = {
          from: one.from,
          to: one.to,
          value: BigInt(one.value),
          validAfter: 0n,
          validBefore: BigInt(one.validBeforeSeconds),
          nonce: one.nonce,
        };
        const typed = { TransferWithAuthorization: TRANSFER, ReceiveWithAuthorization: TRANSFER };
        const parts = { domain, types: typed, message };
        const ours = { ...rest, address: verifyingContract };
        expect(toHex(transferDigest(ours, one))).toBe(
          hashTypedData({ ...parts, primaryType: "TransferWithAuthorization" }),
        );
        expect(toHex(receiveDigest(ours, one))).toBe(
          hashTypedData({ ...parts, primaryType: "ReceiveWithAuthorization" }),
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe("signatures (M1)", () => {
  it("of vouchers equal viem's byte for byte, recover to the signer, and are the same for ever", async () => {
    await fc.assert(
      fc.asyncProperty(secret, word, counter, chainId, async (key, channelId, maxClaimable, id) => {
        const own = openKey(key);
        const account = privateKeyToAccount(toHex(key));
        expect(own.address).toBe(account.address.toLowerCase());
        const digest = voucherDigest(channelId, maxClaimable, id);
        const signature = own.sign(digest);
        const message = { channelId, maxClaimableAmount: BigInt(maxClaimable) };
        const typed = { domain: batch(id), types: TYPES, primaryType: "Voucher" as const, message };
        expect(toHex(signature)).toBe(await account.signTypedData(typed));
        expect(toHex(own.sign(digest))).toBe(toHex(signature));
        expect(recoverAddress(digest, signature)).toBe(own.address);
        const recovered = await recoverTypedDataAddress({ ...typed, signature: toHex(signature) });
        expect(recovered).toBe(account.address);
      }),
      { numRuns: 150 },
    );
  });

  const own = openKey(new Uint8Array(32).fill(3));
  const digest = new Uint8Array(32).fill(5);
  const good = own.sign(digest);

  it("with a high s, another v or another length are refused", () => {
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const s = BigInt(toHex(good.slice(32, 64)));
    const high = good.slice();
    high.set(wordOfInteger(order - s), 32);
    high[64] = good[64] === 27 ? 28 : 27;
    expect(recoverAddress(digest, high)).toBeNull();
    for (const v of [0, 1, 26, 29, 30, 255]) {
      const wrong = good.slice();
      wrong[64] = v;
      expect(recoverAddress(digest, wrong)).toBeNull();
    }
    expect(recoverAddress(digest, good.slice(0, 64))).toBeNull();
    expect(recoverAddress(digest, Uint8Array.from([...good, 0]))).toBeNull();
    expect(recoverAddress(digest, good)).toBe(own.address);
  });

  it("of random bytes never throw, and never prove our key", () => {
    const random = fc.uint8Array({ minLength: 60, maxLength: 70 });
    const zeros = fc.constantFrom(new Uint8Array(65), Uint8Array.from([...new Uint8Array(64), 27]));
    fc.assert(
      fc.property(fc.oneof(random, zeros), (bytes) => {
        expect(recoverAddress(digest, bytes)).not.toBe(own.address);
      }),
    );
  });

  it("with one bit flipped prove another key or none", () => {
    for (let bit = 0; bit < 520; bit++) {
      const flipped = good.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(recoverAddress(digest, flipped)).not.toBe(own.address);
    }
  });
});

describe("keys", () => {
  it("that are none are refused without being shown", () => {
    const order = fromHex("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    for (const wrong of [new Uint8Array(32), order, new Uint8Array(31).fill(1), new Uint8Array()]) {
      expect(() => openKey(wrong)).toThrow(/^expected a secp256k1 secret of 32 bytes, found \d+ bytes/);
    }
    expect(JSON.stringify(openKey(new Uint8Array(32).fill(0x42)))).not.toContain("4242");
  });

  it("have one address, compressed or not", () => {
    const key = openKey(new Uint8Array(32).fill(9));
    expect(addressOf(key.publicKey)).toBe(key.address);
  });
});

describe("the signer (P1)", () => {
  const key = openKey(new Uint8Array(32).fill(3));
  const terms = {
    scheme: "exact" as const,
    network: "eip155:31337",
    asset: `0x${"aa".repeat(20)}`,
    payTo: `0x${"bb".repeat(20)}`,
    contract: `0x${"aa".repeat(20)}`,
    tokenName: "USD Coin",
    tokenVersion: "2",
  };
  const channelId = `0x${"01".repeat(32)}` as Hex;
  const request = {
    terms,
    channelId,
    maxClaimable: 600,
    amountAtomic: 100,
    validBeforeSeconds: 1_800_000_000,
  };

  it("signs a voucher of the cumulative amount for batch settlement", () => {
    const voucher = { ...request, terms: { ...terms, scheme: "batch-settlement" as const } };
    expect(paymentDigest(voucher, key.address)).toEqual(voucherDigest(channelId, 600, 31337));
    let signed: Uint8Array | null = null;
    signWith(key).sign(voucher, (signature) => {
      signed = signature;
    });
    expect(signed).toEqual(key.sign(voucherDigest(channelId, 600, 31337)));
  });

  it("keys an exact payment by where it begins, so two sizes of it share one nonce", () => {
    const digest = toHex(paymentDigest(request, key.address));
    const larger = { ...request, maxClaimable: 700, amountAtomic: 200 };
    expect(toHex(paymentDigest(larger, key.address))).not.toBe(digest);
    const later = { ...request, maxClaimable: 700 };
    expect(toHex(paymentDigest(later, key.address))).not.toBe(digest);
  });

  it("refuses what is no EVM network", () => {
    for (const network of ["solana:x", "eip155:0", "eip155:", "eip155:1x", "eip155:01", " eip155:1"]) {
      expect(() => chainIdOf(network)).toThrow('expected a network like "eip155:8453"');
    }
    expect(chainIdOf("eip155:8453")).toBe(8453);
  });
});

describe("words", () => {
  it("refuse what does not fit them", () => {
    expect(() => wordOfInteger(-1)).toThrow("unsigned 256-bit");
    expect(() => wordOfInteger(1n << 256n)).toThrow("unsigned 256-bit");
    expect(() => wordOfInteger(0.5)).toThrow();
    expect(() => wordOfAddress("0x00")).toThrow("expected an address of 20 bytes, found 1");
    expect(() => wordOfBytes32("0x00")).toThrow("expected 32 bytes, found 1");
    expect(() => fromHex("00")).toThrow('beginning with 0x, found "00"');
    expect(() => fromHex("0x0")).toThrow();
    expect(() => fromHex("0xzz")).toThrow();
  });
});
