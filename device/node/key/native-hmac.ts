/**
 * HMAC-SHA256 by the platform's own library.
 *
 * Promise: 32 bytes for any key of at most 64 bytes and any message; two hashes at once, for an object that a hash is
 * fed through costs more than the hash.
 */

import { hash } from "node:crypto";
import type { Hmac } from "#core/ports";
import { Watt402Error } from "#payment/watt402-error";

/** RFC 2104: SHA-256 works on blocks of 64 bytes. */
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;

/** Key and digest: every call fills it anew and leaves no secret but the last one in it. */
const outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES);

/** Throws for a key above 64 bytes: tag keys have 32. */
export const hmacSha256: Hmac = (key, message) => {
  if (key.length > BLOCK_BYTES)
    throw new Watt402Error("value-invalid", `HMAC key: expected at most 64 bytes, found ${key.length}`);
  const inner = Buffer.allocUnsafe(BLOCK_BYTES + message.length);
  for (let at = 0; at < BLOCK_BYTES; at++) {
    const byte = key[at] ?? 0;
    inner[at] = byte ^ 0x36;
    outer[at] = byte ^ 0x5c;
  }
  inner.set(message, BLOCK_BYTES);
  outer.set(hash("sha256", inner, "buffer"), BLOCK_BYTES);
  return hash("sha256", outer, "buffer");
};
