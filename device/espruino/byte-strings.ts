/**
 * Bytes in the two forms that a board has them in: typed arrays for hashing, byte strings for sockets and
 * files.
 *
 * Promise: the two are the same bytes; the board converts in C (E.toString, E.toUint8Array).
 */
export interface ByteStrings {
  bytesOf(text: string): Uint8Array;
  textOf(bytes: Uint8Array): string;
}
