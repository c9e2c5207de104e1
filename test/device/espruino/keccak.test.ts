import { keccak_256 } from "@noble/hashes/sha3.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKeccak, KECCAK_MESSAGE_BYTES_MAX } from "#espruino/keccak";
import { finish } from "./signing.ts";

const keccak = createKeccak();

function digestOf(message: Uint8Array): Uint8Array {
  keccak.start(message);
  finish(keccak);
  return keccak.digest();
}

describe("keccak-256 of a board", () => {
  it("is keccak-256, at every length of one block", () => {
    for (let length = 0; length <= KECCAK_MESSAGE_BYTES_MAX; length++) {
      const message = new Uint8Array(length).map((_, at) => (at * 197 + length) & 255);
      expect(digestOf(message)).toEqual(keccak_256(message));
    }
  });

  it("is keccak-256, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: KECCAK_MESSAGE_BYTES_MAX }), (message) => {
        expect(digestOf(message)).toEqual(keccak_256(message));
      }),
      { numRuns: 2_000 },
    );
  });

  it("refuses what would need a second block", () => {
    expect(() => keccak.start(new Uint8Array(136))).toThrow("at most 135 bytes to hash, found 136");
  });
});
