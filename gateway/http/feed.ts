/**
 * The live feed: the same few kilobytes a tick for every viewer who keeps up, a catch-up for who does not.
 *
 * Promise: what a viewer costs is a revision number and one bounded backlog, however many lights change
 * while it is slow; it then gets each light once, as it is. A viewer that takes nothing is dropped. What
 * is lost in between are frames, and how many is told.
 */
import type { Fleet } from "../telemetry/fleet-view.ts";
import type { Frame } from "../telemetry/frames.ts";
import type { Light } from "../telemetry/light-view.ts";
import { bornRow, lightRow } from "./rows.ts";

/** Somebody who watches. */
export interface Viewer {
  send(chunk: string): void;
  /** Bytes given to `send` that have not left yet. */
  backlogBytes(): number;
  close(): void;
}

/** Which frames a viewer wants: none, all, or, and then nothing else, one device's. */
export type FrameWish =
  | { readonly kind: "none" | "all" }
  | { readonly kind: "device"; readonly device: string };

export interface Feed {
  /** Returns the leaving, or null when there are too many viewers. */
  join(viewer: Viewer, frames: FrameWish): (() => void) | null;
  /** A frame that went by; kept until the next tick. */
  frame(frame: Frame): void;
  /** Sends what changed since the last tick. */
  tick(): void;
  readonly viewers: number;
  /** True when anybody wants frames. */
  readonly wantsFrames: boolean;
  close(): void;
}

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

/** Of changed lights those that took over a position that the viewer knows by another light. */
function takingOver(
  changed: readonly Light[],
  { revision, born }: Pick<Joined, "revision" | "born">,
): readonly Light[] {
  return changed.filter(
    ({ index, bornRevision }) => index < born && bornRevision > 0 && bornRevision >= revision,
  );
}

export function openFeed(fleet: Fleet): Feed {
  const joined = new Set<Joined>();
  let frames: Frame[] = [];
  let missedFrames = 0;
  /** What the last tick sent to everybody in step: from and to which revision. */
  let tickRevision = 0;
  let tickBorn = 0;

  /** Sends the next part of what this viewer lacks; true when it lacks nothing more. */
  function catchUp(to: Joined, nowSeconds: number): boolean {
    const born = fleet.lights.slice(to.born, to.born + ROWS_PER_CHUNK);
    if (born.length > 0) {
      to.viewer.send(eventText("born", born.map(bornRow)));
      to.born += born.length;
      return false;
    }
    const changed = fleet.changedSince(to.revision, ROWS_PER_CHUNK);
    if (changed.length === 0) return true;
    const rows = changed.map((light) => lightRow(light, nowSeconds));
    to.viewer.send(bornText(takingOver(changed, to)) + eventText("lights", rows));
    to.revision = changed.at(-1)!.revision;
    return false;
  }

  function sendAll(to: Joined, nowSeconds: number): void {
    while (to.viewer.backlogBytes() < BACKLOG_MAX_BYTES) if (catchUp(to, nowSeconds)) return;
  }

  function framesFor({ frames: wish }: Joined): readonly Frame[] {
    if (wish.kind === "device") return frames.filter(({ device }) => device === wish.device);
    return wish.kind === "all" ? frames : [];
  }

  function sendFrames(to: Joined): void {
    const wanted = framesFor(to);
    const missed = to.missedFrames + (to.frames.kind === "none" ? 0 : missedFrames);
    if (wanted.length === 0 && missed === 0) return;
    to.viewer.send(eventText("frames", { missed, frames: wanted }));
    to.missedFrames = 0;
  }

  return {
    join(viewer, wish) {
      if (joined.size >= VIEWERS_MAX) return null;
      const member: Joined = { viewer, frames: wish, revision: 0, born: 0, missedFrames: 0, stuckTicks: 0 };
      joined.add(member);
      const summary = fleet.summary();
      viewer.send(eventText("fleet", summary));
      if (wish.kind !== "device") sendAll(member, summary.atSeconds);
      return () => joined.delete(member);
    },
    frame(frame) {
      if (frames.length < FRAMES_PER_TICK) frames.push(frame);
      else missedFrames += 1;
    },
    tick() {
      const summary = fleet.summary();
      const fleetText = eventText("fleet", summary);
      const [born, changed] = [
        fleet.lights.slice(tickBorn),
        fleet.changedSince(tickRevision, ROWS_PER_CHUNK + 1),
      ];
      const isShort = born.length <= ROWS_PER_CHUNK && changed.length <= ROWS_PER_CHUNK;
      const newcomers = [...takingOver(changed, { revision: tickRevision, born: tickBorn }), ...born];
      const rows = changed.map((light) => lightRow(light, summary.atSeconds));
      const shared = isShort ? bornText(newcomers) + (rows.length > 0 ? eventText("lights", rows) : "") : "";
      for (const member of joined) {
        if (member.viewer.backlogBytes() >= BACKLOG_MAX_BYTES) {
          member.missedFrames += framesFor(member).length;
          member.stuckTicks += 1;
          if (member.stuckTicks < STUCK_TICKS_MAX) continue;
          joined.delete(member);
          member.viewer.close();
          continue;
        }
        member.stuckTicks = 0;
        member.viewer.send(fleetText);
        if (member.frames.kind === "device") {
          sendFrames(member);
          continue;
        }
        if (isShort && member.revision === tickRevision && member.born === tickBorn) {
          if (shared !== "") member.viewer.send(shared);
          member.revision = fleet.revision;
          member.born = fleet.lights.length;
        } else sendAll(member, summary.atSeconds);
        sendFrames(member);
      }
      tickRevision = fleet.revision;
      tickBorn = fleet.lights.length;
      frames = [];
      missedFrames = 0;
    },
    get viewers() {
      return joined.size;
    },
    get wantsFrames() {
      for (const { frames: wish } of joined) if (wish.kind !== "none") return true;
      return false;
    },
    close() {
      for (const { viewer } of joined) viewer.close();
      joined.clear();
    },
  };
}
