/**
 * An evening as recorder, counters and report see it, played by a fleet on real
 * sockets, or a world in virtual time.
 */
import type { State } from "#core/machine";
import type { Equipment, Profile } from "../profiles/profile.ts";
import type { Cheat } from "../scenario/actions.ts";
import type { InvariantMonitor } from "./reconciliation/invariant-monitor.ts";

export interface EveningLight {
  readonly name: string;
  readonly site: Pick<Equipment, "lamp" | "meter"> & { readonly profile: Profile };
  readonly monitor: InvariantMonitor;
  /** Cheats in use so far. */
  readonly cheats: ReadonlySet<Cheat>;
  state(): State;
  /** Frames sent or bent by cheats. */
  cheatFrames(): number;
  /** What it really drew since its birth, as its feeder sees it, units. */
  drawnUnits(): number;
  /** The same when its own meter was read last. */
  drawnAtReadingUnits(): number;
  /** What of it went through its meter, units. */
  meteredUnits(): number;
  /** Units that its meter has counted since the beginning. */
  consumedUnits(): number;
  /** Units credited over all channels. */
  grantedUnits(): number;
  /** Where seller and chain keep its money. */
  accountId(): string;
}

/** The progress of an evening. */
export interface Progress {
  readonly simulatedMs: number;
  readonly lit: number;
  readonly dark: number;
  readonly starved: number;
  readonly offline: number;
  readonly made: number;
  readonly spentAtomic: number;
  readonly consumedMilliwattHours: number;
}

export interface Evening {
  readonly lights: readonly EveningLight[];
  /** From a PAY to its grant: real time of a fleet, virtual time of a world. */
  readonly latenciesMs: readonly number[];
  /** Wakes at a simulated time after the evening's beginning, milliseconds. */
  at(afterMs: number, wake: () => void): () => void;
  progress(): Progress;
  /** Unix time on the lights' clock, seconds with their fraction. */
  wallSeconds(): number;
}

/** @param simulatedMs since the evening's beginning */
export function progressOf(lights: readonly EveningLight[], simulatedMs: number): Progress {
  let lit = 0;
  let starved = 0;
  let offline = 0;
  let made = 0;
  let spentAtomic = 0;
  let consumedMilliwattHours = 0;
  for (const light of lights) {
    const { monitor } = light;
    const { levelPercent, wantedPercent, linkUp } = light.state();
    if (levelPercent > 0) lit++;
    else if (wantedPercent > 0) starved++;
    if (!linkUp) offline++;
    made += monitor.made;
    spentAtomic += monitor.madeAtomic;
    if (light.site.profile.goods.unit === "mWh") consumedMilliwattHours += light.consumedUnits();
  }
  const dark = lights.length - lit - starved;
  return { simulatedMs, lit, dark, starved, offline, made, spentAtomic, consumedMilliwattHours };
}
