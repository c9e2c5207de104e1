/**
 * The most that a charge point can have delivered, reckoned between its reports.
 *
 * Promise: from the latest report on, the flow is reckoned at the higher of measured and allowed power: the limit in force
 * until that ends, then what the default profile lets flow, and while a fallen limit may not have been followed yet, the
 * power before it. `allowed` is the same by the limits alone: a charger that obeys never delivers more.
 */
import { energyMilliwattHours } from "#core/units";

export interface Flow {
  /** Until when it was reckoned. */
  readonly atMs: number;
  /** Register at the latest report, and what can have flowed since at most, milliwatt-hours. */
  readonly most: number;
  /** What limits let flow since the latest report, milliwatt-hours. */
  readonly allowed: number;
  /** The limit in force, until `endsAtMs`. */
  readonly limitMilliwatts: number;
  readonly endsAtMs: number;
  /** Flows when no limit is in force: 0, or the charge point's least where it refuses 0. */
  readonly baseMilliwatts: number;
  /** What was allowed before the present limit, which may flow until `followsByMs`. */
  readonly beforeMilliwatts: number;
  readonly followsByMs: number;
  /** As the latest report showed it; 0 when it showed none. */
  readonly measuredMilliwatts: number;
  /** Highest power allowed since the latest report. */
  readonly highestMilliwatts: number;
}

/** @param baseMilliwatts what may flow while nothing is known of limits */
export function newFlow(total: number, nowMs: number, baseMilliwatts: number): Flow {
  return {
    atMs: nowMs,
    most: total,
    allowed: 0,
    limitMilliwatts: baseMilliwatts,
    endsAtMs: Infinity,
    baseMilliwatts,
    beforeMilliwatts: 0,
    followsByMs: nowMs,
    measuredMilliwatts: 0,
    highestMilliwatts: baseMilliwatts,
  };
}

/** The flow at a later moment. @param lagMs how long the charger takes to follow a limit */
export function flowAt(flow: Flow, nowMs: number, lagMs: number): Flow {
  let at = flow;
  while (at.atMs < nowMs) {
    if (at.endsAtMs <= at.atMs) at = lower(at, at.baseMilliwatts, Infinity, lagMs);
    const lagging = at.followsByMs > at.atMs;
    const toMs = Math.min(nowMs, at.endsAtMs, lagging ? at.followsByMs : Infinity);
    at = pass(at, toMs, lagging);
  }
  return at;
}

/** A limit that may be in force from now on: it was sent, or confirmed. A higher one before it may still be followed. */
export function limitFlow(
  flow: Flow,
  nowMs: number,
  limitMilliwatts: number,
  endsAtMs: number,
  lagMs: number,
): Flow {
  return lower(flowAt(flow, nowMs, lagMs), limitMilliwatts, endsAtMs, lagMs);
}

/**
 * After a report: it shows what was delivered when it was measured; since then the flow is reckoned anew. A report that
 * was queued tells of a time with other limits, so the highest of them counts, and no more than was reckoned without it.
 */
export function reportFlow(
  flow: Flow,
  nowMs: number,
  report: { readonly total: number; readonly atMs: number; readonly measuredMilliwatts: number },
  lagMs: number,
): Flow {
  const now = flowAt(flow, nowMs, lagMs);
  const { total, measuredMilliwatts } = report;
  const ageMs = Math.max(0, nowMs - report.atMs);
  const since = (milliwatts: number) => energyMilliwattHours(milliwatts, ageMs);
  const highest = now.highestMilliwatts;
  return {
    ...now,
    most: Math.max(total, Math.min(now.most, total + since(Math.max(highest, measuredMilliwatts)))),
    allowed: Math.min(now.allowed, since(highest)),
    measuredMilliwatts,
    highestMilliwatts: allowedPower(now, now.followsByMs > nowMs),
  };
}

function lower(flow: Flow, limitMilliwatts: number, endsAtMs: number, lagMs: number): Flow {
  const still = flow.followsByMs > flow.atMs ? flow.beforeMilliwatts : 0;
  const beforeMilliwatts = Math.max(still, flow.limitMilliwatts);
  return { ...flow, limitMilliwatts, endsAtMs, beforeMilliwatts, followsByMs: flow.atMs + lagMs };
}

function pass(flow: Flow, toMs: number, lagging: boolean): Flow {
  const allowed = allowedPower(flow, lagging);
  // Once a limit that ended must have been followed, what was measured before is over.
  const measured = lagging || flow.limitMilliwatts > flow.baseMilliwatts ? flow.measuredMilliwatts : 0;
  const forMs = toMs - flow.atMs;
  return {
    ...flow,
    atMs: toMs,
    highestMilliwatts: Math.max(flow.highestMilliwatts, allowed),
    allowed: flow.allowed + energyMilliwattHours(allowed, forMs),
    most: flow.most + energyMilliwattHours(Math.max(allowed, measured), forMs),
  };
}

function allowedPower({ limitMilliwatts, beforeMilliwatts }: Flow, lagging: boolean): number {
  return lagging ? Math.max(limitMilliwatts, beforeMilliwatts) : limitMilliwatts;
}
