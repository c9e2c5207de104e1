/**
 * What a simulated charge point does wrong.
 *
 * Promise: a closed list; those that obey their limits are told from those that do not, so that who counts overshoot knows
 * of whom nothing is promised.
 */
export const CHARGING_FAULTS = [
  /** Rejects every charging profile. */
  "refuses-profiles",
  /** Rejects limits below its minimum, 0 among them. */
  "refuses-zero",
  /** Confirms limits and delivers full power. */
  "ignores-limits",
  /** Obeys at first and ignores its limits after a while. */
  "breaks-limits",
  /** Each report arrives half a minute after it was measured. */
  "reports-late",
  /** Loses the link for some minutes, queues meanwhile and goes on by its limit. */
  "queues-offline",
  /** Restarts in the middle of a transaction. */
  "reboots",
  /** Is never heard again, and goes on by its limit. */
  "dies",
  "clock-off-by-a-day",
  /** Shows a lower register for some reports. */
  "meter-backwards",
  /** The register begins at 0 with each transaction. */
  "meter-per-transaction",
  /** Kilowatt-hours on each of three phases. */
  "meter-by-phases",
  /** Begins a transaction when a car comes, asking nobody. */
  "starts-by-itself",
  /** A second connector takes a car, too. */
  "two-connectors",
  "status-storm",
  /** The car is gone and nobody stops its transaction. */
  "leaves-without-stopping",
] as const;

export type ChargingFault = (typeof CHARGING_FAULTS)[number];

/** Those that strike at a time; the others are so from the beginning. */
export const STRIKING: readonly ChargingFault[] = [
  "breaks-limits",
  "queues-offline",
  "reboots",
  "dies",
  "meter-backwards",
  "status-storm",
];

const DISOBEDIENT: readonly ChargingFault[] = ["ignores-limits", "breaks-limits"];

export function obeys(faults: readonly ChargingFault[]): boolean {
  return !faults.some((fault) => DISOBEDIENT.includes(fault));
}
