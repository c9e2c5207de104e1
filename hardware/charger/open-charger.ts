/**
 * From the `[charger]` table of a device's configuration to the charge point that connects by it.
 *
 * Promise: a table with a fault in it, a purchase that is too small to keep a charge point within what is paid, and a
 * password or certificate that cannot be read are refused before anything is opened. When it cannot listen, that is the
 * load's trouble.
 */
import { join } from "node:path";
import type { Clock } from "#core/ports";
import { readText } from "#node/config/text-file";
import { readPrivate } from "#node/journal/private-file";
import { Watt402Error } from "#payment/watt402-error";
import { Charger } from "./charger.ts";
import { quantumFault } from "./limits/smallest-quantum.ts";
import { fileStore, memoryStore } from "./metering/kept-charger.ts";
import type { CentralSystem } from "./ocpp/central-system.ts";
import type { DialectParts, StationCommands } from "./ocpp/ports.ts";
import { type ChargerSettings, readChargerSettings } from "./settings.ts";

/** A password of OCPP has at most 64 characters, or 40 in 1.6. */
const PASSWORD_BYTES_MAX = 256;

const HEARTBEAT_SECONDS = 300;

export interface ChargerContext {
  readonly clock: Clock;
  /** What one purchase should last for, metered units. */
  readonly wantedUnits: number;
  /** Where its register is kept; null keeps it in memory. */
  readonly stateDirectory: string | null;
  /** Called before and after each call to the charge point. */
  readonly onWait?: (waits: boolean) => void;
}

export interface OpenedCharger {
  readonly charger: Charger;
  readonly settings: ChargerSettings;
  /** To be called once. Resolves with the port on which it listens; null when it could not. */
  listen(): Promise<number | null>;
}

/** Checks the table and what it names, and opens nothing. @throws one line for each fault */
export function checkCharger(table: Readonly<Record<string, unknown>>, wantedUnits: number): ChargerSettings {
  const settings = readChargerSettings(table);
  const fault = quantumFault(wantedUnits, settings.times);
  if (fault !== null) throw new Watt402Error("config-invalid", `meter.wanted_units: ${fault}`);
  passwordOf(settings);
  tlsOf(settings);
  return settings;
}

/** @throws one line for each fault of the table */
export function openCharger(
  table: Readonly<Record<string, unknown>>,
  { clock, wantedUnits, stateDirectory, onWait }: ChargerContext,
): OpenedCharger {
  const settings = checkCharger(table, wantedUnits);
  const file = `charger-${Buffer.from(settings.identity).toString("hex").slice(0, 96)}.json`;
  const store = stateDirectory === null ? memoryStore() : fileStore(join(stateDirectory, file));
  const charger = new Charger({ settings, clock, store });
  const { host, port, identity } = settings;
  const parts = {
    host,
    port,
    identity,
    password: passwordOf(settings),
    tls: tlsOf(settings),
    clock,
    dialect: dialectPartsOf(charger, settings),
    onStation: (commands: StationCommands | null) => charger.station(commands),
    onOddity: charger.oddities.note,
    onWait,
  };
  const listen = async () => {
    const opening = openServer(parts);
    charger.opened(() =>
      opening.then(
        (server) => server.close(),
        () => {},
      ),
    );
    try {
      return (await opening).port;
    } catch (error) {
      charger.openFailed((error as Error).message);
      return null;
    }
  };
  return { charger, settings, listen };
}

/** What a charger's side of OCPP needs, whatever carries it. */
export function dialectPartsOf(
  { conversation }: Charger,
  { connector, phases, volts, rate_unit }: ChargerSettings,
): Omit<DialectParts, "call"> {
  return {
    events: conversation,
    connector,
    rateUnit: rate_unit,
    milliwattsPerAmp: phases * volts * 1000,
    phases,
    heartbeatSeconds: HEARTBEAT_SECONDS,
    now: () => conversation.wallSeconds(),
    stationNow: () => conversation.stationSeconds(),
  };
}

/** `ocpp-rpc` and its schemas are loaded by devices that have a charge point alone. */
async function openServer(
  parts: Parameters<typeof import("./ocpp/central-system.ts").openCentralSystem>[0],
): Promise<CentralSystem> {
  const { openCentralSystem } = await import("./ocpp/central-system.ts");
  return await openCentralSystem(parts);
}

function passwordOf({ password_file }: ChargerSettings): Buffer | null {
  if (password_file === undefined) return null;
  const text = readPrivate(
    password_file,
    "charge point's password",
    PASSWORD_BYTES_MAX,
    "change the password",
  );
  const password = text?.replace(/\r?\n$/, "") ?? "";
  if (password !== "") return Buffer.from(password);
  throw new Watt402Error(
    "file-invalid",
    `charger.password_file: expected a password in ${password_file}, found ${text === null ? "no file" : "none"}`,
  );
}

function tlsOf({ tls }: ChargerSettings): { readonly cert: string; readonly key: string } | null {
  if (tls === undefined) return null;
  const key = readPrivate(tls.key_file, "key", 65_536, "make a new one");
  if (key !== null) return { cert: readText(tls.cert_file, "charger.tls.cert_file"), key };
  throw new Watt402Error(
    "file-inaccessible",
    `charger.tls.key_file: expected ${tls.key_file}, found no file`,
  );
}
