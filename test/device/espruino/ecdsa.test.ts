/** A board's signatures are those of @noble/curves, at the edges too, and never wrong ones. */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Hmac } from "#core/ports";
import { createComb } from "#espruino/signer/comb";
import { PRIME } from "#espruino/signer/curve";
import { createField } from "#espruino/signer/field";
import { createInverse } from "#espruino/signer/inverse";
import { convolveInScript, LIMBS, limbsOf, reduceLimbs } from "#espruino/signer/limbs";
import { createNonce } from "#espruino/signer/nonce";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import {
  bytesOf,
  ecdsaOf,
  expectSignaturesOf,
  finish,
  hmacSha256,
  integerOf,
  N,
  P,
  TABLE,
} from "./signing.ts";

const SECRET = bytesOf(0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6n);

function signed(secret: Uint8Array, digest: Uint8Array, table = TABLE): string {
  const ecdsa = ecdsaOf(secret, table);
  ecdsa.start(digest);
  finish(ecdsa);
  return toHex(ecdsa.signature());
}

describe("a signature made on a board", () => {
  it("is that of @noble/curves, and recovers to the key", () => {
    expectSignaturesOf(500);
  });

  it("is that of @noble/curves for keys and digests at the edges of the order", () => {
    const keys = [1n, 2n, 3n, N >> 1n, (N >> 1n) + 1n, N - 2n, N - 1n];
    const digests = [0n, 1n, N >> 1n, N - 1n, N, N + 1n, P, 2n ** 256n - 1n];
    for (const secret of keys.map(bytesOf)) {
      const key = openKey(secret);
      for (const digest of digests.map(bytesOf)) {
        expect(signed(secret, digest)).toBe(toHex(key.sign(digest)));
      }
    }
  });

  it("takes between 600 and 900 slices, so that a host can say how long a rung takes", () => {
    const ecdsa = ecdsaOf(SECRET);
    for (let rung = 1n; rung < 20n; rung++) {
      ecdsa.start(bytesOf(rung));
      const slices = finish(ecdsa);
      expect(slices).toBeGreaterThan(600);
      expect(slices).toBeLessThan(900);
    }
  });

  it.each([
    ["zero", new Uint8Array(32)],
    ["the order", bytesOf(N)],
    ["above the order", bytesOf(2n ** 256n - 1n)],
    ["31 bytes long", new Uint8Array(31).fill(1)],
  ])("is refused to a key that is %s, without showing it", (_what, secret) => {
    expect(() => ecdsaOf(secret)).toThrow(
      /^expected a secp256k1 secret of 32 bytes, found \d\d bytes that are none/,
    );
  });

  it("is right or an error, wherever a bit of the table fell over: never a wrong one", () => {
    const right = signed(SECRET, bytesOf(7n));
    let errors = 0;
    fc.assert(
      fc.property(fc.nat(TABLE.length - 1), fc.nat(7), (at, bit) => {
        const damaged = TABLE.slice();
        damaged[at] = damaged[at]! ^ (1 << bit);
        try {
          expect(signed(SECRET, bytesOf(7n), damaged)).toBe(right);
        } catch (error) {
          expect(String(error)).toMatch(/on the curve, found it beside; flash the comb table again/);
          errors++;
        }
      }),
      { numRuns: 300 },
    );
    // About one bit in six is of a point that this signature adds: some 53 of 300, give or take 7.
    expect(errors).toBeGreaterThan(20);
  });

  it("is an error with the table of another curve's points", () => {
    const zeros = new Uint8Array(TABLE.length);
    expect(() => signed(SECRET, bytesOf(7n), zeros)).toThrow(/flash the comb table again/);
  });
});

describe("the comb", () => {
  it("multiplies the base point by any scalar, by small ones and by those near the order", () => {
    const field = createField(convolveInScript);
    const comb = createComb(field, TABLE);
    const inverse = createInverse();
    const scaled = new Int32Array(LIMBS);
    const powers = Array.from({ length: 256 }, (_, bit) => (1n << BigInt(bit)) % N);
    const edges = [1n, 2n, 3n, 5n, 6n, N >> 1n, (N >> 1n) + 1n, N - 3n, N - 2n, N - 1n];
    for (const scalar of [...powers, ...powers.slice(1).map((power) => N - power), ...edges]) {
      comb.start(limbsOf(bytesOf(scalar)));
      finish(comb);
      const z = comb.z();
      reduceLimbs(z, PRIME);
      inverse.start(z, PRIME);
      finish(inverse);
      const over = integerOf(inverse.result());
      const { x, y } = secp256k1.Point.BASE.multiply(scalar).toAffine();
      expect((integerOf(comb.x()) * over ** 2n) % P).toBe(x);
      scaled.set(comb.y());
      reduceLimbs(scaled, PRIME);
      expect((integerOf(scaled) * over ** 3n) % P).toBe(y);
    }
  });
});

describe("a nonce by RFC 6979", () => {
  it("that is not below the order is followed by the next one of section 3.2, step h", () => {
    const high = new Uint8Array(32).fill(255);
    // The first candidate is the fifth HMAC, the second the eighth: both come out too high here.
    function stubborn(): { hmac: Hmac; fed: string[] } {
      const fed: string[] = [];
      const hmac: Hmac = (key, message) => {
        fed.push(`${toHex(key)} ${toHex(message)}`);
        return fed.length === 5 || fed.length === 8 ? high : hmacSha256(key, message);
      };
      return { hmac, fed };
    }
    const ours = stubborn();
    const nonce = createNonce(ours.hmac);
    nonce.start(SECRET, bytesOf(9n));
    finish(nonce);

    const theirs = stubborn();
    const join = (...parts: readonly (Uint8Array | number[])[]) =>
      new Uint8Array(parts.flatMap((part) => [...part]));
    let value: Uint8Array = new Uint8Array(32).fill(1);
    let key = theirs.hmac(new Uint8Array(32), join(value, [0], SECRET, bytesOf(9n)));
    value = theirs.hmac(key, value);
    key = theirs.hmac(key, join(value, [1], SECRET, bytesOf(9n)));
    value = theirs.hmac(key, value);
    value = theirs.hmac(key, value);
    for (let again = 0; again < 2; again++) {
      key = theirs.hmac(key, join(value, [0]));
      value = theirs.hmac(key, value);
      value = theirs.hmac(key, value);
    }
    expect(ours.fed).toEqual(theirs.fed);
    expect(integerOf(nonce.result())).toBe(BigInt(toHex(value)));
  });
});
