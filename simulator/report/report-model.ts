/**
 * What a report contains of an evening: plain data, from a fleet on real sockets or from anything else that
 * knows as much. Times are simulated.
 */
import type { Stage } from "../scenario/actions.ts";

/** The fleet at one instant. */
export interface Sample {
  /** Since the evening's beginning. */
  readonly minute: number;
  readonly powerMilliwatts: number;
  /** Atomic units per kWh; null when unknown. */
  readonly pricePerMillionUnits: number | null;
  /** Purchases and their money so far. */
  readonly made: number;
  readonly spentAtomic: number;
  readonly lit: number;
  readonly dark: number;
  readonly starved: number;
  readonly offline: number;
  /** Credit left, in minutes of full light: a tenth of the lights have less, half, nine tenths. */
  readonly creditMinutes: readonly [tenth: number, half: number, nineTenths: number];
}

/** One light after the evening. */
export interface LightReport {
  readonly name: string;
  readonly street: string;
  readonly feeder: string;
  readonly latitude: number;
  readonly longitude: number;
  readonly ratedMilliwatts: number;
  /** Group of the scenario; null when in none. */
  readonly group: string | null;
  readonly purchases: number;
  readonly spentAtomic: number;
  /** What it really drew, mWh. */
  readonly drawnMilliwattHours: number;
  readonly starvedSeconds: number;
  readonly cheats: readonly string[];
}

interface FeederReport {
  readonly name: string;
  readonly lights: number;
  readonly suppliedMilliwattHours: number;
  readonly registeredMilliwattHours: number;
  readonly missingMilliwattHours: number;
  readonly toleranceMilliwattHours: number;
  readonly suspected: boolean;
}

interface CheatReport {
  readonly cheat: string;
  readonly lights: number;
  /** Messages that an honest light would not have sent. */
  readonly frames: number;
  /** Drawn past the meter, mWh. */
  readonly gainedMilliwattHours: number;
}

/** What was made to go wrong. */
export interface FaultReport {
  readonly fired: readonly { readonly kind: string; readonly count: number }[];
  readonly neverFired: readonly string[];
}

/** A step of the money's way, or the energy's: each is held against the one before. */
export interface Counter {
  readonly name: string;
  /** Who says so. */
  readonly from: string;
  readonly amount: number;
  /** Relation to the counter before it; null for the first. */
  readonly relation: "=" | "≤" | null;
}

export interface ReportModel {
  readonly title: string;
  readonly story: string;
  readonly city: string;
  readonly timeZone: string;
  /** Unix time of the evening's beginning. */
  readonly startSeconds: number;
  readonly minutes: number;
  readonly samples: readonly Sample[];
  readonly lights: readonly LightReport[];
  readonly stages: readonly Stage[];
  readonly feeders: readonly FeederReport[];
  readonly cheats: readonly CheatReport[];
  /** Atomic units. */
  readonly money: readonly Counter[];
  /** mWh */
  readonly energy: readonly Counter[];
  readonly figures: {
    readonly payments: number;
    readonly repeated: number;
    readonly refused: number;
    readonly longestStarvedSeconds: number;
    readonly starvedLightSeconds: number;
    /** The clock that answers are timed by. */
    readonly answersIn: "real" | "virtual";
    readonly latencyP50Ms: number;
    readonly latencyP99Ms: number;
    readonly bytesPerPayment: number;
    readonly gasPerPayment: number | null;
    readonly wallSeconds: number;
  };
  readonly violations: readonly {
    readonly invariant: string;
    readonly light: string;
    readonly expected: string;
    readonly actual: string;
  }[];
  /** Null when none was asked for. */
  readonly faults: FaultReport | null;
  /** The command that runs it again. */
  readonly command: string;
}
