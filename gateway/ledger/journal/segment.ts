/**
 * One file of a journal, as bytes: groups end to end, each `length | crc32 | entries`, each entry `length | bytes`.
 * All lengths and the checksum are unsigned 32-bit little-endian; the checksum is over the entries.
 *
 * Promise: what `readSegment` gives are entries of groups that were written whole; a group that a power cut tore, or
 * that the disk changed, gives nothing, and whole groups behind it are still found, whatever of it was changed, its
 * length too. What was changed is reported, but for a last group that looks as one does whose writing was cut off.
 */
import { crc32 } from "node:zlib";

const HEADER_BYTES = 8;
const LENGTH_BYTES = 4;

interface ReadSegment {
  readonly entries: readonly Buffer[];
  /** Bytes of groups that are not as they were written, but for a torn last one. */
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
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    let end = wholeGroupEnd(bytes, at);
    if (end === null) {
      end = endByEntries(bytes, at);
      if (end !== null) damagedBytes += LENGTH_BYTES;
    }
    if (end === null) {
      const next = nextWholeGroup(bytes, at);
      damagedBytes += next === null ? damagedTail(bytes, at) : next - at;
      if (next === null) break;
      at = next;
      continue;
    }
    entries.push(...entriesOf(bytes.subarray(at + HEADER_BYTES, end)));
    at = end;
  }
  return { entries, damagedBytes };
}

/** Where the group at `at` ends by its length; null when it is not as it was written. */
function wholeGroupEnd(bytes: Buffer, at: number): number | null {
  if (at + HEADER_BYTES > bytes.length) return null;
  const end = at + HEADER_BYTES + bytes.readUInt32LE(at);
  if (end > bytes.length || !isChain(bytes, at + HEADER_BYTES, end)) return null;
  const checksum = bytes.readUInt32LE(at + LENGTH_BYTES);
  return crc32(bytes.subarray(at + HEADER_BYTES, end)) === checksum ? end : null;
}

/** Where it ends by its checksum, when its length alone was changed: behind one of the entries that follow. */
function endByEntries(bytes: Buffer, at: number): number | null {
  const checksum = bytes.readUInt32LE(at + LENGTH_BYTES);
  let sum = 0;
  for (let from = at + HEADER_BYTES; ; ) {
    const end = entryEnd(bytes, from, bytes.length);
    if (end === null) return null;
    sum = crc32(bytes.subarray(from, end), sum);
    if (sum === checksum) return end;
    from = end;
  }
}

/** The next group that is whole: where this one ends by its length, else wherever lengths and checksum agree. */
function nextWholeGroup(bytes: Buffer, at: number): number | null {
  const end = at + HEADER_BYTES + bytes.readUInt32LE(at);
  if (wholeGroupEnd(bytes, end) !== null) return end;
  for (let next = at + 1; next + HEADER_BYTES <= bytes.length; next += 1) {
    if (wholeGroupEnd(bytes, next) !== null) return next;
  }
  return null;
}

/**
 * Of what no whole group follows. A write that was cut off left a group that ends where the file does, or would end
 * behind it, or zeros, which are what a file has where its size was stored and its bytes were not.
 */
function damagedTail(bytes: Buffer, at: number): number {
  const length = bytes.readUInt32LE(at);
  const end = length === 0 ? at : at + HEADER_BYTES + length;
  return bytes.subarray(end).every((byte) => byte === 0) ? 0 : bytes.length - at;
}

/** Whether entries fill the place without a gap: it is looked at before any checksum is reckoned. */
function isChain(bytes: Buffer, from: number, to: number): boolean {
  let at: number | null = from;
  while (at !== null && at < to) at = entryEnd(bytes, at, to);
  return at === to && to > from;
}

function entryEnd(bytes: Buffer, at: number, to: number): number | null {
  if (at + LENGTH_BYTES > to) return null;
  const length = bytes.readUInt32LE(at);
  const end = at + LENGTH_BYTES + length;
  return length === 0 || end > to ? null : end;
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
