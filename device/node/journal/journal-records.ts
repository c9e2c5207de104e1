/**
 * A journal's bytes: a first line that names the format, then records of length, check and text.
 *
 * Promise: a record whose end was not written (the power went) is distinguished from one that was damaged later:
 * behind a torn record there is nothing, behind a damaged one there are whole records. Damage within
 * the very last record cannot be distinguished from a torn one, and counts as torn.
 */

import { createHash } from "node:crypto";
import { Watt402Error } from "#payment/watt402-error";

export const MAGIC = Buffer.from("watt402 journal 1\n");

const LENGTH_BYTES = 4;
/** First bytes of SHA-256 over length and text. */
const CHECK_BYTES = 8;
const HEAD_BYTES = LENGTH_BYTES + CHECK_BYTES;

/** Longest record, bytes: a checkpoint of five channels has about a thousand. */
const RECORD_BYTES_MAX = 65_536;

type JournalRead =
  /** `goodBytes` is where the last whole record ends. */
  | { readonly kind: "good"; readonly latest: string; readonly goodBytes: number }
  | { readonly kind: "damaged"; readonly offset: number; readonly found: string };

/** One record: length 4, check 8, text in UTF-8. */
export function encodeRecord(text: string): Buffer {
  const body = Buffer.from(text);
  if (body.length > RECORD_BYTES_MAX) {
    throw new Watt402Error(
      "value-invalid",
      `record: expected at most ${RECORD_BYTES_MAX} bytes, found ${body.length}`,
    );
  }
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, checkOf(length, body), body]);
}

/** The latest whole record of a journal file's bytes. */
export function readRecords(file: Buffer): JournalRead {
  if (!file.subarray(0, MAGIC.length).equals(MAGIC)) {
    return { kind: "damaged", offset: 0, found: "no journal's first line" };
  }
  let latest: string | null = null;
  let offset = MAGIC.length;
  while (offset < file.length) {
    const end = endOfRecord(file, offset);
    if (end === null) break;
    latest = file.toString("utf8", offset + HEAD_BYTES, end);
    offset = end;
  }
  // The first record is written before the file gets its name, so no power cut can tear it.
  if (latest === null) return { kind: "damaged", offset, found: "no whole record" };
  for (let behind = offset + 1; behind < file.length - HEAD_BYTES; behind++) {
    if (endOfRecord(file, behind) !== null) {
      return { kind: "damaged", offset, found: `bytes that are no record, before a whole one at ${behind}` };
    }
  }
  return { kind: "good", latest, goodBytes: offset };
}

/** Where the record that begins at an offset ends; null when there is no whole one. */
function endOfRecord(file: Buffer, offset: number): number | null {
  if (offset + HEAD_BYTES > file.length) return null;
  const bodyBytes = file.readUInt32BE(offset);
  const end = offset + HEAD_BYTES + bodyBytes;
  if (bodyBytes === 0 || bodyBytes > RECORD_BYTES_MAX || end > file.length) return null;
  const length = file.subarray(offset, offset + LENGTH_BYTES);
  const check = file.subarray(offset + LENGTH_BYTES, offset + HEAD_BYTES);
  return checkOf(length, file.subarray(offset + HEAD_BYTES, end)).equals(check) ? end : null;
}

function checkOf(length: Uint8Array, body: Uint8Array): Buffer {
  return createHash("sha256").update(length).update(body).digest().subarray(0, CHECK_BYTES);
}
