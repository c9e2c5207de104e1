/**
 * A device's meter documents, one a line, in a file of its own.
 *
 * Promise: a line is on disk whole, or not there; a file that is full takes no more, and what is in it stays.
 */
import { closeSync, existsSync, fsyncSync, openSync, statSync, writeSync } from "node:fs";
import { type MeterIdentity, type MeterSpan, ocmfDocument } from "#market/ocmf";
import type { Key } from "#payment/key";

/** Some 20,000 documents: two years of hourly ones. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

export interface MeterDocuments {
  readonly isFull: boolean;
  /** Throws when it cannot be written. */
  write(span: MeterSpan): void;
}

export function meterDocumentsIn(
  file: string,
  identity: MeterIdentity,
  key: Pick<Key, "sign">,
): MeterDocuments {
  return {
    get isFull() {
      return existsSync(file) && statSync(file).size >= FILE_BYTES_MAX;
    },
    write(span) {
      const line = `${ocmfDocument(span, identity, (digest) => key.sign(digest))}\n`;
      const opened = openSync(file, "a", 0o600);
      try {
        writeSync(opened, line);
        fsyncSync(opened);
      } finally {
        closeSync(opened);
      }
    },
  };
}
