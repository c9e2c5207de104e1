/**
 * Files that are read again when they change, or when somebody asks.
 *
 * Promise: a file that cannot be read, or says something wrong, leaves what was read before in force and is
 * called once for every change. Looked at by time and size, for a watch on a file does not survive its
 * replacement by another one.
 */

import { stat } from "node:fs/promises";
import { detach } from "#core/detach";

/** Hears what was read, and what could not be: a text of the log, and what varies in it. */
type Note = (level: "info" | "warn", text: string, fields: Readonly<Record<string, unknown>>) => void;

export interface FileWatch {
  /** Reads now, whether something changed or not. */
  now(): void;
  stop(): void;
}

const LOOK_EVERY_MS = 2_000;

/**
 * @param what for the log, as "the broker's certificate"
 * @param read reads the files and takes over what they say; throws one line
 */
export function watchFiles(
  what: string,
  files: readonly string[],
  read: () => void,
  note: Note,
  everyMs = LOOK_EVERY_MS,
): FileWatch {
  let seen: string | null = null;
  let isLooking = false;

  function now(): void {
    try {
      read();
      note("info", "a file was read again", { what, files });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      note("warn", "a file could not be read again: the one before stays in force", { what, reason });
    }
  }

  async function look(): Promise<void> {
    if (isLooking) return;
    isLooking = true;
    const marks = await Promise.all(files.map(markOf));
    isLooking = false;
    const mark = marks.join(" ");
    // One that is being replaced is absent for a moment.
    if (marks.includes(ABSENT) || mark === seen) return;
    const isFirst = seen === null;
    seen = mark;
    if (!isFirst) now();
  }

  const looks = () =>
    detach(look(), (error) => note("warn", "files could not be looked at", { files, reason: String(error) }));
  looks();
  const timer = setInterval(looks, everyMs);
  timer.unref();
  return { now, stop: () => clearInterval(timer) };
}

const ABSENT = "absent";

function markOf(file: string): Promise<string> {
  return stat(file).then(
    ({ mtimeMs, size, ino }) => `${mtimeMs}/${size}/${ino}`,
    () => ABSENT,
  );
}
