/**
 * The gateway's log: one JSON object a line, on standard output.
 *
 * Promise: a member that is named like a secret is never written, whichever caller passes it.
 */
import { type DestinationStream, type Logger, pino } from "pino";

const SECRETS = [
  "key",
  "secret",
  "secretKey",
  "privateKey",
  "password",
  "token",
  "signature",
  "authorization",
  "cookie",
];

/** @param stream null: standard output */
export function openLog(level: "info" | "warn", stream: DestinationStream | null = null): Logger {
  const paths = SECRETS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  const options = { level, base: null, redact: { paths, censor: "[not logged]" } };
  return stream === null ? pino(options) : pino(options, stream);
}
