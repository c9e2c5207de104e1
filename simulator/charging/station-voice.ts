/**
 * What a simulated charge point says and is told, in the words of no version of OCPP.
 *
 * Promise: nothing here but shapes; station-16.ts and station-2.ts say the same in their versions.
 */
import type { HeldProfile } from "./charging-limits.ts";

/** What its meter shows, and when. */
export interface ShownMeter {
  /** Milliwatt-hours, as its register shows them. */
  readonly energyMilliwattHours: number;
  readonly powerMilliwatts: number;
  /** Unix seconds by the charge point's clock. */
  readonly atSeconds: number;
}

export type PlugState = "available" | "plugged" | "charging" | "suspended" | "finishing";

/** A transaction as its charge point knows it; in 1.6 its id comes with the answer. */
export interface RunningTransaction {
  id: string | null;
  /** Events of 2.x are numbered. */
  sequence: number;
  readonly idTag: string;
  readonly remoteStartId: number | null;
}

export interface StationVoice {
  boot(answered: (currentSeconds: number) => void): void;
  heartbeat(): void;
  status(connector: number, state: PlugState): void;
  authorize(idTag: string, answered: (accepted: boolean) => void): void;
  began(transaction: RunningTransaction, shown: ShownMeter, answered: (accepted: boolean) => void): void;
  report(transaction: RunningTransaction, shown: ShownMeter): void;
  ended(transaction: RunningTransaction, shown: ShownMeter, reason: EndReason): void;
}

export type EndReason = "remote" | "unplugged" | "reboot" | "energy-limit" | "refused";

/** What a voice finds in the messages that arrive. */
export interface StationOrders {
  setProfile(profile: HeldProfile): boolean;
  /** Milliwatts of a rate. */
  milliwattsOf(rate: number, unit: string): number;
  stationSeconds(): number;
  start(idTag: string, remoteStartId: number | null): boolean;
  stop(transactionId: string): boolean;
  setInterval(seconds: number): void;
  askedReport(): boolean;
  /** 2.1: what the transaction may deliver in all, milliwatt-hours. */
  limitTransaction(milliwattHours: number): void;
  showCost(cost: number): void;
}

/** How a meter's values are written. */
export interface MeterForm {
  readonly byPhases: boolean;
  readonly unit: "Wh" | "kWh";
}

/** Sends one call; the queue behind it keeps what must not be lost. */
export type Say = (
  method: string,
  params: () => Readonly<Record<string, unknown>>,
  kept: boolean,
  answered?: (answer: Readonly<Record<string, unknown>> | null) => void,
) => void;

export type StationHandlers = Readonly<Record<string, (params: never) => Readonly<Record<string, unknown>>>>;

export function isoOf(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString();
}

/** The values of one report: register and power, in all or by phases. */
export function valuesOf(shown: ShownMeter, { byPhases, unit }: MeterForm) {
  const energy = shown.energyMilliwattHours / (unit === "kWh" ? 1e6 : 1000);
  const power = shown.powerMilliwatts / (unit === "kWh" ? 1e6 : 1000);
  const digits = unit === "kWh" ? 6 : 0;
  const phases = byPhases ? ["L1", "L2", "L3"] : [undefined];
  // A register shows what is full.
  const scale = 10 ** (phases.length === 3 ? digits + 3 : digits);
  const one = (measurand: string, value: number, of: string, phase: string | undefined) => ({
    value: Math.floor((value / phases.length) * scale) / scale,
    measurand,
    unit: of,
    ...(phase === undefined ? {} : { phase }),
  });
  return phases.flatMap((phase) => [
    one("Energy.Active.Import.Register", energy, unit, phase),
    one("Power.Active.Import", power, unit === "kWh" ? "kW" : "W", phase),
  ]);
}
