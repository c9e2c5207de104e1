/**
 * What a scenario does to a fleet, in words that the fleet on real sockets and the world in virtual time
 * both understand. Plain data and one interface; no surroundings.
 *
 * Promise: stages begin and end in the order of their instants, each exactly once, an end never before
 * its beginning.
 */
import type { Clock } from "#core/ports";

/** How a light may cheat. Each is something the owner of a light could do with its key and a screwdriver. */
export const CHEATS = ["bypass-meter", "replay-frames", "double-spend", "bad-signatures"] as const;
export type Cheat = (typeof CHEATS)[number];

/** Lights by name; `group` is a group of the scenario or EVERYONE. */
export type Action =
  /** The group's connections break at the beginning, all at once, and come back as they can. */
  | { readonly kind: "drop-connections"; readonly group: string }
  /** The program dies at the beginning and is started again at the end. */
  | { readonly kind: "stop-gateway" }
  | { readonly kind: "stop-seller" }
  /** The tariff's price times `factor` while the stage lasts. Part of the tariff: see prices.ts. */
  | { readonly kind: "price"; readonly factor: number }
  /** The group cheats while the stage lasts. */
  | { readonly kind: "cheat"; readonly group: string; readonly cheat: Cheat };

/** The group of all lights. */
export const EVERYONE = "everyone";

export interface Stage {
  readonly name: string;
  /** Simulated milliseconds after the evening's beginning. */
  readonly startMs: number;
  /** 0 for what happens at once. */
  readonly durationMs: number;
  readonly action: Action;
}

/** How a load may answer prices ahead: a light dims to no less, another has its energy by a time of the UTC day. */
export type Flexibility =
  | { readonly kind: "dims"; readonly leastPercent: number }
  | {
      readonly kind: "waits";
      readonly milliwatts: number;
      readonly milliwattHours: number;
      /** From then on it may run, within the spread after it, each device at a minute of its own. */
      readonly fromMinute: number;
      readonly spreadMinutes: number;
      readonly readyByMinute: number;
    };

/** Lights with something in common. A light is in one group at most, besides EVERYONE. */
export interface Group {
  readonly name: string;
  /** A share of all lights in 0..1, so many lights, or the lights of one street. */
  readonly pick:
    | { readonly kind: "share"; readonly share: number }
    | { readonly kind: "count"; readonly count: number }
    | { readonly kind: "street"; readonly street: string };
  /** Most that a light of this group may sign in a UTC day, atomic units; null for the fleet's own. */
  readonly dailyBudgetAtomic: number | null;
  /** What its devices are; null for the run's own. */
  readonly profile: string | null;
  /** How they answer prices; null: not at all. */
  readonly flexibility: Flexibility | null;
}

/** Carries out stages: a fleet on real sockets, or a world. */
export interface ScenarioRunner {
  begin(stage: Stage): void;
  end(stage: Stage): void;
}

/** Sets a timer for every beginning and end. @param originMs the evening's beginning on that clock */
export function playStages(
  stages: readonly Stage[],
  clock: Pick<Clock, "at">,
  originMs: number,
  hand: ScenarioRunner,
): void {
  for (const stage of stages) {
    clock.at(originMs + stage.startMs, () => {
      hand.begin(stage);
      clock.at(originMs + stage.startMs + stage.durationMs, () => hand.end(stage));
    });
  }
}
