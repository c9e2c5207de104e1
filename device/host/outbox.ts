/**
 * What a device says: each message made, sealed and published.
 *
 * Promise: a state carries the trouble of its moment; words that change later are said too, with at least
 * TROUBLE_APART_MS between two states that nothing else asked for. A reading carries what the meter showed at
 * its latest look beside the register, and nothing of a look that was not good but its quality.
 */
import type { Reading, Report } from "#core/events";
import { isCounter } from "#core/units";
import { type Hello, type ReadingMessage, type StateMessage, TROUBLE_MAX } from "#protocol/messages";
import { sealFrame, sealJson } from "#protocol/tag";
import { LEAVES, type Leaf } from "#protocol/topics";
import type { MachineParts } from "./machine-parts.ts";

/** A fault's words may change with every look at the part: a found value, a code. */
export const TROUBLE_APART_MS = 5000;

export class Outbox {
  private readonly parts: MachineParts;
  private latest: Reading | null = null;
  private sentTrouble: string | null = null;
  private sentAtMs = -Infinity;

  constructor(parts: MachineParts) {
    this.parts = parts;
  }

  pay(frame: Uint8Array): void {
    this.parts.link.publish("pay", sealFrame(this.parts.tagger, "pay", frame), LEAVES.pay.retained);
  }

  hello(register: number): void {
    const { publicKey, describe } = this.parts;
    this.send("hello", { v: 1, publicKey, ...describe, register });
  }

  state(status: "online" | "lost", report: Report): void {
    const trouble = this.parts.trouble?.() ?? null;
    this.sentTrouble = trouble;
    this.sentAtMs = this.parts.clock.nowMs();
    const reason = trouble === null ? {} : { trouble: plainLine(trouble) };
    const ladder = this.parts.ladder?.() ?? {};
    this.send("state", { v: 1, status, ...report, ...reason, ...ladder });
  }

  /** The state again, when its trouble is another by now. */
  repeatTrouble(report: Report): void {
    const trouble = this.parts.trouble?.() ?? null;
    if (trouble === this.sentTrouble) return;
    if (this.parts.clock.nowMs() - this.sentAtMs >= TROUBLE_APART_MS) this.state("online", report);
  }

  /** Remembers what the meter showed, for the next reading. */
  look(reading: Reading | null): void {
    this.latest = reading;
  }

  reading(register: number, powerMilliwatts: number): void {
    const wallSeconds = this.parts.clock.wallSeconds();
    const atSeconds = wallSeconds === null ? 0 : Math.floor(wallSeconds);
    this.send("reading", { v: 1, register, powerMilliwatts, atSeconds, ...shownBy(this.latest) });
  }

  private send(leaf: Leaf, message: Hello | StateMessage | ReadingMessage): void {
    this.parts.link.publish(leaf, sealJson(this.parts.tagger, leaf, message), LEAVES[leaf].retained);
  }
}

/** The members of a reading that a meter may lack. */
interface Shown {
  voltageMillivolts?: number;
  currentMilliamps?: number;
  frequencyMillihertz?: number;
  quality?: "good" | "suspect" | "stale";
}

function shownBy(look: Reading | null): Shown {
  if (look === null) return { quality: "stale" };
  const { voltageMillivolts, currentMilliamps, frequencyMillihertz } = look;
  const quality = look.quality === undefined ? null : look.quality.kind;
  if (quality !== null && quality !== "good") return { quality };
  const shown: Shown = {};
  if (isCounter(voltageMillivolts)) shown.voltageMillivolts = voltageMillivolts;
  if (isCounter(currentMilliamps)) shown.currentMilliamps = currentMilliamps;
  if (isCounter(frequencyMillihertz)) shown.frequencyMillihertz = frequencyMillihertz;
  if (quality !== null) shown.quality = quality;
  return shown;
}

/** One line that every console shows and that fits the message. */
function plainLine(text: string): string {
  let plain = "";
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 32 && code < 127) plain += text.charAt(i);
    else if (plain.slice(-1) !== " ") plain += " ";
  }
  plain = plain.trim();
  return plain.length <= TROUBLE_MAX ? plain : `${plain.slice(0, TROUBLE_MAX - 3)}...`;
}
