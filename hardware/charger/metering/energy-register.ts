/**
 * One energy counter over a charge point's meter, which restarts, repeats, queues and errs.
 *
 * Promise (E1): `total` never falls. What a meter counted is counted once, whether its register runs on for ever or
 * starts at 0 with each transaction or each boot, whether a value comes late, twice or out of order. A meter that goes
 * backwards adds nothing until it passes its highest value; one that begins at 0 again in the middle of a transaction counts
 * by the power shown since the value before, where that is more than it shows; a step beyond what the supply carries is not believed until
 * REBASE_AFTER values agree with it, or its transaction ends, and then only what the power shown meanwhile makes of it is
 * counted.
 */
import { raiseCounter } from "#core/units";

/** The register of one transaction, or of none while no transaction was seen (key ""). */
interface Track {
  readonly key: string;
  /** Highest value believed, milliwatt-hours. */
  readonly raw: number;
  /** The charge point's own time of that value, Unix seconds. */
  readonly atSeconds: number;
}

export interface EnergyRegister {
  /** Milliwatt-hours. */
  readonly total: number;
  /** The latest last; at most TRACKS_MAX. */
  readonly tracks: readonly Track[];
  /** A value that is not believed yet, and how many agreed with it in a row. */
  readonly doubted: { readonly raw: number; readonly count: number } | null;
  /** Where the register stood when a lower one was taken in its place: should that have been a fault, it is found again from here. */
  readonly left: { readonly key: string; readonly raw: number; readonly total: number } | null;
  /** It was seen to begin at 0 with a transaction, or in one: what was not stored of one that is over is lost. */
  readonly countsAnew: boolean;
}

export interface RegisterSample {
  /** The transaction; null for a value outside of any. */
  readonly transactionId: string | null;
  readonly energyMilliwattHours: number;
  readonly atSeconds: number;
  /** True for the value that a transaction began with. */
  readonly begins: boolean;
}

export type RegisterNote =
  | "first"
  | "counted"
  | "late"
  | "restarted"
  | "backwards"
  | "implausible"
  | "rebased";

/** Transactions whose last value is known: a stop that was queued may arrive after newer starts. */
export const TRACKS_MAX = 8;

/** Values that must agree before an impossible one is taken for a meter exchanged or reprogrammed. */
export const REBASE_AFTER = 3;

export const NEW_ENERGY_REGISTER: EnergyRegister = {
  total: 0,
  tracks: [],
  doubted: null,
  left: null,
  countsAnew: false,
};

/** Whether a restart of this side between both would count from another place: what was shown last is no end of the same count. */
export function isOtherCount(before: EnergyRegister, after: EnergyRegister): boolean {
  const former = before.tracks.at(-1);
  const latest = after.tracks.at(-1);
  return latest !== undefined && (latest.key !== former?.key || latest.raw < former.raw);
}

interface Taken {
  readonly register: EnergyRegister;
  readonly note: RegisterNote;
}

/** What is known beside the register. */
export interface StepBounds {
  /** The most that can have been delivered since the register was believed last, milliwatt-hours. */
  readonly most: number;
  /** What the power that was shown since makes of it: counted when a register is taken for another one. */
  readonly estimate: number;
  /** What a register that begins at 0 again may have forgotten: the same, within limits. */
  readonly forgotten: number;
  /** The register was seen in this life: one that leaps after a restart may have gone on as well as come back. */
  readonly isKnown: boolean;
}

export function takeSample(register: EnergyRegister, sample: RegisterSample, bounds: StepBounds): Taken {
  const current = register.tracks.at(-1);
  const key = sample.transactionId ?? current?.key ?? "";
  if (current === undefined) return { register: moveTo(register, trackOf(key, sample), 0), note: "first" };
  const track = register.tracks.find((one) => one.key === key);
  const taken =
    track === undefined
      ? beginTrack(register, current, key, sample, bounds)
      : goOn(register, track, sample, bounds);
  // A meter of the whole station beside one that counts each transaction: only the transaction's may be rebased to.
  const foreign = sample.transactionId === null && key !== "" && taken.register.total === register.total;
  return foreign && taken.note !== "counted" ? { register, note: taken.note } : taken;
}

function goOn(register: EnergyRegister, track: Track, sample: RegisterSample, bounds: StepBounds): Taken {
  const stepMax = bounds.most;
  const raw = sample.energyMilliwattHours;
  const back = isBack(register, track, raw, stepMax);
  if (back !== null && bounds.isKnown) {
    const found = replace(register, trackOf(track.key, sample), back);
    return { register: { ...found, left: null }, note: "rebased" };
  }
  if (raw >= track.raw) {
    const step = raw - track.raw;
    if (step > stepMax) return doubt(register, track, sample, bounds, "implausible");
    const atSeconds = Math.max(sample.atSeconds, track.atSeconds);
    return { register: replace(register, { ...track, raw, atSeconds }, step), note: "counted" };
  }
  if (sample.atSeconds <= track.atSeconds) return { register, note: "late" };
  if (raw <= track.raw / 2 && raw <= stepMax) {
    const step = Math.max(raw, bounds.forgotten);
    return { register: anew(replace(register, trackOf(track.key, sample), step)), note: "restarted" };
  }
  return doubt(register, track, sample, bounds, "backwards");
}

function beginTrack(
  register: EnergyRegister,
  current: Track,
  key: string,
  sample: RegisterSample,
  bounds: StepBounds,
): Taken {
  const stepMax = bounds.most;
  const raw = sample.energyMilliwattHours;
  if (raw >= current.raw && raw - current.raw <= stepMax) {
    // One register runs through both: the former transaction's late stop has been counted by now.
    const told = replace(register, { ...current, raw }, raw - current.raw);
    return { register: moveTo(told, trackOf(key, sample), 0), note: "counted" };
  }
  if (raw < current.raw) {
    if (!sample.begins && sample.atSeconds < current.atSeconds) return { register, note: "late" };
    const counted = !sample.begins && raw <= stepMax ? raw : 0;
    // Values that were not believed end with their transaction; what flowed meanwhile does not.
    const doubted = register.doubted === null ? 0 : bounds.estimate;
    return { register: anew(moveTo(register, trackOf(key, sample), counted + doubted)), note: "restarted" };
  }
  return doubt(register, { ...current, key }, sample, bounds, "implausible");
}

function doubt(
  register: EnergyRegister,
  track: Track,
  sample: RegisterSample,
  { estimate }: StepBounds,
  note: "implausible" | "backwards",
): Taken {
  const raw = sample.energyMilliwattHours;
  const agrees = register.doubted !== null && raw >= register.doubted.raw;
  const count = agrees ? register.doubted!.count + 1 : 1;
  if (count < REBASE_AFTER) return { register: { ...register, doubted: { raw, count } }, note };
  const known = register.tracks.some(({ key }) => key === track.key);
  const rebased = trackOf(track.key, sample);
  if (!known) return { register: moveTo(register, rebased, estimate), note: "rebased" };
  const left = raw < track.raw ? { key: track.key, raw: track.raw, total: register.total } : null;
  return { register: { ...replace(register, rebased, estimate), left }, note: "rebased" };
}

/**
 * What is to be counted when a register that was left behind is seen again; null when it is not. It stands where it would
 * with all that was counted meanwhile, and above what the one in its place can have reached.
 */
function isBack({ left, total }: EnergyRegister, track: Track, raw: number, stepMax: number): number | null {
  if (left === null || left.key !== track.key || raw < left.raw) return null;
  const fellBy = left.raw - track.raw + (total - left.total);
  if (raw - track.raw < fellBy || raw - left.raw > total - left.total + stepMax) return null;
  return Math.max(0, left.total + (raw - left.raw) - total);
}

function anew(register: EnergyRegister): EnergyRegister {
  return { ...register, countsAnew: true };
}

function trackOf(key: string, { energyMilliwattHours, atSeconds }: RegisterSample): Track {
  return { key, raw: energyMilliwattHours, atSeconds };
}

function moveTo(register: EnergyRegister, track: Track, step: number): EnergyRegister {
  const tracks = [...register.tracks, track].slice(-TRACKS_MAX);
  return { ...register, total: raiseCounter(register.total, step), tracks, doubted: null, left: null };
}

function replace(register: EnergyRegister, track: Track, step: number): EnergyRegister {
  const tracks = register.tracks.map((one) => (one.key === track.key ? track : one));
  return { ...register, total: raiseCounter(register.total, step), tracks, doubted: null };
}
