/**
 * The DALI bus through the ATX LED DALI HAT (AL-DALI-HAT) on the Pi's UART: 19200 baud 8N1, lines of ASCII.
 * Its protocol is public: "h" and four hex digits send 16 bits; the answer is "N" for no backward frame,
 * "J" and two hex digits for one, "X" or "Z" for a collision; other lines are what others said on the bus.
 *
 * Promise: one frame at a time; a collision or silence is tried again, SENDS_MAX times in all.
 */

import type { Clock } from "#core/ports";
import { Watt402Error } from "#payment/watt402-error";
import type { ForwardFrame } from "./dali-gear.ts";

/** Lines of text over a serial port. */
export interface SerialLines {
  write(text: string): void;
  onLine(take: (line: string) => void): void;
  /** Called once when the port is gone. */
  onGone(take: (found: string) => void): void;
  close(): Promise<void>;
}

export interface DaliBus {
  /** The backward frame, 0..255; null when no gear answered. */
  send(frame: ForwardFrame): Promise<number | null>;
}

export const HAT_BAUD = 19_200;

/** Longest wait for the HAT's answer: forward frame, settling and backward frame are below 50 ms. */
const HAT_ANSWER_MS = 300;
export const SENDS_MAX = 3;

const COLLISION_PAUSE_MS = 100;

type Answer =
  | { readonly kind: "frame"; readonly value: number }
  | { readonly kind: "none" | "collision" | "silent" };

export function openDaliHat(name: string, lines: SerialLines, clock: Clock): DaliBus {
  let take: ((line: string) => void) | null = null;
  let queue: Promise<unknown> = Promise.resolve();
  lines.onLine((line) => take?.(line));

  const exchange = (frame: ForwardFrame) =>
    new Promise<Answer>((resolve) => {
      const settle = (answer: Answer) => {
        take = null;
        cancel();
        resolve(answer);
      };
      const cancel = clock.at(clock.nowMs() + HAT_ANSWER_MS, () => settle({ kind: "silent" }));
      take = (line) => {
        const answer = readAnswer(line);
        if (answer !== null) settle(answer);
      };
      lines.write(`h${hexByte(frame.addressByte)}${hexByte(frame.data)}\n`);
    });

  const send = async (frame: ForwardFrame): Promise<number | null> => {
    let answer: Answer = { kind: "silent" };
    for (let sends = 0; sends < SENDS_MAX; sends++) {
      answer = await exchange(frame);
      if (answer.kind === "frame") return answer.value;
      if (answer.kind === "none") return null;
      await new Promise<void>((resolve) => clock.at(clock.nowMs() + COLLISION_PAUSE_MS, resolve));
    }
    throw new Watt402Error(
      "unreachable",
      answer.kind === "silent"
        ? `${name}: expected an answer of the HAT within ${HAT_ANSWER_MS} ms, found none; ` +
            "check that the UART is on (enable_uart=1, no console on it) and lamp.driver.serial"
        : `${name}: expected a quiet bus, found ${SENDS_MAX} collisions; is another controller on it?`,
    );
  };
  return {
    send: (frame) => {
      const sent = queue.then(() => send(frame));
      queue = sent.catch(() => undefined);
      return sent;
    },
  };
}

function readAnswer(line: string): Answer | null {
  const frame = /^J([0-9A-Fa-f]{2})$/.exec(line);
  if (frame !== null) return { kind: "frame", value: Number.parseInt(frame[1]!, 16) };
  if (line === "N") return { kind: "none" };
  return line.startsWith("X") || line.startsWith("Z") ? { kind: "collision" } : null;
}

function hexByte(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, "0");
}
