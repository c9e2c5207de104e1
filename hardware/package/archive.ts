/**
 * The two archives that a Debian package is made of: ar around tar, written here so that a package can
 * be built on any machine that runs Node.
 *
 * Promise: the same entries give the same bytes on every machine, at any time.
 */

import { gzipSync } from "node:zlib";
import { Watt402Error } from "#payment/watt402-error";

export interface Entry {
  /** Relative, without a leading slash; a directory ends with one. At most 100 bytes. */
  readonly path: string;
  readonly content: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  /** Where a symbolic link points; the entry is a link when it is there. */
  readonly linkTo?: string;
}

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 100;
const CHECKSUM_OFFSET = 148;

/** gzip's byte for "unknown system": zlib writes its own, which differs between platforms. */
const GZIP_SYSTEM_OFFSET = 9;
const GZIP_SYSTEM_UNKNOWN = 255;

/**
 * A gzipped tar (POSIX.1-1988 ustar), everything owned by root, in the order given.
 * @param epochSeconds time of last change that every entry bears
 */
export function tarGz(entries: readonly Entry[], epochSeconds: number): Buffer {
  const blocks = entries.flatMap((entry) => [
    header(entry, epochSeconds),
    entry.content,
    Buffer.alloc((BLOCK_BYTES - (entry.content.length % BLOCK_BYTES)) % BLOCK_BYTES),
  ]);
  const packed = gzipSync(Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)]), { level: 9 });
  packed[GZIP_SYSTEM_OFFSET] = GZIP_SYSTEM_UNKNOWN;
  return packed;
}

/** Adds the directories that the entries lie in, each once and before what it holds, all sorted. */
export function withDirectories(entries: readonly Entry[]): Entry[] {
  const folders = new Set<string>(["./"]);
  for (const { path } of entries) {
    for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
      folders.add(path.slice(0, end + 1));
    }
  }
  const made = [...folders].map((path) => ({ path, content: Buffer.alloc(0), mode: 0o755 }));
  return [...made, ...entries].sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** A common ar archive (deb(5)): members in the order given. */
export function ar(
  members: readonly { readonly name: string; readonly content: Uint8Array }[],
  epochSeconds: number,
): Buffer {
  const parts = members.flatMap(({ name, content }) => [
    Buffer.from(
      `${name.padEnd(16)}${String(epochSeconds).padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}` +
        `${"100644".padEnd(8)}${String(content.length).padEnd(10)}\`\n`,
    ),
    content,
    Buffer.from(content.length % 2 === 1 ? "\n" : ""),
  ]);
  return Buffer.concat([Buffer.from("!<arch>\n"), ...parts]);
}

function header({ path, content, mode, linkTo }: Entry, epochSeconds: number): Buffer {
  const name = path.startsWith("./") ? path : `./${path}`;
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) {
    throw new Watt402Error(
      "config-invalid",
      `package: expected a path of at most ${NAME_BYTES_MAX} bytes, found ${name}`,
    );
  }
  const kind = linkTo !== undefined ? "2" : path.endsWith("/") ? "5" : "0";
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(name, 0);
  block.write(octal(mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(content.length, 11), 124);
  block.write(octal(epochSeconds, 11), 136);
  block.write(" ".repeat(8), CHECKSUM_OFFSET);
  block.write(kind, 156);
  block.write(linkTo ?? "", 157);
  block.write("ustar\0" + "00", 257, "latin1");
  block.write("root", 265);
  block.write("root", 297);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, CHECKSUM_OFFSET, "latin1");
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}
