import { keccak_256 } from "@noble/hashes/sha3.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKeccak } from "#espruino/signer/keccak";
import { finish } from "./signing.ts";

const keccak = createKeccak();

/** Two blocks, each with its last byte, and a little of the third. */
const LENGTH_MAX = 280;

function digestOf(message: Uint8Array): Uint8Array {
  keccak.start(message);
  finish(keccak);
  return keccak.digest();
}

describe("keccak-256 of a board", () => {
  it("is keccak-256, at every length up to a third block", () => {
    for (let length = 0; length <= LENGTH_MAX; length++) {
      const message = new Uint8Array(length).map((_, at) => (at * 197 + length) & 255);
      expect(digestOf(message)).toEqual(keccak_256(message));
    }
  });

  it("is keccak-256, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: LENGTH_MAX }), (message) => {
        expect(digestOf(message)).toEqual(keccak_256(message));
      }),
      { numRuns: 1_000 },
    );
  });
});
