/**
 * The smallest purchase by which a charge point can be kept to what is paid.
 *
 * Promise: it covers what flows at full power while nothing is known: one report's interval, the time that the charger
 * takes to follow a limit, and the way there and back. A smaller purchase is refused with this sum.
 */
import { energyMilliwattHours } from "#core/units";

export interface ReportTimes {
  readonly maxMilliwatts: number;
  readonly reportMs: number;
  readonly stopLatencyMs: number;
  readonly linkLatencyMs: number;
}

/** The longest that the flow goes unseen and unbounded, milliseconds. */
export function horizonMs({ reportMs, stopLatencyMs, linkLatencyMs }: ReportTimes): number {
  return reportMs + stopLatencyMs + linkLatencyMs;
}

/** Milliwatt-hours, rounded up. */
export function smallestQuantum(times: ReportTimes): number {
  return Math.ceil(energyMilliwattHours(times.maxMilliwatts, horizonMs(times)));
}

/** What is left of a purchase begins no power anew: half of the smallest does. */
export function isWorthBeginning(paidUnits: number, times: ReportTimes): boolean {
  return 2 * paidUnits >= smallestQuantum(times);
}

/** Why a purchase of so many milliwatt-hours is too small; null when it is not. */
export function quantumFault(quantumUnits: number, times: ReportTimes): string | null {
  const least = smallestQuantum(times);
  if (quantumUnits >= least) return null;
  const seconds = (ms: number) => `${Number((ms / 1000).toFixed(2))} s`;
  return (
    `expected a purchase of at least ${least} mWh: ${times.maxMilliwatts / 1000} W x (report ` +
    `${seconds(times.reportMs)} + stop latency ${seconds(times.stopLatencyMs)} + link latency ` +
    `${seconds(times.linkLatencyMs)}), found ${quantumUnits} mWh; raise meter.wanted_units, or report more often`
  );
}
