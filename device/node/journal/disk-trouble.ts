/**
 * A disk that does not take what it is given, in words.
 *
 * Promise: the platform's code, what it means on an SD card, and what to do.
 */

/** Codes of a disk that can still be read. */
const UNWRITABLE: Readonly<Record<string, string>> = {
  EROFS: "the disk is mounted read-only, as it is when a card fails: see `dmesg`, then replace the card",
  ENOSPC: "the disk is full: see `df -h` and make room",
  EDQUOT: "this user's share of the disk is full: make room",
  EIO: "the disk fails: replace it",
  EACCES: "this user may not write there: the folder must belong to it",
  EPERM: "this user may not write there: the folder must belong to it",
};

/** True for an error of writing behind which reading may still work. */
export function isUnwritable(error: unknown): boolean {
  return remedyOf(error) !== undefined;
}

/** One line for a failed write to `path`. */
export function diskTrouble(path: string, error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const remedy = remedyOf(error);
  return remedy === undefined
    ? `${path}: ${message}`
    : `${path}: expected to be written, found ${code}; ${remedy}`;
}

function remedyOf(error: unknown): string | undefined {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined || !Object.hasOwn(UNWRITABLE, code) ? undefined : UNWRITABLE[code];
}
