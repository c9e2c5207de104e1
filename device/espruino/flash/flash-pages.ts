/**
 * Flash pages that belong to the runtime alone, outside the board's file store.
 *
 * Promise: nothing here but the shape, and the whole words that every write consists of. The firmware's own
 * store recreates files, moves them when it is full, and can lose a page while it does; what must outlast a
 * power cut lives on raw pages instead (Espruino's module Flash), which only this runtime erases.
 */

/** A run of equal flash pages. A page reads 0xFF after an erase; a write only clears bits. */
export interface FlashPages {
  readonly count: number;
  /** Bytes of one page, a multiple of 4. */
  readonly pageBytes: number;
  read(page: number, offset: number, length: number): Uint8Array;
  /** @param offset a multiple of 4, as is the length: a word half written is one word lost, never two */
  write(page: number, offset: number, bytes: Uint8Array): void;
  erase(page: number): void;
}

/** CRC-32 as in zlib, unsigned: the board has it in C. */
export type Crc32 = (bytes: Uint8Array) => number;

export const WORD_BYTES = 4;

/** A part of a run of pages as a run of its own. */
export function pagesFrom(pages: FlashPages, first: number, count: number): FlashPages {
  return {
    count,
    pageBytes: pages.pageBytes,
    read: (page, offset, length) => pages.read(first + page, offset, length),
    write: (page, offset, bytes) => pages.write(first + page, offset, bytes),
    erase: (page) => pages.erase(first + page),
  };
}

/** True where nothing was written since the erase. */
export function isErased(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 255) return false;
  return true;
}

/** Big-endian, unsigned; `width` at most 6 bytes. */
export function putNumber(bytes: Uint8Array, offset: number, width: number, value: number): void {
  let rest = value;
  for (let i = offset + width - 1; i >= offset; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

export function getNumber(bytes: Uint8Array, offset: number, width: number): number {
  let value = 0;
  for (let i = offset; i < offset + width; i++) value = value * 256 + bytes[i]!;
  return value;
}
