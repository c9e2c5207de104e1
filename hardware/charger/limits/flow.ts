/**
 * The most that a charge point can have delivered, reckoned between its reports.
 *
 * Promise: from the latest report on, the flow is reckoned at the higher of measured and allowed power: the limit in force
 * until that ends, then what the default profile lets flow, and while a fallen limit may not have been followed yet, the
 * power before it. What limits alone allowed is known for any two times of the last POINTS_MAX changes, so that a report
 * that comes late is held against the limits of its own time.
 */
import { energyMilliwattHours } from "#core/units";

/** What limits allowed in all until a time. */
interface Point {
  readonly atMs: number;
  /** Milliwatt-hours since the charge point is known. */
  readonly allowed: number;
  /** Allowed until then, milliwatts. */
  readonly milliwatts: number;
}

export interface Flow {
  /** The latest last; one for each change of what is allowed. */
  readonly points: readonly Point[];
  /** Register at the latest report, and what can have flowed since at most, milliwatt-hours. */
  readonly most: number;
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
}

/** Changes that are remembered: a limit, its end and its being followed are three. */
export const POINTS_MAX = 128;

/** @param baseMilliwatts what may flow while nothing is known of limits */
export function newFlow(total: number, nowMs: number, baseMilliwatts: number): Flow {
  return {
    points: [{ atMs: nowMs, allowed: 0, milliwatts: baseMilliwatts }],
    most: total,
    limitMilliwatts: baseMilliwatts,
    endsAtMs: Infinity,
    baseMilliwatts,
    beforeMilliwatts: 0,
    followsByMs: nowMs,
    measuredMilliwatts: 0,
  };
}

/** The flow at a later moment. @param lagMs how long the charger takes to follow a limit */
export function flowAt(flow: Flow, nowMs: number, lagMs: number): Flow {
  let at = flow;
  for (let atMs = timeOf(at); atMs < nowMs; atMs = timeOf(at)) {
    if (at.endsAtMs <= atMs) at = lower(at, at.baseMilliwatts, Infinity, lagMs);
    const lagging = at.followsByMs > atMs;
    at = pass(at, Math.min(nowMs, at.endsAtMs, lagging ? at.followsByMs : Infinity), lagging);
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

/** After a report: it shows what was delivered when it was measured; since then the flow is reckoned anew. */
export function reportFlow(
  flow: Flow,
  nowMs: number,
  report: { readonly total: number; readonly atMs: number; readonly measuredMilliwatts: number },
  lagMs: number,
): Flow {
  const now = flowAt(flow, nowMs, lagMs);
  const { total, atMs, measuredMilliwatts } = report;
  const measured = energyMilliwattHours(measuredMilliwatts, Math.max(0, nowMs - atMs));
  const since = Math.max(measured, allowedBetween(now, atMs, nowMs));
  // What was reckoned without this report bounds it, too.
  return { ...now, most: Math.max(total, Math.min(now.most, total + since)), measuredMilliwatts };
}

/**
 * What limits let flow between two times up to the flow's own, milliwatt-hours. Of a time that is not remembered any more
 * everything since the beginning counts.
 */
export function allowedBetween({ points }: Flow, fromMs: number, toMs: number): number {
  return Math.max(0, allowedAt(points, toMs) - allowedAt(points, fromMs));
}

function allowedAt(points: readonly Point[], atMs: number): number {
  const next = points.findIndex((point) => point.atMs >= atMs);
  if (next < 0) return points.at(-1)!.allowed;
  const { allowed, milliwatts, atMs: endMs } = points[next]!;
  if (next === 0) return endMs === atMs ? allowed : 0;
  return allowed - energyMilliwattHours(milliwatts, endMs - atMs);
}

function timeOf({ points }: Flow): number {
  return points.at(-1)!.atMs;
}

function lower(flow: Flow, limitMilliwatts: number, endsAtMs: number, lagMs: number): Flow {
  const atMs = timeOf(flow);
  const still = flow.followsByMs > atMs ? flow.beforeMilliwatts : 0;
  const beforeMilliwatts = Math.max(still, flow.limitMilliwatts);
  return { ...flow, limitMilliwatts, endsAtMs, beforeMilliwatts, followsByMs: atMs + lagMs };
}

function pass(flow: Flow, toMs: number, lagging: boolean): Flow {
  const last = flow.points.at(-1)!;
  const { limitMilliwatts, beforeMilliwatts, baseMilliwatts, measuredMilliwatts } = flow;
  const milliwatts = lagging ? Math.max(limitMilliwatts, beforeMilliwatts) : limitMilliwatts;
  // Once a limit that ended must have been followed, what was measured before is over.
  const measured = lagging || limitMilliwatts > baseMilliwatts ? measuredMilliwatts : 0;
  const forMs = toMs - last.atMs;
  const point = { atMs: toMs, allowed: last.allowed + energyMilliwattHours(milliwatts, forMs), milliwatts };
  const goesOn = flow.points.length > 1 && last.milliwatts === milliwatts;
  const points = [...(goesOn ? flow.points.slice(0, -1) : flow.points), point].slice(-POINTS_MAX);
  return { ...flow, points, most: flow.most + energyMilliwattHours(Math.max(milliwatts, measured), forMs) };
}
