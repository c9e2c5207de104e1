/**
 * Secrets that a configuration names by their files.
 *
 * Promise: a file that cannot be read is reported by member and path; its content is never part of a message.
 */

import { readFileSync } from "node:fs";
import { Watt402Error } from "#payment/watt402-error";

/** A secret's file, without the line end that editors add. */
export function readSecret(member: string, file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `${member}: ${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}
