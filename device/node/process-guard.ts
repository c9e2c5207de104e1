/**
 * What reaches the process itself because no part of it took it.
 *
 * Promise: an unhandled rejection is counted, reported and survived, for what it interrupted has ended and the rest
 * stands. So is a network error of a connection without a listener: it concerns that connection alone. Any
 * other uncaught exception ends the process: it left some statement half done, and what that has spoilt,
 * a counter or a channel's record, cannot be known; what was promised is on disk, and a fresh start reads it.
 */
import { countFailure } from "#core/detach";

interface ProcessGuard {
  /** Survived. @param what in a few fixed words */
  readonly survived: (what: string, error: unknown) => void;
  /** Not to be survived: reports it, and ends the process. */
  readonly end: (error: unknown) => void;
}

/** Errors that the network makes of a peer's going, by the call that met them. */
const NETWORK_CODES = new Set(["ECONNRESET", "ECONNABORTED", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"]);
const NETWORK_CALLS = new Set(["read", "write", "shutdown"]);

/** From now on, until the process ends. */
export function guardProcess({ survived, end }: ProcessGuard): void {
  process.on("unhandledRejection", (error) => {
    countFailure();
    survived("an unhandled rejection", error);
  });
  process.on("uncaughtException", (error) => {
    countFailure();
    if (isOfConnection(error)) survived("a network error without a listener", error);
    else end(error);
  });
}

/** EPIPE is not among them: of standard output it would come back with every line that reports it. */
function isOfConnection(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return NETWORK_CODES.has(code ?? "") && NETWORK_CALLS.has(syscall ?? "");
}

/** For work whose failure is a fault of the device's own rules: the process ends by it, and the lamp is left safe. */
export function throwUncaught(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
