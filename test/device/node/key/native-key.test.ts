// Native signing is an option of the simulator: byte for byte what the device itself signs.

import { hexToBytes } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { expect, test } from "vitest";
import { openNativeKey } from "#node/key/native-key";
import { openKey } from "#payment/key";

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const ORDER = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

test("address, public key, signatures and shared secrets are those of the device's own key, for any secret and digest", () => {
  fc.assert(
    fc.property(bytes32, bytes32, bytes32, (secret, digest, otherSecret) => {
      const [own, other, native] = [openKey(secret), openKey(otherSecret), openNativeKey(secret)];
      expect(native.address).toBe(own.address);
      expect(native.publicKey).toEqual(own.publicKey);
      expect(native.sign(digest)).toEqual(own.sign(digest));
      expect(native.shareWith(other.publicKey)).toEqual(own.shareWith(other.publicKey));
    }),
    { numRuns: 60 },
  );
});

test("digests of all zeros and all ones are signed alike", () => {
  const secret = new Uint8Array(32).fill(7);
  for (const digest of [new Uint8Array(32), new Uint8Array(32).fill(255), hexToBytes(ORDER)]) {
    expect(openNativeKey(secret).sign(digest)).toEqual(openKey(secret).sign(digest));
  }
});

test("what is no secret opens no key, and is not shown", () => {
  for (const secret of [new Uint8Array(32), hexToBytes(ORDER), new Uint8Array(31).fill(9)]) {
    expect(() => openNativeKey(secret)).toThrow(/expected a secp256k1 secret of 32 bytes/);
  }
});
