/**
 * One file of a journal, as bytes: groups end to end, each `length | crc32 | entries`, each entry `length | bytes`.
 * All lengths and the checksum are unsigned 32-bit little-endian; the checksum is over the entries.
 *
 * Promise: what `readSegment` gives are entries of groups that were written whole; a group that a power cut tore, or
 * that the disk changed, gives nothing, and whole groups behind it are still found.
 */
import { crc32 } from "node:zlib";

const HEADER_BYTES = 8;
const LENGTH_BYTES = 4;

export interface ReadSegment {
  readonly entries: readonly Buffer[];
  /** Bytes of groups that are not as they were written and have a whole group behind them. */
  readonly damagedBytes: number;
}

/** One group of the journal. */
export function groupOf(entries: readonly Uint8Array[]): Buffer {
  const length = entries.reduce((sum, entry) => sum + LENGTH_BYTES + entry.length, 0);
  const group = Buffer.allocUnsafe(HEADER_BYTES + length);
  let at = HEADER_BYTES;
  for (const entry of entries) {
    group.writeUInt32LE(entry.length, at);
    group.set(entry, at + LENGTH_BYTES);
    at += LENGTH_BYTES + entry.length;
  }
  group.writeUInt32LE(length, 0);
  group.writeUInt32LE(crc32(group.subarray(HEADER_BYTES)), LENGTH_BYTES);
  return group;
}

export function readSegment(bytes: Buffer): ReadSegment {
  const entries: Buffer[] = [];
  let damagedBytes = 0;
  let suspectBytes = 0;
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    const end = at + HEADER_BYTES + length;
    // A length of zero is what a file has where its size was stored and its bytes were not.
    if (length === 0 || end > bytes.length) break;
    const content = bytes.subarray(at + HEADER_BYTES, end);
    if (crc32(content) === bytes.readUInt32LE(at + LENGTH_BYTES)) {
      entries.push(...entriesOf(content));
      damagedBytes += suspectBytes;
      suspectBytes = 0;
    } else {
      suspectBytes += end - at;
    }
    at = end;
  }
  return { entries, damagedBytes };
}

function entriesOf(content: Buffer): Buffer[] {
  const entries: Buffer[] = [];
  for (let at = 0; at < content.length; ) {
    const end = at + LENGTH_BYTES + content.readUInt32LE(at);
    entries.push(content.subarray(at + LENGTH_BYTES, end));
    at = end;
  }
  return entries;
}
