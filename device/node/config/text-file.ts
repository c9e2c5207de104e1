/**
 * Files that people write: configurations, scenarios, inventories, tariffs, register maps.
 *
 * Promise: what is given is UTF-8 text without a byte order mark and without NUL, of a bounded length; whatever else a
 * file is, its name, the line, what was expected and what was found are one line. No more of it is read than that.
 */

import { isUtf8 } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";
import { Watt402Error } from "#payment/watt402-error";

/** Longest file that people write by hand. */
export const TEXT_BYTES_MAX = 1024 * 1024;

const FIRST_PIECE_BYTES = 64 * 1024;
const LINE_FEED = 10;

/**
 * @param name how errors name the file
 * @throws one line
 */
export function readText(file: string, name: string = file, bytesMax: number = TEXT_BYTES_MAX): string {
  const bytes = readBytes(file, name, bytesMax);
  // UTF-16 has a mark, and its letters have zeros: the mark says more.
  if (bytes.length >= 2 && ["fffe", "feff"].includes(bytes.toString("hex", 0, 2))) {
    throw new Watt402Error("file-invalid", `${name}: expected UTF-8 text, found UTF-16; save it as UTF-8`);
  }
  const zero = bytes.indexOf(0);
  if (zero >= 0) {
    throw new Watt402Error(
      "file-invalid",
      `${name}: line ${lineAt(bytes, zero)}: expected text, found a NUL byte`,
    );
  }
  if (!isUtf8(bytes)) {
    throw new Watt402Error(
      "file-invalid",
      `${name}: line ${brokenLine(bytes)}: expected UTF-8 text, found other bytes; save it as UTF-8`,
    );
  }
  return bytes.toString("utf8").replace(/^\uFEFF/, "");
}

function readBytes(file: string, name: string, bytesMax: number): Buffer {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    const descriptor = openSync(file, "r");
    try {
      for (let size = FIRST_PIECE_BYTES; length <= bytesMax; size *= 2) {
        const piece = Buffer.allocUnsafe(Math.min(size, bytesMax + 1 - length));
        const count = readSync(descriptor, piece, 0, piece.length, null);
        if (count === 0) break;
        pieces.push(piece.subarray(0, count));
        length += count;
      }
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `${name}: expected a readable file, found ${(error as NodeJS.ErrnoException).code}`,
    );
  }
  if (length > bytesMax)
    throw new Watt402Error("file-invalid", `${name}: expected at most ${bytesMax} bytes, found more`);
  return Buffer.concat(pieces, length);
}

function lineAt(bytes: Buffer, at: number): number {
  let line = 1;
  for (
    let feed = bytes.indexOf(LINE_FEED);
    feed >= 0 && feed < at;
    feed = bytes.indexOf(LINE_FEED, feed + 1)
  ) {
    line += 1;
  }
  return line;
}

/** No character of UTF-8 contains a line feed, so each line is checked alone. */
function brokenLine(bytes: Buffer): number {
  for (let line = 1, from = 0; ; line += 1) {
    const feed = bytes.indexOf(LINE_FEED, from);
    if (feed < 0 || !isUtf8(bytes.subarray(from, feed))) return line;
    from = feed + 1;
  }
}
