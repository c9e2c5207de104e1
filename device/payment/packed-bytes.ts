/**
 * Few bytes of which there are many, each kept for long: keys.
 *
 * Promise: what is laid down here is a copy that no other code writes. Bytes that lie alone weigh three hundred more
 * where buffers are kept outside the heap; so they lie side by side, and go when all their neighbours have gone.
 */

const BLOCK_BYTES = 8_192;

let block = new Uint8Array(0);
let used = 0;

/** @param bytes at most 8,192 */
export function laidDown(bytes: Uint8Array): Uint8Array {
  if (used + bytes.length > block.length) {
    block = new Uint8Array(BLOCK_BYTES);
    used = 0;
  }
  const copy = block.subarray(used, used + bytes.length);
  copy.set(bytes);
  used += bytes.length;
  return copy;
}
