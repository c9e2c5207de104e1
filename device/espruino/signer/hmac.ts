/**
 * HMAC-SHA256 (RFC 2104) over the board's own SHA-256.
 *
 * Promise: 32 bytes for a key of at most 64. The two padded keys of the key used last are kept: a device has
 * one.
 */
import type { Hmac } from "#core/ports";

/** SHA-256 of bytes, 32 bytes. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;

export function hmacOver(sha256: Sha256): Hmac {
  let known: Uint8Array | null = null;
  let inner = new Uint8Array(0);
  let outer = new Uint8Array(0);
  return (key, message) => {
    if (key.length > BLOCK_BYTES) throw new Error(`hmac: expected a key of 64 bytes, found ${key.length}`);
    if (known !== key) {
      inner = paddedKey(key, 0x36, 0);
      outer = paddedKey(key, 0x5c, DIGEST_BYTES);
      known = key;
    }
    const text = new Uint8Array(BLOCK_BYTES + message.length);
    text.set(inner);
    text.set(message, BLOCK_BYTES);
    outer.set(sha256(text), BLOCK_BYTES);
    return sha256(outer);
  };
}

function paddedKey(key: Uint8Array, pad: number, room: number): Uint8Array<ArrayBuffer> {
  const padded = new Uint8Array(BLOCK_BYTES + room);
  padded.fill(pad, 0, BLOCK_BYTES);
  for (let i = 0; i < key.length; i++) padded[i] = key[i]! ^ pad;
  return padded;
}
