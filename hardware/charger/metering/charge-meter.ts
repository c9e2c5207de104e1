/**
 * The meter of a charge point: what its reports showed, and the most that can have flowed since.
 *
 * Promise: the register shown never falls and holds reported energy alone, so what is paid is what the charge point's own
 * meter counted; what may have flowed since is reckoned beside it (limits/flow.ts), and a report that shows more than
 * confirmed limits allow is judged (limits/obedience.ts), where it is known when it was measured. While the register stands and power is shown, what that power
 * makes counts as flowed, and is believed at once when the register moves again. A report's age is taken by the charge point's own clock,
 * whatever day that shows.
 */
import type { Reading } from "#core/events";
import { energyMilliwattHours } from "#core/units";
import { allowedBetween, type Flow, flowAt, limitFlow, newFlow, reportFlow } from "../limits/flow.ts";
import { judgeReport, OBEDIENT, type Obedience } from "../limits/obedience.ts";
import { DURATION_MAX_SECONDS } from "../limits/paid-limit.ts";
import type { ReportTimes } from "../limits/smallest-quantum.ts";
import type { StationSample } from "../ocpp/ports.ts";
import { type EnergyRegister, type RegisterNote, takeSample } from "./energy-register.ts";
import type { KeptCharger } from "./kept-charger.ts";

/** Steps smaller than this are never suspected: resolution and jitter of coarse meters. */
const STEP_SLACK_MILLIWATT_HOURS = 20_000;
/** Of what full power delivers since the last report, a step is believed. */
const STEP_FACTOR = 2;
/** After a restart of this side the time since the last report is unknown. */
const UNKNOWN_ELAPSED_MS = 86_400_000;
/** The end of the year 9999: what is above is no time. */
const SECONDS_MAX = 253_402_300_800;
/** A report is taken to be at most so old. */
const AGE_MAX_MS = 86_400_000;

export interface Reported {
  readonly note: RegisterNote | null;
  /** Milliwatt-hours more than the report before. */
  readonly step: number;
}

export class ChargeMeter {
  readonly #times: ReportTimes;
  readonly #beganMs: number;
  #register: EnergyRegister;
  #obedience: Obedience;
  #flow: Flow;
  #reportedAtMs: number | null = null;
  #measuredMilliwatts: number | null = null;
  /** When the latest report was measured; when the latest whose register moved, or rightly stood, was. */
  #measuredAtMs = 0;
  #stepAtMs: number | null = null;
  /** When the latest whose register moved was measured: one that stands hides what flowed since, though it shows no power. */
  #movedAtMs: number | null = null;
  /** What a register that went backwards has not shown yet of what flowed meanwhile: it comes at once when it is right again. */
  #owed = 0;
  /** By the power that was shown since, milliwatt-hours. */
  #hidden = 0;
  /** By the power that was shown while values were not believed, milliwatt-hours, and until when. */
  #doubted = { milliwattHours: 0, untilMs: 0 };
  /** Time that passed and no report was about yet, and the charge point's own time of the latest one. */
  #unseenMs = UNKNOWN_ELAPSED_MS;
  #atSeconds = 0;
  #heard = false;
  /** Time since the latest report in which nothing could flow, and since when nothing can; null while something can. */
  #idleMs = 0;
  #idleSinceMs: number | null = null;
  /** `#stepAtMs` is known, and so are the limits since. */
  #judges = false;
  /** The register moved between two reports of this life: one that stands may hide what flowed before this side's start. */
  #hasMoved = false;
  #stopLatencyMs: number | null = null;

  constructor(kept: KeptCharger, times: ReportTimes, nowMs: number) {
    this.#times = times;
    this.#beganMs = nowMs;
    this.#register = kept.register;
    const { excessMilliwattHours, disobeys } = kept;
    this.#obedience = { ...OBEDIENT, excessMilliwattHours, disobeys };
    // A limit that an earlier life of this side left behind holds for as long as any.
    const unknown = newFlow(kept.register.total, nowMs, times.maxMilliwatts);
    this.#flow = { ...unknown, endsAtMs: nowMs + 1000 * DURATION_MAX_SECONDS };
  }

  register(): EnergyRegister {
    return this.#register;
  }

  obedience(): Obedience {
    return this.#obedience;
  }

  /** Monotonic time of the latest report; null until one was not out of a queue: before, the register is one of old. */
  reportedAtMs(): number | null {
    return this.#heard ? this.#reportedAtMs : null;
  }

  /** How long the charger took to follow a fallen limit, at most; null while none was seen. */
  stopLatencyMs(): number | null {
    return this.#stopLatencyMs;
  }

  flow(nowMs: number): Flow {
    this.#flow = flowAt(this.#flow, nowMs, this.#times.stopLatencyMs);
    return this.#flow;
  }

  /** A limit that may be in force from now on. */
  limit(nowMs: number, milliwatts: number, endsAtMs: number): void {
    this.#flow = limitFlow(this.#flow, nowMs, milliwatts, endsAtMs, this.#times.stopLatencyMs);
  }

  /** What flows without a limit, from now on. */
  setBase(nowMs: number, milliwatts: number): void {
    const { stopLatencyMs } = this.#times;
    const unlimited = this.flow(nowMs).endsAtMs === Infinity;
    this.#flow = { ...this.#flow, baseMilliwatts: milliwatts };
    if (unlimited) this.#flow = limitFlow(this.#flow, nowMs, milliwatts, Infinity, stopLatencyMs);
  }

  /** Whether the charge point is there and in no transaction: what its register shows of that time is not believed. */
  setIdle(nowMs: number, isIdle: boolean): void {
    if (isIdle) this.#idleSinceMs ??= nowMs;
    else {
      this.#idleMs = this.#idleUntil(nowMs);
      this.#idleSinceMs = null;
    }
  }

  #idleUntil(nowMs: number): number {
    return this.#idleMs + (this.#idleSinceMs === null ? 0 : nowMs - this.#idleSinceMs);
  }

  /** The latest time of the charge point that is remembered, Unix seconds; 0 when none is. */
  latestSeconds(): number {
    const times = this.#register.tracks.map(({ atSeconds }) => atSeconds);
    return Math.max(0, ...times.filter((time) => time < SECONDS_MAX));
  }

  /**
   * @param ageMs of the sample, by the charge point's own clock; null while that is not known
   * @param quantumUnits of one purchase; Infinity while unknown
   */
  report(sample: StationSample, nowMs: number, ageMs: number | null, quantumUnits: number): Reported {
    const { energyMilliwattHours: energy, powerMilliwatts } = sample.value;
    const atMs = nowMs - Math.min(AGE_MAX_MS, Math.max(0, ageMs ?? 0));
    if (energy === null) {
      if (powerMilliwatts !== null) this.#measuredMilliwatts = powerMilliwatts;
      return { note: null, step: 0 };
    }
    const { transactionId, atSeconds, begins } = sample;
    const estimate = this.#estimate(atMs);
    const allowedSince = allowedBetween(this.flow(nowMs), this.#stepAtMs ?? atMs, atMs);
    const { register, note } = takeSample(
      this.#register,
      { transactionId, energyMilliwattHours: energy, atSeconds, begins },
      {
        most: this.#stepMax(nowMs, atSeconds),
        estimate,
        forgotten: Math.min(estimate, Math.floor(allowedSince)),
        isKnown: this.#reportedAtMs !== null,
      },
    );
    const step = register.total - this.#register.total;
    const judgedFrom = this.#judges;
    const wasDoubted = this.#register.doubted !== null;
    const isDoubted = note === "implausible" || note === "backwards";
    // With the power that was shown until now: a car that stopped meanwhile shows none.
    const milliwattHours = isDoubted ? estimate - this.#hidden : 0;
    if (note !== "late") this.#doubted = { milliwattHours, untilMs: atMs };
    if (powerMilliwatts !== null) this.#measuredMilliwatts = powerMilliwatts;
    this.#register = register;
    if (note === "late" || isDoubted) return { note, step: 0 };
    const flow = this.flow(nowMs);
    this.#hasMoved ||= this.#reportedAtMs !== null && (step > 0 || note === "restarted");
    this.#judges = ageMs !== null && atMs >= this.#beganMs && this.#hasMoved;
    if (judgedFrom && this.#judges && (note === "counted" || note === "rebased")) {
      const allowed = this.#owed + allowedBetween(flow, this.#movedAtMs ?? atMs, atMs);
      this.#owed = Math.min(this.#owed, Math.max(0, allowed - step));
      this.#obedience = judgeReport(this.#obedience, step, allowed, quantumUnits);
      this.#learnStopLatency(flow, step, allowed, atMs);
    }
    const before = this.#measuredMilliwatts ?? 0;
    this.#measuredMilliwatts = powerMilliwatts ?? this.#powerSince(step, atMs);
    const stands = step === 0 && note === "counted";
    this.#hidden = stands ? this.#hiddenAt(flow, atMs, Math.max(before, this.#measuredMilliwatts)) : 0;
    if (step > 0 || note !== "counted") this.#movedAtMs = atMs;
    if (wasDoubted && note === "counted") this.#owed = Math.max(0, estimate - step);
    this.#measuredAtMs = atMs;
    if (this.#hidden === 0) this.#stepAtMs = atMs;
    this.#countTime(nowMs, atSeconds);
    this.#heard ||= ageMs !== null && ageMs <= 2 * this.#times.reportMs;
    const total = register.total + this.#hidden;
    // Of unknown age, it may be as old as can be.
    const measuredAtMs = ageMs === null ? nowMs - AGE_MAX_MS : atMs;
    const report = { total, atMs: measuredAtMs, measuredMilliwatts: this.#measuredMilliwatts };
    this.#flow = reportFlow(flow, nowMs, report, this.#times.stopLatencyMs);
    return { note, step };
  }

  /** Null until the charge point has shown its register since this side's start. */
  reading(nowMs: number): Reading | null {
    const reportedAtMs = this.reportedAtMs();
    if (reportedAtMs === null) return null;
    const silent = nowMs - reportedAtMs > 2 * this.#times.reportMs;
    const { limitMilliwatts } = this.flow(nowMs);
    const powerMilliwatts = Math.round(silent ? limitMilliwatts : (this.#measuredMilliwatts ?? 0));
    return { raw: this.#register.total, powerMilliwatts };
  }

  #stepMax(nowMs: number, atSeconds: number): number {
    const reportedAtMs = this.#reportedAtMs;
    const arrivedMs = reportedAtMs === null ? UNKNOWN_ELAPSED_MS : nowMs - reportedAtMs;
    // What was queued comes at once, and was measured in time of which nothing was known yet.
    const queuedMs = Math.min((atSeconds - this.#atSeconds) * 1000, this.#unseenMs + arrivedMs);
    const elapsedMs = Math.max(0, Math.max(arrivedMs, queuedMs) - this.#idleUntil(nowMs));
    const full = energyMilliwattHours(this.#times.maxMilliwatts, elapsedMs);
    const hidden = Math.max(this.#hidden, allowedBetween(this.flow(nowMs), this.#movedAtMs ?? nowMs, nowMs));
    return STEP_SLACK_MILLIWATT_HOURS + STEP_FACTOR * (full + hidden);
  }

  #countTime(nowMs: number, atSeconds: number): void {
    if (this.#reportedAtMs !== null) {
      const ownMs = Math.max(0, (atSeconds - this.#atSeconds) * 1000);
      const left = this.#unseenMs + nowMs - this.#reportedAtMs - ownMs;
      this.#unseenMs = Math.min(UNKNOWN_ELAPSED_MS, Math.max(0, left));
    }
    this.#reportedAtMs = nowMs;
    this.#atSeconds = atSeconds;
    this.#idleMs = 0;
    if (this.#idleSinceMs !== null) this.#idleSinceMs = nowMs;
  }

  /** By the power that is shown beside a register that stands, and never more than limits allow. */
  #hiddenAt(flow: Flow, atMs: number, milliwatts: number): number {
    if (this.#stepAtMs === null) return 0;
    const shown = energyMilliwattHours(milliwatts, Math.max(0, atMs - this.#measuredAtMs));
    return this.#hidden + Math.min(Math.floor(shown), allowedBetween(flow, this.#measuredAtMs, atMs));
  }

  /** By the power that was shown last, since the register was believed last. */
  #estimate(atMs: number): number {
    if (this.#stepAtMs === null) return 0;
    const { milliwattHours, untilMs } = this.#doubted;
    const elapsedMs = Math.max(0, atMs - Math.max(this.#measuredAtMs, untilMs));
    return (
      this.#hidden +
      milliwattHours +
      Math.floor(energyMilliwattHours(this.#measuredMilliwatts ?? 0, elapsedMs))
    );
  }

  /** For charge points that show no power. */
  #powerSince(step: number, atMs: number): number {
    const elapsedMs = this.#stepAtMs === null ? 0 : atMs - this.#stepAtMs;
    return elapsedMs <= 0 ? 0 : Math.round((step * 3_600_000) / elapsedMs);
  }

  /** Only what flowed above the limit after it fell is the charger's lateness. */
  #learnStopLatency(flow: Flow, step: number, allowed: number, atMs: number): void {
    const { beforeMilliwatts, limitMilliwatts, followsByMs } = flow;
    const { stopLatencyMs } = this.#times;
    const fell = beforeMilliwatts - limitMilliwatts;
    const fellAtMs = followsByMs - stopLatencyMs;
    if (fell <= 0 || atMs < followsByMs || (this.#stepAtMs ?? atMs) > fellAtMs) return;
    const grace = energyMilliwattHours(fell, stopLatencyMs);
    const late = Math.max(0, step - (allowed - grace));
    const latencyMs = Math.min(stopLatencyMs, Math.round((late * stopLatencyMs) / grace));
    this.#stopLatencyMs = Math.max(this.#stopLatencyMs ?? 0, latencyMs);
  }
}
