// The tag's HMAC is HMAC-SHA256, whichever way the platform is asked for it.

import { createHmac } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { hmacSha256 } from "#node/key/native-hmac";

test("for any key of up to a block and any message it is what the platform's own HMAC gives", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.uint8Array({ maxLength: 300 }), (key, message) => {
      const expected = createHmac("sha256", key).update(message).digest();
      expect(Buffer.from(hmacSha256(key, message))).toEqual(expected);
    }),
    { numRuns: 500 },
  );
});

test("a longer key is refused, and not hashed into another", () => {
  expect(() => hmacSha256(new Uint8Array(65), new Uint8Array(1))).toThrow(/at most 64 bytes, found 65/);
});
