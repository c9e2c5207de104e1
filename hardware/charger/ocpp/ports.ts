/**
 * A charge point in the words of no version of OCPP: what it says, and what it can be told.
 *
 * Promise: nothing here but shapes. ocpp16.ts and ocpp2.ts translate; charger.ts decides and knows no message.
 */
import type { MeterValue } from "../metering/sampled-values.ts";

export const VERSIONS = ["1.6", "2.0.1", "2.1"] as const;
export type OcppVersion = (typeof VERSIONS)[number];

export interface Station {
  readonly vendor: string;
  readonly model: string;
  readonly serial: string | null;
  readonly firmware: string | null;
}

export interface ConnectorStatus {
  /** connectorId of 1.6, EVSE of 2.x; 0 is the charge point itself. */
  readonly connector: number;
  /** Null where the status does not say it: unavailable, reserved. */
  readonly plugged: boolean | null;
  /** The charge point's word, for people. */
  readonly word: string;
  readonly faulted: boolean;
  /** By the charge point's own clock; NaN where it does not say it. */
  readonly atSeconds: number;
}

/** Why a transaction ended. One that was only stopped may be begun again from here. */
export type TransactionEnd = "stopped" | "by-driver" | "car-gone";

export interface StationSample {
  readonly connector: number;
  readonly transactionId: string | null;
  readonly atSeconds: number;
  /** True for the value that a transaction began with. */
  readonly begins: boolean;
  readonly value: MeterValue;
}

export interface TransactionStart {
  readonly connector: number;
  readonly idTag: string | null;
  /** Null in 1.6, where this side gives it. */
  readonly transactionId: string | null;
}

/** What a charge point says. Each call is one message, in the order in which they came. */
export interface StationEvents {
  booted(station: Station): void;
  /** The charge point's own time. @param certain in a message that is never queued or late */
  clockSeen(atSeconds: number, certain: boolean): void;
  status(status: ConnectorStatus): void;
  /** Whether who shows this card may charge. */
  authorizes(idTag: string): boolean;
  /** Answers with the transaction's id, and whether it may go on. */
  started(start: TransactionStart): { readonly transactionId: string; readonly accepted: boolean };
  sampled(sample: StationSample): void;
  /** @param atSeconds when, by the charge point's own clock */
  ended(transactionId: string, end: TransactionEnd, atSeconds: number): void;
  /** What the car itself asked for (ISO 15118). */
  wished(energyMilliwattHours: number | null, readyBySeconds: number | null): void;
  /** What the transaction may deliver in all, milliwatt-hours; null for a transaction that is not known. */
  transactionLimit(transactionId: string): number | null;
  /** What the transaction costs so far, whole currency; null while nothing is known. */
  costSoFar(transactionId: string): number | null;
}

/** Cost so far, for the charge point's display. */
export interface CostShown {
  readonly cost: number;
  readonly pricePerKilowattHour: number;
  readonly energyMilliwattHours: number;
  readonly charging: boolean;
  /** True for the last one of its transaction. */
  readonly final: boolean;
}

/** What a charge point can be told. Each resolves with whether it accepted, and rejects when it did not answer. */
export interface StationCommands {
  readonly version: OcppVersion;
  /** Sets report interval and measurands; resolves with what was refused, in words. */
  configure(reportSeconds: number): Promise<readonly string[]>;
  /** What flows without any other limit, on every connector. */
  setDefault(milliwatts: number): Promise<boolean>;
  /** For the transaction, from now on and for so long; without a duration until further notice. */
  setLimit(transactionId: string, milliwatts: number, durationSeconds: number | null): Promise<boolean>;
  start(): Promise<boolean>;
  stop(transactionId: string): Promise<boolean>;
  showCost(transactionId: string, shown: CostShown): Promise<boolean>;
  askReport(): Promise<boolean>;
}

/** One version spoken with one charge point. */
export interface Dialect {
  readonly commands: StationCommands;
  /** Answers by method; a method without one is not implemented here, and the charge point is told so. */
  readonly answers: Readonly<Record<string, (params: never) => Readonly<Record<string, unknown>>>>;
}

/** What a dialect needs of the connection. */
export interface DialectParts {
  readonly call: (method: string, params: Readonly<Record<string, unknown>>) => Promise<unknown>;
  readonly events: StationEvents;
  readonly connector: number;
  readonly rateUnit: "A" | "W";
  /** Of one ampere on all phases, milliwatts. */
  readonly milliwattsPerAmp: number;
  readonly phases: number;
  readonly heartbeatSeconds: number;
  /** Unix seconds, by this side's clock. */
  readonly now: () => number;
  /** Unix seconds, as the charge point's own clock shows them. */
  readonly stationNow: () => number;
}

/** When the default limit begins: in the past of every clock, that of one which never was told the time, too. */
export const DEFAULT_FROM = "1970-01-01T00:00:00Z";

/** The id under which transactions are started from here. */
export const OWN_ID_TAG = "watt402";

export function isoTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString();
}

/** Unix seconds of a message's time; NaN when it is none. */
export function secondsOf(time: string): number {
  return Date.parse(time) / 1000;
}

/** A limit in the charge point's unit, never above what was asked. */
export function rateOf(milliwatts: number, { rateUnit, milliwattsPerAmp }: DialectParts): number {
  if (rateUnit === "W") return Math.floor(milliwatts / 1000);
  return Math.floor((milliwatts * 10) / milliwattsPerAmp + 1e-6) / 10;
}

/** @param byDriver the version's reasons after which a transaction is not begun again */
export function endOf(reason: string, byDriver: readonly string[]): TransactionEnd {
  if (reason === "EVDisconnected") return "car-gone";
  return byDriver.includes(reason) ? "by-driver" : "stopped";
}
