/**
 * The time of day from any HTTP server's `Date` header (RFC 9110 section 6.6.1).
 *
 * Promise: asked once at the start, again with back-off until it is known, then once a day. It is not
 * authenticated: the network's owner can set a lamp's plan and its budget's day, as with NTP; what is
 * signed stays within deposit, price and quantum.
 */
import type { Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import type { BoardNet, BoardSocket } from "../mqtt/board-link.ts";
import type { BoardClock } from "./board-clock.ts";

const RETRY: Retry = { firstMs: 2000, maxMs: 300000 };
const AGAIN_MS = 86400000;
const ANSWER_MS = 15000;

/** Longest answer read in search of the header. */
const ANSWER_BYTES_MAX = 2048;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export interface TimeServer {
  readonly host: string;
  readonly port: number;
}

/** @param changed called whenever the clock was set */
export function keepTime(
  server: TimeServer,
  net: BoardNet,
  clock: BoardClock,
  random: Random,
  changed: () => void,
  say: (text: string) => void,
): void {
  let attempts = 0;
  const ask = () => {
    askTime(server, net, clock, (seconds) => {
      if (seconds !== null && clock.setWall(seconds)) {
        attempts = 0;
        clock.at(clock.nowMs() + AGAIN_MS, ask);
        changed();
        return;
      }
      attempts++;
      say(
        `time: expected a Date header of ${server.host}:${server.port}, found none that can be; asking again`,
      );
      clock.at(nextAttemptMs(RETRY, attempts, clock.nowMs(), random()), ask);
    });
  };
  ask();
}

function askTime(
  { host, port }: TimeServer,
  net: BoardNet,
  clock: BoardClock,
  done: (seconds: number | null) => void,
): void {
  let socket: BoardSocket | null = null;
  let answer = "";
  let isOpen = true;
  const end = () => {
    if (!isOpen) return;
    isOpen = false;
    cancel();
    if (socket !== null) socket.end();
    done(dateIn(answer));
  };
  const cancel = clock.at(clock.nowMs() + ANSWER_MS, end);
  try {
    socket = net.connect({ host, port }, () => {
      if (socket !== null) socket.write(`HEAD / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    });
    socket.on("data", (bytes) => {
      answer += bytes;
      if (dateIn(answer) !== null || answer.length > ANSWER_BYTES_MAX) end();
    });
    socket.on("error", end);
    socket.on("close", end);
  } catch (_) {
    end();
  }
}

/** Unix seconds of an answer's Date header, whole; null when there is none. */
export function dateIn(answer: string): number | null {
  const at = answer.toLowerCase().indexOf("\ndate:");
  const end = at < 0 ? -1 : answer.indexOf("\r", at);
  if (end < 0) return null;
  // Sun, 06 Nov 1994 08:49:37 GMT
  const parts = answer
    .slice(at + 6, end)
    .trim()
    .split(" ");
  if (parts.length !== 6 || parts[5] !== "GMT") return null;
  const month = MONTHS.indexOf(parts[2]!);
  const clock = parts[4]!.split(":");
  const [day, year] = [Number(parts[1]), Number(parts[3])];
  const [hours, minutes, seconds] = [Number(clock[0]), Number(clock[1]), Number(clock[2])];
  if (month < 0 || !(day >= 1 && day <= 31) || !(year >= 1970 && year < 10000)) return null;
  if (!(hours < 24 && minutes < 60 && seconds <= 60)) return null;
  return 86400 * daysUntil(year, month, day) + 3600 * hours + 60 * minutes + seconds;
}

/** Days from 1970-01-01 to a Gregorian date. @param month 0..11 */
function daysUntil(year: number, month: number, day: number): number {
  // Years that begin in March have their leap day at the end.
  const marchYear = month < 2 ? year - 1 : year;
  const marchMonth = (month + 10) % 12;
  const leaps = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  return 365 * marchYear + leaps + Math.floor((153 * marchMonth + 2) / 5) + day - 719469;
}
