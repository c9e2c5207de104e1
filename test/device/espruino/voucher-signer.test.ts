/** A voucher signed slice by slice is the voucher that every other device of ours signs. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createVoucherSigner } from "#espruino/signer/voucher-signer";
import { toHex } from "#payment/bytes";
import { batchSettlementSeparator } from "#payment/channel";
import { openKey } from "#payment/key";
import { voucherDigest } from "#payment/voucher";
import { bytesOf, finish, hmacSha256, TABLE } from "./signing.ts";

const CHAIN_ID = 8453;
const SECRET = bytesOf(0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690dn);
const signer = createVoucherSigner({
  table: TABLE,
  key: SECRET,
  domainSeparator: batchSettlementSeparator(CHAIN_ID),
  hmac: hmacSha256,
});
const key = openKey(SECRET);

const channels = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe("a voucher signed on a board", () => {
  it("has the bytes that device/payment signs, for any channel and amount", () => {
    fc.assert(
      fc.property(channels, fc.maxSafeNat(), (channelId, maxClaimableAtomic) => {
        const job = signer.start(channelId, maxClaimableAtomic);
        finish(job);
        const digest = voucherDigest(toHex(channelId), maxClaimableAtomic, CHAIN_ID);
        expect(toHex(job.signature())).toBe(toHex(key.sign(digest)));
      }),
      { numRuns: 200 },
    );
  });

  it("keeps its bytes when another rung was begun and left in between", () => {
    const channelId = bytesOf(1n);
    const first = signer.start(channelId, 100);
    finish(first);
    const before = first.signature();
    const left = signer.start(channelId, 200);
    for (let slice = 0; slice < 300; slice++) left.step();
    const again = signer.start(channelId, 100);
    finish(again);
    expect(toHex(again.signature())).toBe(toHex(before));
  });

  it("hands out signatures that later ones do not change", () => {
    const first = signer.start(bytesOf(2n), 1);
    finish(first);
    const kept = first.signature();
    const text = toHex(kept);
    finish(signer.start(bytesOf(2n), 2));
    expect(toHex(kept)).toBe(text);
  });

  it.each([
    ["a channel id of 31 bytes", () => signer.start(new Uint8Array(31), 1), /32 bytes, found 31/],
    [
      "a separator of 20 bytes",
      () => withPart({ domainSeparator: new Uint8Array(20) }),
      /separator of 32 bytes/,
    ],
    ["a key of zero", () => withPart({ key: new Uint8Array(32) }), /secret of 32 bytes/],
    [
      "a table cut short",
      () => withPart({ table: TABLE.subarray(0, 8_000) }),
      /8448 bytes.*found 8000.*flash/,
    ],
  ])("refuses %s", (_what, act, message) => {
    expect(act).toThrow(message);
  });
});

function withPart(part: { key?: Uint8Array; table?: Uint8Array; domainSeparator?: Uint8Array }) {
  const parts = { table: TABLE, key: SECRET, domainSeparator: new Uint8Array(32), hmac: hmacSha256, ...part };
  return createVoucherSigner(parts);
}
