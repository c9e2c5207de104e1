/**
 * Refusals of the broker: counted by reason for the metrics, and logged.
 *
 * Promise: reasons are a closed list; a client's own text is cut to a bounded length.
 */
import type { Logger } from "../../purchase/ports.ts";

/** Each with its line in the log. */
const LINES = {
  login: "login refused",
  "not-enrolled": "login refused: not enrolled",
  "login-rate": "login refused: too many logins",
  will: "login refused: will not allowed",
  publish: "publish refused",
  subscription: "subscription refused",
  rate: "message dropped: too many messages",
  flood: "connection ended: too many messages",
  packet: "connection ended: packet too long or too many packets",
  backlog: "connection ended: it does not read what it is sent",
  certificate: "connection ended: TLS",
  full: "connection refused: the broker is full",
  silent: "connection ended: no login in time, or room was made for another of its address",
  displaced: "connection ended: room was made for a device that buys",
  source: "connection refused: too many logins at once, or failures, from its address",
} as const;

export type BrokerRefusal = keyof typeof LINES;

const BROKER_REFUSALS = Object.keys(LINES) as readonly BrokerRefusal[];

export interface Refusals {
  readonly counts: Readonly<Record<BrokerRefusal, number>>;
  report(refusal: BrokerRefusal, fields: Readonly<Record<string, string | undefined>>): void;
}

const SHOWN_CHARACTERS_MAX = 160;

/** @param note limits repeated lines: see limited-note.ts */
export function openRefusals(note: Logger): Refusals {
  const counts = Object.fromEntries(BROKER_REFUSALS.map((refusal) => [refusal, 0])) as Record<
    BrokerRefusal,
    number
  >;
  return {
    counts,
    report(refusal, fields) {
      counts[refusal] += 1;
      const shown = Object.entries(fields).map(([name, text]) => [
        name,
        text?.slice(0, SHOWN_CHARACTERS_MAX),
      ]);
      note("warn", LINES[refusal], Object.fromEntries(shown));
    },
  };
}
