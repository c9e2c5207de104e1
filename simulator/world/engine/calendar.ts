/**
 * When the worlds are: every first dusk is the same, and nights are of one length.
 *
 * Promise: constants alone, so that a light's night follows from its seed.
 */
/** 20 November 2026, 16:00 UTC: the lights go on. */
export const EPOCH_SECONDS = Date.UTC(2026, 10, 20, 16) / 1000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
/** A night's length; a world of two nights has the day between them too. */
export const NIGHT_MS = 14 * HOUR_MS;

/** @param nights at least 1 @returns milliseconds from the first dusk to the last dawn */
export function spanMs(nights: number): number {
  return (nights - 1) * DAY_MS + NIGHT_MS;
}
