/**
 * The gate that payments of a fleet leave by: shut, open, or so many a second.
 *
 * Promise: at most one frame of a light waits, the newest; the time of an answer counts from when its frame left
 * the gate, so a light that waited here adds nothing to it.
 */
import type { HostLink } from "#node/host";

/** How payments leave: not at all, at once, or so many a second over the whole fleet. */
export type Passage = "shut" | "open" | number;

/** Latencies kept between two looks. */
const LATENCIES_MAX = 200_000;

const TICK_MS = 1;

export class Gate {
  latenciesMs: number[] = [];
  /** Payments that left and were not answered yet. */
  underWay = 0;
  /** Payload bytes of payments and their answers, both ways, and how many answers. */
  payloadBytes = 0;
  answers = 0;
  #passage: Passage = "shut";
  readonly #waiting = new Set<GatedLink>();
  #budget = 0;
  #lookedAtMs = 0;
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#look(), TICK_MS);
  }

  set(passage: Passage): void {
    this.#passage = passage;
    this.#budget = 0;
    this.#lookedAtMs = performance.now();
    if (passage !== "open") return;
    for (const link of this.#waiting) link.release();
    this.#waiting.clear();
  }

  arrive(link: GatedLink): void {
    if (this.#passage === "open") link.release();
    else this.#waiting.add(link);
  }

  left(bytes: number): void {
    this.payloadBytes += bytes;
    this.underWay += 1;
  }

  answered(latencyMs: number, bytes: number): void {
    this.payloadBytes += bytes;
    this.answers += 1;
    this.underWay -= 1;
    if (this.latenciesMs.length < LATENCIES_MAX) this.latenciesMs.push(latencyMs);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    if (typeof this.#passage !== "number") return;
    const nowMs = performance.now();
    // What could not leave in time is not made up for: the fleet is no faster than its lights.
    const budget = this.#budget + ((nowMs - this.#lookedAtMs) / 1000) * this.#passage;
    this.#budget = Math.min(Math.max(1, this.#passage / 10), budget);
    this.#lookedAtMs = nowMs;
    for (const link of this.#waiting) {
      if (this.#budget < 1) break;
      this.#budget -= 1;
      this.#waiting.delete(link);
      link.release();
    }
  }
}

/** A light's link with the gate before its payments. */
export class GatedLink implements HostLink {
  readonly #link: HostLink;
  readonly #gate: Gate;
  #frame: Uint8Array | null = null;
  #leftAtMs: number | null = null;

  constructor(link: HostLink, gate: Gate) {
    this.#link = link;
    this.#gate = gate;
  }

  publish(leaf: string, payload: Uint8Array, retained: boolean): void {
    if (leaf === "pay") {
      this.#frame = payload;
      this.#gate.arrive(this);
    } else this.#link.publish(leaf, payload, retained);
  }

  release(): void {
    if (this.#frame === null) return;
    const frame = this.#frame;
    this.#frame = null;
    if (this.#leftAtMs === null) this.#gate.left(frame.length);
    this.#leftAtMs ??= performance.now();
    this.#link.publish("pay", frame, false);
  }

  onMessage(take: (leaf: string, payload: Uint8Array) => void): void {
    this.#link.onMessage((leaf, payload) => {
      if (leaf === "grant" && this.#leftAtMs !== null) {
        this.#gate.answered(performance.now() - this.#leftAtMs, payload.length);
        this.#leftAtMs = null;
      }
      take(leaf, payload);
    });
  }

  onChange(take: (up: boolean) => void): void {
    this.#link.onChange(take);
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}
