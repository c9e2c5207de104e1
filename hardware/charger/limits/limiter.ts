/**
 * Sends a charge point the limit that keeps it within what is paid, and stops what is not paid.
 *
 * Promise: a limit counts as in force from the moment it is sent and, until it is confirmed, the higher of it and the one
 * before; one is under way at a time. Without credit the limit is 0 at once, and the transaction is stopped after
 * `stopAfterMs` of it. A charge point that refuses a default profile, or its limits REFUSALS_MAX times in a row, is not
 * served: it would go on by itself when the link is lost. Its limits are tried again with the next car.
 */
import type { Clock } from "#core/ports";
import type { ChargeMeter } from "../metering/charge-meter.ts";
import type { StationCommands } from "../ocpp/ports.ts";
import { type LimitRange, NO_POWER, paidLimit } from "./paid-limit.ts";
import { horizonMs, isWorthBeginning, type ReportTimes } from "./smallest-quantum.ts";

/** Limits refused in a row by which a charge point is given up. */
const REFUSALS_MAX = 3;

/** A power that differs by less is left as it is, of the highest one. */
const POWER_STEP = 0.05;

/** After a limit or a stop that was refused or not answered, milliseconds. */
const RETRY_MS = 3000;

/** A slow answer counts for less with each one after it. */
const LINK_MEMORY = 0.9;

export interface LimiterParts {
  readonly clock: Clock;
  readonly meter: ChargeMeter;
  readonly range: LimitRange;
  readonly times: ReportTimes;
  readonly stopAfterMs: number;
  readonly onOddity: (found: string) => void;
  /** Something may have to be decided again. */
  readonly onAnswer: () => void;
}

/** What is to be reached. */
export interface LimitAim {
  readonly transactionId: string;
  /** What is paid for and cannot have been delivered, milliwatt-hours. */
  readonly paidMilliwattHours: number;
  /** 0..100 per cent of full power: the plan's, or 0 for what may not be served. */
  readonly levelPercent: number;
  /** The car wants more: without power it is unpaid, and stopped in the end. */
  readonly wanted: boolean;
  /** Stopped now, whatever is paid. */
  readonly stop: boolean;
}

export class Limiter {
  readonly #parts: LimiterParts;
  #commands: StationCommands | null = null;
  #calling = false;
  #retryAtMs = 0;
  #refusals = 0;
  #defaultRefused = false;
  #refusesZero = false;
  #unpaidSinceMs: number | null = null;
  #stopped: string | null = null;
  #linkMs = 0;
  /** The transaction whose limit is reckoned with: it ends with it. */
  #limited: string | null = null;
  /** The limit was set by another clock. */
  #stale = false;
  /** The latest limit for this transaction ran without end and was 0. */
  #isZero: string | null = null;

  constructor(parts: LimiterParts) {
    this.#parts = parts;
  }

  /** Why the charge point cannot be served, in one line; null when it can. */
  fault(): string | null {
    if (this.#defaultRefused)
      return "expected the charge point to take a default limit (TxDefaultProfile), found it refused; without one it would go on by itself when the link is lost";
    if (this.#refusals >= REFUSALS_MAX)
      return `expected the charge point to take its limits, found ${this.#refusals} refused in a row; try charger.rate_unit "W" or "A"`;
    return null;
  }

  /** Longest way there and back that was seen lately, milliseconds. */
  linkLatencyMs(): number {
    return this.#linkMs;
  }

  /** A connection began, or ended with null: the default profile is set anew. */
  async attach(commands: StationCommands | null): Promise<void> {
    this.#commands = commands;
    this.#calling = false;
    this.#retryAtMs = 0;
    this.#refusals = 0;
    this.#isZero = null;
    if (commands === null) return;
    this.#calling = true;
    const { clock, meter, range, onOddity } = this.#parts;
    try {
      const zero = await commands.setDefault(0);
      const least = zero || (await commands.setDefault(range.minMilliwatts));
      if (this.#commands !== commands) return;
      this.#refusesZero = !zero;
      this.#defaultRefused = !least;
      if (least) meter.setBase(clock.nowMs(), zero ? 0 : range.minMilliwatts);
      if (!zero && least)
        onOddity(
          "expected a default limit of 0, found it refused: without link the charger goes on at its minimum",
        );
    } catch (error) {
      if (this.#commands === commands) onOddity(`default limit: ${textOf(error)}`);
    }
    if (this.#commands !== commands) return;
    this.#calling = false;
    this.#parts.onAnswer();
  }

  /** Brings the charge point to the aim; returns when to look again, monotonic milliseconds. */
  aim(aim: LimitAim | null): number {
    const { clock } = this.#parts;
    const nowMs = clock.nowMs();
    this.#endLimit(aim?.transactionId ?? null, nowMs);
    if (aim === null) {
      this.#unpaidSinceMs = null;
      return Infinity;
    }
    const limit = this.#limitFor(aim);
    const unpaid = aim.wanted && limit.milliwatts === 0;
    if (!unpaid) this.#unpaidSinceMs = null;
    else this.#unpaidSinceMs ??= nowMs;
    const commands = this.#commands;
    if (commands === null || this.#calling) return Infinity;
    if (nowMs < this.#retryAtMs) return this.#retryAtMs;
    const overdue =
      this.#unpaidSinceMs !== null &&
      (this.#refusesZero || nowMs - this.#unpaidSinceMs >= this.#parts.stopAfterMs);
    const { limitMilliwatts, endsAtMs, baseMilliwatts } = this.#parts.meter.flow(nowMs);
    if (this.#differs(aim, limit, nowMs)) this.#send(commands, aim.transactionId, limit);
    else if ((aim.stop || overdue) && this.#stopped !== aim.transactionId)
      this.#stop(commands, aim.transactionId);
    const stopAtMs = this.#unpaidSinceMs === null ? Infinity : this.#unpaidSinceMs + this.#parts.stopAfterMs;
    const renewAtMs = limitMilliwatts > baseMilliwatts ? endsAtMs - horizonMs(this.#times()) : Infinity;
    return Math.max(nowMs + 250, Math.min(stopAtMs > nowMs ? stopAtMs : Infinity, renewAtMs));
  }

  /** What follows another transaction, or none, has the default profile alone. */
  #endLimit(transactionId: string | null, nowMs: number): void {
    if (this.#limited === null || this.#limited === transactionId) return;
    const { meter } = this.#parts;
    this.#limited = null;
    meter.limit(nowMs, meter.flow(nowMs).baseMilliwatts, Infinity);
  }

  /** Another car came: what was refused for the transaction of the one before may have been over by then. */
  forgive(): void {
    this.#refusals = 0;
  }

  /** A limit that was set by the charge point's clock before may begin later, when nothing is reckoned: it is replaced. */
  clockChanged(): void {
    this.#stale = this.#limited !== null;
  }

  /** Limit 0 and the transaction stopped, for a runtime that ends. */
  async release(transactionId: string | null): Promise<void> {
    const commands = this.#commands;
    if (commands === null || transactionId === null) return;
    await commands.setLimit(transactionId, 0, null).catch(() => false);
    await commands.stop(transactionId).catch(() => false);
  }

  /** As configured, or as seen where that is longer. */
  #times(): ReportTimes {
    const { times } = this.#parts;
    return { ...times, linkLatencyMs: Math.max(times.linkLatencyMs, this.#linkMs) };
  }

  #limitFor({ paidMilliwattHours, levelPercent, stop }: LimitAim) {
    if (levelPercent === 0 || stop) return NO_POWER;
    if (this.#unpaidSinceMs !== null && !isWorthBeginning(paidMilliwattHours, this.#parts.times))
      return NO_POWER;
    const { range } = this.#parts;
    const maxMilliwatts = Math.max(range.minMilliwatts, (range.maxMilliwatts * levelPercent) / 100);
    return paidLimit(paidMilliwattHours, horizonMs(this.#times()), { ...range, maxMilliwatts });
  }

  #differs({ transactionId }: LimitAim, limit: ReturnType<typeof paidLimit>, nowMs: number): boolean {
    if (this.#stale) return true;
    const { limitMilliwatts, endsAtMs, baseMilliwatts } = this.#parts.meter.flow(nowMs);
    const inForce = endsAtMs > nowMs && limitMilliwatts > baseMilliwatts;
    if (limit.milliwatts === 0) return this.#isZero !== transactionId && (inForce || baseMilliwatts > 0);
    if (!inForce || this.#limited !== transactionId) return limit.milliwatts > baseMilliwatts;
    const changed =
      Math.abs(limit.milliwatts - limitMilliwatts) > POWER_STEP * this.#parts.range.maxMilliwatts;
    const endMs = nowMs + limit.durationSeconds * 1000;
    return changed || (endsAtMs - nowMs < horizonMs(this.#times()) && endMs > endsAtMs + 1000);
  }

  #send(commands: StationCommands, transactionId: string, limit: ReturnType<typeof paidLimit>): void {
    const { clock, meter, onAnswer, onOddity } = this.#parts;
    const sentMs = clock.nowMs();
    const zero = limit.milliwatts === 0;
    const endsAtMs = zero ? Infinity : sentMs + limit.durationSeconds * 1000;
    const before = meter.flow(sentMs);
    const beforeEndsAtMs = before.endsAtMs;
    const higher = Math.max(limit.milliwatts, before.limitMilliwatts);
    const limited = before.limitMilliwatts > before.baseMilliwatts;
    meter.limit(sentMs, higher, limited || zero ? Math.max(zero ? 0 : endsAtMs, beforeEndsAtMs) : endsAtMs);
    this.#calling = true;
    this.#stale = false;
    this.#limited = transactionId;
    const inForce = (milliwatts: number, untilMs: number) => {
      if (this.#limited === transactionId) meter.limit(clock.nowMs(), milliwatts, untilMs);
    };
    const answered = (accepted: boolean | null, found: string | null) => {
      if (this.#commands !== commands) return;
      const nowMs = clock.nowMs();
      this.#calling = false;
      this.#linkMs = Math.max(LINK_MEMORY * this.#linkMs, nowMs - sentMs);
      if (accepted === true) {
        this.#refusals = 0;
        this.#isZero = zero ? transactionId : null;
        inForce(limit.milliwatts, endsAtMs);
      } else {
        // Refused leaves the limit before in force; no answer leaves the higher of both.
        if (accepted === false) inForce(before.limitMilliwatts, beforeEndsAtMs);
        if (accepted === false && zero) this.#isZero = transactionId;
        else this.#refusals += 1;
        this.#retryAtMs = nowMs + RETRY_MS;
        onOddity(found ?? `expected it to take a limit of ${limit.milliwatts / 1000} W, found it refused`);
      }
      onAnswer();
    };
    commands.setLimit(transactionId, limit.milliwatts, zero ? null : limit.durationSeconds).then(
      (accepted) => answered(accepted, null),
      (error: unknown) => answered(null, `limit: ${textOf(error)}`),
    );
  }

  #stop(commands: StationCommands, transactionId: string): void {
    const { onAnswer, onOddity } = this.#parts;
    this.#calling = true;
    const answered = (accepted: boolean, found: string) => {
      if (this.#commands !== commands) return;
      this.#calling = false;
      if (accepted) this.#stopped = transactionId;
      else {
        this.#retryAtMs = this.#parts.clock.nowMs() + RETRY_MS;
        onOddity(found);
      }
      onAnswer();
    };
    commands.stop(transactionId).then(
      (accepted) => answered(accepted, "expected it to stop its transaction, found it refused"),
      (error: unknown) => answered(false, `stop: ${textOf(error)}`),
    );
  }
}

/** One bounded line of what a charge point answered. */
export function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 120);
}
