/** The wall clock's fault, in words: a board without a battery wakes in 1970. */
import { BUILT_SECONDS, trustedSeconds } from "#node/clock";

/** @param unixMs what the clock shows @returns one line, or null when it may be believed */
export function clockTrouble(unixMs: number): string | null {
  if (trustedSeconds(unixMs) !== null) return null;
  const found = new Date(unixMs).toISOString().slice(0, 19);
  const least = new Date(BUILT_SECONDS * 1000).toISOString().slice(0, 10);
  return (
    `clock: expected a time after ${least}, found ${found}; connect the board to the network ` +
    "(`timedatectl` shows whether it is synchronised), or add a real-time clock"
  );
}
