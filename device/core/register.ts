/**
 * The device's cumulative register over a meter that may reset, roll over, spike or stick.
 *
 * Promise (E1): `total` never falls and never jumps by more than the meter's rated power allows.
 * A reset or roll-over starts a new epoch and never yields negative energy.
 */
import { COUNTER_MAX, energyMilliwattHours } from "./units.ts";

/** How a meter's own counter behaves. */
export interface MeterLimits {
  /** Raw value at which the counter wraps to 0, metered units; 0 when it never does. */
  readonly rollOverAt: number;
  /** Highest power that the supply can carry, milliwatts: bounds a plausible step. */
  readonly powerMaxMilliwatts: number;
}

export interface Register {
  /** Metered units since the device was born, 0..2^48-1. */
  readonly total: number;
  /** Last raw counter accepted from the meter, metered units; -1 before the first. */
  readonly raw: number;
  /** Times the raw counter restarted, by reset or roll-over. */
  readonly epoch: number;
  /** Raw value of the latest implausible reading, and how many in a row agreed with it. */
  readonly suspect: { readonly raw: number; readonly count: number } | null;
}

export type RegisterNote = "first" | "counted" | "roll-over" | "reset" | "implausible" | "rebased";

/** Readings that must agree before an impossible jump is taken for a meter exchanged or reprogrammed. */
const REBASE_AFTER = 3;

/** Steps smaller than this are never suspected: resolution and polling jitter of coarse meters. */
const PLAUSIBLE_SLACK = 10000;

/** Two readings' worth of rated power: clocks and integration windows of meters do not align. */
const PLAUSIBLE_FACTOR = 2;

export const NEW_REGISTER: Register = { total: 0, raw: -1, epoch: 0, suspect: null };

/**
 * Takes one reading of the meter's raw counter.
 * @param elapsedMs time since the last accepted reading; Infinity when unknown (power-up)
 * @param estimatedUnits units probably used since the counter last moved: what a reset would hide
 */
export function takeReading(
  register: Register,
  raw: number,
  elapsedMs: number,
  estimatedUnits: number,
  limits: MeterLimits,
): { readonly register: Register; readonly note: RegisterNote } {
  if (register.raw < 0) return accept(register, raw, 0, register.epoch, "first");
  const stepMax =
    elapsedMs === Infinity
      ? COUNTER_MAX
      : PLAUSIBLE_SLACK + PLAUSIBLE_FACTOR * energyMilliwattHours(limits.powerMaxMilliwatts, elapsedMs);

  if (raw >= register.raw) {
    const step = raw - register.raw;
    if (step <= stepMax) return accept(register, raw, step, register.epoch, "counted");
    return doubt(register, raw, estimatedUnits);
  }
  if (limits.rollOverAt > register.raw) {
    const step = limits.rollOverAt - register.raw + raw;
    const window = elapsedMs === Infinity ? limits.rollOverAt / 2 : stepMax;
    if (step <= window) return accept(register, raw, step, register.epoch + 1, "roll-over");
  }
  // A meter that starts again at zero has counted `raw` since; the estimate covers what it forgot.
  if (raw <= stepMax)
    return accept(register, raw, Math.max(raw, estimatedUnits), register.epoch + 1, "reset");
  return doubt(register, raw, estimatedUnits);
}

function accept(
  register: Register,
  raw: number,
  step: number,
  epoch: number,
  note: RegisterNote,
): { register: Register; note: RegisterNote } {
  const total = Math.min(COUNTER_MAX, register.total + step);
  return { register: { total, raw, epoch, suspect: null }, note };
}

function doubt(
  register: Register,
  raw: number,
  estimatedUnits: number,
): { register: Register; note: RegisterNote } {
  const seen = register.suspect;
  const agrees = seen !== null && raw >= seen.raw && raw - seen.raw <= PLAUSIBLE_SLACK;
  const count = agrees && seen !== null ? seen.count + 1 : 1;
  if (count >= REBASE_AFTER) return accept(register, raw, estimatedUnits, register.epoch + 1, "rebased");
  return {
    register: { total: register.total, raw: register.raw, epoch: register.epoch, suspect: { raw, count } },
    note: "implausible",
  };
}
