/**
 * The checkpoint's journal on two flash pages.
 *
 * Promise: a checkpoint whose store was answered is there after a power cut at any word; a cut while storing
 * leaves that one or the one before. The page that holds the latest record is never erased: records are
 * appended until a page is full, then the other page is erased and takes the next.
 *
 *   record  length 4 | sequence 4 | CRC-32 of what follows and both numbers 4 | JSON, padded to words
 */
import type { Checkpoint } from "#core/events";
import type { Journal } from "#core/ports";
import { type Crc32, type FlashPages, getNumber, isErased, putNumber, WORD_BYTES } from "./flash-pages.ts";

const HEAD_BYTES = 12;

/** Longest record's text: a checkpoint of five channels has some 1,300 bytes. */
const TEXT_BYTES_MAX = 3000;

interface PageEnd {
  /** Highest sequence number found; 0 for none. */
  readonly sequence: number;
  readonly text: Uint8Array | null;
  /** Where the next record goes; the page's size when nothing more may be written. */
  readonly freeAt: number;
}

/** @param pages two of them */
export function flashJournal(pages: FlashPages, crc32: Crc32): Journal {
  const ends = [endOf(pages, 0, crc32), endOf(pages, 1, crc32)];
  let active = ends[1]!.sequence > ends[0]!.sequence ? 1 : 0;
  let sequence = ends[active]!.sequence;
  let freeAt = ends[active]!.freeAt;
  const found = ends[active]!.text;
  return {
    load: () => (found === null ? null : (JSON.parse(textOf(found)) as Checkpoint)),
    store(checkpoint, done) {
      const record = recordOf(JSON.stringify(checkpoint), sequence + 1, crc32);
      if (record === null) {
        done(`journal: expected a checkpoint of at most ${TEXT_BYTES_MAX} bytes`);
        return;
      }
      if (sequence === 0 || freeAt + record.length > pages.pageBytes) {
        active = sequence === 0 ? 0 : 1 - active;
        pages.erase(active);
        freeAt = 0;
      }
      const at = freeAt;
      pages.write(active, at, record);
      freeAt += record.length;
      if (!isSame(pages.read(active, at, record.length), record)) {
        // Worn out, or never erased: the other page takes the next one.
        freeAt = pages.pageBytes;
        done(`journal: expected page ${active} to keep what was written at ${at}; the flash is worn`);
        return;
      }
      sequence++;
      done(null);
    },
  };
}

function endOf(pages: FlashPages, page: number, crc32: Crc32): PageEnd {
  let end: PageEnd = { sequence: 0, text: null, freeAt: 0 };
  while (end.freeAt + HEAD_BYTES <= pages.pageBytes) {
    const head = pages.read(page, end.freeAt, HEAD_BYTES);
    const length = getNumber(head, 0, 4);
    const size = HEAD_BYTES + padded(length);
    const fits = length > 0 && length <= TEXT_BYTES_MAX && end.freeAt + size <= pages.pageBytes;
    const text = fits ? pages.read(page, end.freeAt + HEAD_BYTES, length) : null;
    if (text === null || getNumber(head, 8, 4) !== checkOf(head, text, crc32)) {
      // Behind a torn record nothing more is written: where it ends is not known.
      const rest = pages.read(page, end.freeAt, pages.pageBytes - end.freeAt);
      return isErased(rest) ? end : { sequence: end.sequence, text: end.text, freeAt: pages.pageBytes };
    }
    end = { sequence: getNumber(head, 4, 4), text, freeAt: end.freeAt + size };
  }
  return end;
}

function recordOf(text: string, sequence: number, crc32: Crc32): Uint8Array | null {
  if (text.length > TEXT_BYTES_MAX) return null;
  const record = new Uint8Array(HEAD_BYTES + padded(text.length));
  putNumber(record, 0, 4, text.length);
  putNumber(record, 4, 4, sequence);
  for (let i = 0; i < text.length; i++) record[HEAD_BYTES + i] = text.charCodeAt(i);
  const written = record.slice(HEAD_BYTES, HEAD_BYTES + text.length);
  putNumber(record, 8, 4, checkOf(record, written, crc32));
  return record;
}

function checkOf(head: Uint8Array, text: Uint8Array, crc32: Crc32): number {
  const covered = new Uint8Array(8 + text.length);
  for (let i = 0; i < 8; i++) covered[i] = head[i]!;
  covered.set(text, 8);
  return crc32(covered);
}

function padded(length: number): number {
  return Math.ceil(length / WORD_BYTES) * WORD_BYTES;
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  for (let i = 0; i < right.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

function textOf(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}
