/**
 * The live feed: the same few kilobytes a tick for every viewer who keeps up, a catch-up for one who does not.
 *
 * Promise: what a viewer costs is a revision number and one bounded backlog, however many lights change
 * while it is slow; it then gets each light once, as it is. A viewer that takes nothing is dropped. Frames
 * that a slow viewer misses are lost, and counted to it.
 */

import type { Frame } from "../telemetry/decoded-frames.ts";
import type { Fleet } from "../telemetry/fleet-view.ts";
import type { Light } from "../telemetry/light-view.ts";
import { bornRow, lightRow } from "./light-rows.ts";

/** One connection that watches. */
interface Viewer {
  send(chunk: string): void;
  /** Bytes given to `send` that have not left yet. */
  backlogBytes(): number;
  close(): void;
}

/** Which frames a viewer wants: none, all, or, and then nothing else, one device's. */
export type FrameWish =
  | { readonly kind: "none" | "all" }
  | { readonly kind: "device"; readonly device: string };

export const VIEWERS_MAX = 64;
const BACKLOG_MAX_BYTES = 256 * 1024;
const ROWS_PER_CHUNK = 2_000;
const FRAMES_PER_TICK = 200;

/** Ticks without taking anything after which a viewer is dropped: a minute at half a second. */
const STUCK_TICKS_MAX = 120;

interface Joined {
  readonly viewer: Viewer;
  readonly frames: FrameWish;
  revision: number;
  /** Lights whose unchanging part was sent. */
  born: number;
  missedFrames: number;
  stuckTicks: number;
}

/** One server-sent event. */
export function eventText(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

function bornText(lights: readonly Light[]): string {
  return lights.length > 0 ? eventText("born", lights.map(bornRow)) : "";
}

function lightsText(lights: readonly Light[], nowSeconds: number): string {
  const rows = lights.map((light) => lightRow(light, nowSeconds));
  return rows.length > 0 ? eventText("lights", rows) : "";
}

/** Of changed lights those that took over a position that the viewer knows by another light. */
function takingOver(
  changed: readonly Light[],
  { revision, born }: Pick<Joined, "revision" | "born">,
): readonly Light[] {
  return changed.filter(
    ({ index, bornRevision }) => index < born && bornRevision > 0 && bornRevision >= revision,
  );
}

export class Feed {
  readonly #fleet: Fleet;
  readonly #joined = new Set<Joined>();
  #frames: Frame[] = [];
  #missedFrames = 0;
  /** What a viewer in step has since the last tick: up to which revision, and how many lights. */
  #inStep: Pick<Joined, "revision" | "born"> = { revision: 0, born: 0 };

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  get viewers(): number {
    return this.#joined.size;
  }

  /** True when any viewer wants frames. */
  get wantsFrames(): boolean {
    for (const { frames } of this.#joined) if (frames.kind !== "none") return true;
    return false;
  }

  /** Returns the leaving, or null when there are too many viewers. */
  join(viewer: Viewer, frames: FrameWish): (() => void) | null {
    if (this.#joined.size >= VIEWERS_MAX) return null;
    const joined: Joined = { viewer, frames, revision: 0, born: 0, missedFrames: 0, stuckTicks: 0 };
    this.#joined.add(joined);
    const summary = this.#fleet.summary();
    viewer.send(eventText("fleet", summary));
    if (frames.kind !== "device") this.#sendAll(joined, summary.atSeconds);
    return () => this.#joined.delete(joined);
  }

  /** A frame that went by; kept until the next tick. */
  frame(frame: Frame): void {
    if (this.#frames.length < FRAMES_PER_TICK) this.#frames.push(frame);
    else this.#missedFrames += 1;
  }

  /** Sends what changed since the last tick. */
  tick(): void {
    const summary = this.#fleet.summary();
    const fleetText = eventText("fleet", summary);
    const changes = this.#changesText(summary.atSeconds);
    for (const joined of this.#joined) {
      if (joined.viewer.backlogBytes() >= BACKLOG_MAX_BYTES) {
        this.#skip(joined);
        continue;
      }
      joined.stuckTicks = 0;
      joined.viewer.send(fleetText);
      if (joined.frames.kind !== "device") this.#sendChanges(joined, changes, summary.atSeconds);
      this.#sendFrames(joined);
    }
    this.#inStep = { revision: this.#fleet.revision, born: this.#fleet.lights.length };
    this.#frames = [];
    this.#missedFrames = 0;
  }

  close(): void {
    for (const { viewer } of this.#joined) viewer.close();
    this.#joined.clear();
  }

  /** All that changed since the last tick, the same for every viewer in step; null when it is too much for one chunk. */
  #changesText(nowSeconds: number): string | null {
    const born = this.#fleet.lights.slice(this.#inStep.born);
    const changed = this.#fleet.changedSince(this.#inStep.revision, ROWS_PER_CHUNK + 1);
    if (born.length > ROWS_PER_CHUNK || changed.length > ROWS_PER_CHUNK) return null;
    const newcomers = [...takingOver(changed, this.#inStep), ...born];
    return bornText(newcomers) + lightsText(changed, nowSeconds);
  }

  #sendChanges(joined: Joined, changes: string | null, nowSeconds: number): void {
    const isInStep = joined.revision === this.#inStep.revision && joined.born === this.#inStep.born;
    if (changes === null || !isInStep) {
      this.#sendAll(joined, nowSeconds);
      return;
    }
    if (changes !== "") joined.viewer.send(changes);
    joined.revision = this.#fleet.revision;
    joined.born = this.#fleet.lights.length;
  }

  /** A tick without this viewer, whose backlog is full; the last of too many drops it. */
  #skip(joined: Joined): void {
    joined.missedFrames += this.#framesFor(joined).length;
    joined.stuckTicks += 1;
    if (joined.stuckTicks < STUCK_TICKS_MAX) return;
    this.#joined.delete(joined);
    joined.viewer.close();
  }

  #sendAll(joined: Joined, nowSeconds: number): void {
    while (joined.viewer.backlogBytes() < BACKLOG_MAX_BYTES) if (this.#catchUp(joined, nowSeconds)) return;
  }

  /** Sends the next part of what this viewer lacks; true when it lacks nothing more. */
  #catchUp(joined: Joined, nowSeconds: number): boolean {
    const born = this.#fleet.lights.slice(joined.born, joined.born + ROWS_PER_CHUNK);
    if (born.length > 0) {
      joined.viewer.send(bornText(born));
      joined.born += born.length;
      return false;
    }
    const changed = this.#fleet.changedSince(joined.revision, ROWS_PER_CHUNK);
    if (changed.length === 0) return true;
    joined.viewer.send(bornText(takingOver(changed, joined)) + lightsText(changed, nowSeconds));
    joined.revision = changed.at(-1)!.revision;
    return false;
  }

  #framesFor({ frames }: Joined): readonly Frame[] {
    if (frames.kind === "device") return this.#frames.filter(({ device }) => device === frames.device);
    return frames.kind === "all" ? this.#frames : [];
  }

  #sendFrames(joined: Joined): void {
    const wanted = this.#framesFor(joined);
    const missed = joined.missedFrames + (joined.frames.kind === "none" ? 0 : this.#missedFrames);
    if (wanted.length === 0 && missed === 0) return;
    joined.viewer.send(eventText("frames", { missed, frames: wanted }));
    joined.missedFrames = 0;
  }
}
