/**
 * Where the gateway's detached work ends: in its log.
 *
 * Promise: one fixed text, so that the log's limit holds for it; what was being done, and a bounded reason, are members.
 */
import type { Logger } from "../ports.ts";

const REASON_MAX = 300;

/** The failure handler for `detach`. @param doing in a few fixed words, as "making an offer" */
export function noteFailure(
  note: Logger,
  doing: string,
  fields: Readonly<Record<string, unknown>> = {},
): (error: unknown) => void {
  return (error) => {
    note("warn", "detached work failed", { doing, ...fields, reason: reasonOf(error) });
  };
}

/** What went wrong, in at most so many characters. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).slice(0, REASON_MAX);
}
