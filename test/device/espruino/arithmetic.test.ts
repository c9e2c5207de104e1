/** Limbs against BigInt: the field, the inverses and the scalars of a board's signer. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ORDER, ORDER_FOLD, ORDER_HALF, PRIME } from "#espruino/signer/curve";
import { createField } from "#espruino/signer/field";
import { createInverse } from "#espruino/signer/inverse";
import {
  convolveInScript,
  LIMBS,
  type Limbs,
  limbsOf,
  reduceLimbs,
  writeLimbs,
} from "#espruino/signer/limbs";
import { createScalarProduct } from "#espruino/signer/scalar";
import { bytesOf, finish, integerOf, N, P } from "./signing.ts";

const field = createField(convolveInScript);

/** Any limbs that a result may have, the extreme ones often. */
const limb = fc.oneof(fc.integer({ min: 0, max: 0xffffff }), fc.constantFrom(0, 1, 0xfffffe, 0xffffff));
const residues = fc.array(limb, { minLength: LIMBS, maxLength: LIMBS }).map((limbs) => new Int32Array(limbs));
const differences = fc.tuple(residues, residues).map(([one, other]) => one.map((x, at) => x - other[at]!));

/** Numbers around those where carries, folds and signs turn. */
const EDGES = [0n, 1n, 2n, 976n, 977n, 1n << 24n, 1n << 48n, 1n << 128n, N >> 1n, P >> 1n, N, P, 1n << 255n];
const edge = fc
  .tuple(fc.constantFrom(...EDGES), fc.bigInt({ min: -3n, max: 3n }))
  .map(([around, by]) => BigInt.asUintN(256, around + by));
const numbers = fc.oneof(fc.bigInt({ min: 0n, max: (1n << 256n) - 1n }), edge);

const modulo = (value: bigint, modulus: bigint) => ((value % modulus) + modulus) % modulus;

/** Every result can be a factor: its limbs are 24 bits, the fourth a little more. */
function expectFactor(limbs: Limbs): void {
  const isSettled = (value: number, at: number) => {
    const slack = at === 3 ? 1024 : 0;
    return value >= -slack && value <= 0xffffff + slack;
  };
  expect(limbs.every(isSettled)).toBe(true);
}

describe("the field of a board", () => {
  it("multiplies any two results, and a difference or a doubled one with a result", () => {
    const into = new Int32Array(LIMBS);
    fc.assert(
      fc.property(fc.oneof(residues, differences), residues, fc.boolean(), (left, right, twice) => {
        if (twice) field.byTwice(right);
        else field.by(right);
        // A doubled factor and a difference would be too much together: columns beyond 2^53.
        const other = twice ? left.map((value) => Math.abs(value)) : left;
        field.multiply(into, other);
        expectFactor(into);
        const product = integerOf(other) * integerOf(right) * (twice ? 2n : 1n);
        expect(modulo(integerOf(into), P)).toBe(modulo(product, P));
      }),
      { numRuns: 2_000 },
    );
  });

  it("adds its addend to a product, also into the addend itself", () => {
    fc.assert(
      fc.property(
        differences,
        residues,
        residues,
        fc.integer({ min: -8, max: 8 }),
        (left, right, more, times) => {
          const wanted = modulo(integerOf(left) * integerOf(right) + BigInt(times) * integerOf(more), P);
          field.by(right);
          field.multiplyAdd(more, left, more, times);
          expectFactor(more);
          expect(modulo(integerOf(more), P)).toBe(wanted);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it("scales and adds", () => {
    const into = new Int32Array(LIMBS);
    fc.assert(
      fc.property(residues, residues, fc.integer({ min: -8, max: 8 }), (one, other, times) => {
        field.scale(into, one, times);
        expectFactor(into);
        expect(modulo(integerOf(into), P)).toBe(modulo(BigInt(times) * integerOf(one), P));
        field.add(into, one, times, other);
        expect(integerOf(into)).toBe(integerOf(one) + BigInt(times) * integerOf(other));
      }),
      { numRuns: 2_000 },
    );
  });

  it("is exact at its greatest: all limbs full, on both sides, with a doubled factor", () => {
    const full = new Int32Array(LIMBS).fill(0xffffff);
    full[3] = 0xffffff + 1024;
    const into = new Int32Array(LIMBS);
    field.byTwice(full);
    field.multiply(into, full);
    expect(modulo(integerOf(into), P)).toBe(modulo(2n * integerOf(full) * integerOf(full), P));
  });
});

describe("numbers of a board", () => {
  it("are the curve's", () => {
    expect([PRIME, ORDER, ORDER_HALF, ORDER_FOLD].map(integerOf)).toEqual([P, N, N >> 1n, (1n << 264n) % N]);
  });

  it("come from bytes, are reduced and become bytes again", () => {
    fc.assert(
      fc.property(numbers, fc.constantFrom(PRIME, ORDER), (number, modulus) => {
        const limbs = limbsOf(bytesOf(number));
        expect(integerOf(limbs)).toBe(number);
        reduceLimbs(limbs, modulus);
        const bytes = new Uint8Array(40);
        writeLimbs(limbs, bytes, 5);
        expect(bytes.subarray(5, 37)).toEqual(bytesOf(number % integerOf(modulus)));
      }),
      { numRuns: 2_000 },
    );
  });

  it("are reduced from beyond 2^264 and from below zero", () => {
    fc.assert(
      fc.property(differences, fc.constantFrom(PRIME, ORDER), (limbs, modulus) => {
        const wanted = modulo(integerOf(limbs), integerOf(modulus));
        reduceLimbs(limbs, modulus);
        expect(integerOf(limbs)).toBe(wanted);
      }),
      { numRuns: 2_000 },
    );
  });

  it("multiply modulo the order, whatever the factors", () => {
    const product = createScalarProduct(convolveInScript);
    fc.assert(
      fc.property(
        residues,
        fc.oneof(
          residues,
          numbers.map((number) => limbsOf(bytesOf(number))),
        ),
        (one, other) => {
          product.start(one, other);
          finish(product);
          expect(integerOf(product.result())).toBe((integerOf(one) * integerOf(other)) % N);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("have inverses modulo prime and order, be they small, near the modulus or powers of two", () => {
    const inverse = createInverse();
    const powers = fc
      .tuple(fc.nat(255), fc.nat(2))
      .map(([exponent, more]) => (1n << BigInt(exponent)) + BigInt(more));
    const fewBits = fc
      .tuple(fc.nat(255), fc.nat(255), fc.nat(255))
      .map((bits) => bits.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n));
    fc.assert(
      fc.property(fc.oneof(numbers, powers, fewBits), fc.constantFrom(PRIME, ORDER), (number, modulus) => {
        const value = number % integerOf(modulus);
        fc.pre(value !== 0n);
        inverse.start(limbsOf(bytesOf(value)), modulus);
        expect(finish(inverse)).toBeLessThan(200);
        const found = integerOf(inverse.result());
        expect(found < integerOf(modulus)).toBe(true);
        expect((found * value) % integerOf(modulus)).toBe(1n);
      }),
      { numRuns: 3_000 },
    );
    expect(() => inverse.start(new Int32Array(LIMBS), PRIME)).toThrow(/found zero/);
  });
});
