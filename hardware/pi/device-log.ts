/**
 * What a light says in its log: lamp changes, purchases, refusals, and nothing at every tick.
 *
 * Promise: each line reports one change, once, with its numbers as members; JSON for machines, one plain
 * line each on a terminal.
 */

import { type Logger, pino } from "pino";
import type { Effect, Event } from "#core/events";
import { reportOf, type State } from "#core/machine";
import { parseJson } from "#protocol/nesting";

/** A logger on standard output, or on standard error where that is a command's own. */
export function deviceLogger(stream: NodeJS.WriteStream & { readonly fd: 1 | 2 }): Logger {
  const options = { base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (!stream.isTTY) return pino(options, pino.destination({ fd: stream.fd, sync: true }));
  return pino(options, {
    write(line) {
      stream.write(humanLine(line));
    },
  });
}

function humanLine(line: string): string {
  const { level, time, msg, ...members } = parseJson(line) as Record<string, unknown>;
  const pairs = Object.entries(members).map(([name, value]) => `${name}=${String(value)}`);
  const mark = Number(level) >= 40 ? "! " : "";
  return `${String(time).slice(11, 19)} ${mark}${[String(msg), ...pairs].join("  ")}\n`;
}

/** Watches a host's steps and logs what changed. */
export function logSteps(log: Logger): (event: Event, effects: readonly Effect[], state: State) => void {
  let refusal: string | null = null;
  let charged = 0;
  return (event, effects, state) => {
    for (const effect of effects) {
      if (effect.type === "lamp") log.info({ levelPercent: effect.levelPercent }, "lamp");
      if (effect.type === "pay") {
        const { maxClaimable, amountAtomic, again } = effect.payment;
        log.info({ maxClaimable, amountAtomic, again }, "paying");
      }
    }
    if (event.type === "link") log.info({ up: event.up }, "link");
    const report = reportOf(state);
    if (event.type === "grant" && report.charged > charged) {
      log.info({ charged: report.charged, granted: report.granted, credit: report.credit }, "bought");
    }
    charged = report.charged;
    if (report.refusal !== refusal) {
      refusal = report.refusal;
      if (refusal === null) log.info("no refusal any more");
      else log.warn({ refusal }, "refused");
    }
  };
}
