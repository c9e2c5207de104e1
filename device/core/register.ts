/**
 * The device's cumulative register over a meter that may reset, roll over, spike or stick.
 *
 * Promise (E1): `total` never falls and never jumps by more than the meter's rated power allows since the last
 * reading, on top of what was reckoned while the counter stood still. A reset or roll-over starts a new epoch
 * and never yields negative energy.
 */
import { energyMilliwattHours, isCounter, raiseCounter } from "./units.ts";

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
  /**
   * Where the counter stood when a power-up's first readings were impossible and then believed; null else.
   * Should they have been a fault, what was used without power's memory is found again from here.
   */
  readonly left: { readonly raw: number; readonly total: number } | null;
}

type RegisterNote = "first" | "counted" | "roll-over" | "reset" | "implausible" | "rebased";

/** Readings that must agree before an impossible jump is taken for a meter exchanged or reprogrammed. */
const REBASE_AFTER = 3;

/** After power-up the time since the last reading is unknown: so much of full load is believed at once. */
const UNKNOWN_ELAPSED_MS = 86400000;

/** Steps smaller than this are never suspected: resolution and polling jitter of coarse meters. */
const PLAUSIBLE_SLACK = 10000;

/** Two readings' worth of rated power: clocks and integration windows of meters do not align. */
const PLAUSIBLE_FACTOR = 2;

export const NEW_REGISTER: Register = { total: 0, raw: -1, epoch: 0, suspect: null, left: null };

/**
 * Takes one reading of the meter's raw counter.
 * @param raw a value that is no counter is implausible
 * @param elapsedMs time since the last accepted reading; Infinity when unknown (power-up)
 * @param estimatedUnits units probably used since the counter last moved: a reset would hide them, a stuck meter did
 */
export function takeReading(
  register: Register,
  raw: number,
  elapsedMs: number,
  estimatedUnits: number,
  limits: MeterLimits,
): { readonly register: Register; readonly note: RegisterNote } {
  if (!isCounter(raw)) return { register, note: "implausible" };
  if (register.raw < 0) return accept(register, raw, 0, register.epoch, "first");
  const known = elapsedMs !== Infinity;
  // A stuck meter was read all the while, and shows at once what it hid: the estimate knows how much.
  const stepMax = stepMaxWithin(known ? elapsedMs : UNKNOWN_ELAPSED_MS, limits) + estimatedUnits;

  if (isBack(register, raw, limits))
    return accept(register, raw, stepBack(register, raw), register.epoch + 1, "rebased");
  if (raw >= register.raw) {
    const step = raw - register.raw;
    if (step <= stepMax) return accept(register, raw, step, register.epoch, "counted");
    return doubt(register, raw, stepMax, estimatedUnits, known);
  }
  if (limits.rollOverAt > register.raw) {
    const step = limits.rollOverAt - register.raw + raw;
    if (step <= stepMax) return accept(register, raw, step, register.epoch + 1, "roll-over");
  }
  // A meter that starts again at zero has counted `raw` since; the estimate covers what it forgot. After
  // power-up a lower counter is as likely another meter's, and what that one counted is no debt here.
  if (raw <= (known ? stepMax : PLAUSIBLE_SLACK))
    return accept(register, raw, Math.max(raw, estimatedUnits), register.epoch + 1, "reset");
  return doubt(register, raw, stepMax, estimatedUnits, known);
}

function accept(
  register: Register,
  raw: number,
  step: number,
  epoch: number,
  note: RegisterNote,
): { register: Register; note: RegisterNote } {
  const total = raiseCounter(register.total, step);
  const left = note === "rebased" ? null : register.left;
  return { register: { total, raw, epoch, suspect: null, left }, note };
}

/** Whether a counter that was left behind at power-up is seen again, below the one that took its place. */
function isBack({ left, raw: present }: Register, raw: number, limits: MeterLimits): boolean {
  if (left === null || raw >= present || raw < left.raw) return false;
  return raw - left.raw <= stepMaxWithin(UNKNOWN_ELAPSED_MS, limits);
}

/** What the counter counted while it was out of sight, less what its stand-in was believed meanwhile. */
function stepBack({ left, total }: Register, raw: number): number {
  return left === null ? 0 : Math.max(0, left.total + (raw - left.raw) - total);
}

function stepMaxWithin(elapsedMs: number, limits: MeterLimits): number {
  return PLAUSIBLE_SLACK + PLAUSIBLE_FACTOR * energyMilliwattHours(limits.powerMaxMilliwatts, elapsedMs);
}

function doubt(
  register: Register,
  raw: number,
  stepMax: number,
  estimatedUnits: number,
  known: boolean,
): { register: Register; note: RegisterNote } {
  const seen = register.suspect;
  const agrees = seen !== null && raw >= seen.raw && raw - seen.raw <= stepMax;
  const count = agrees && seen !== null ? seen.count + 1 : 1;
  const { total, epoch, left } = register;
  if (count < REBASE_AFTER) {
    return {
      register: { total, raw: register.raw, epoch, suspect: { raw, count }, left },
      note: "implausible",
    };
  }
  const rebased = accept(register, raw, estimatedUnits, epoch + 1, "rebased");
  // While it ran, the estimate knows what was used; before power-up only the counter does.
  if (known) return rebased;
  return { register: { ...rebased.register, left: { raw: register.raw, total } }, note: "rebased" };
}
