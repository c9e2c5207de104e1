/**
 * What is known of a charge point after a restart of this side: its register, its last transaction, its disobedience.
 *
 * Promise: it is durable before it is relied on: a transaction's beginning and end and a disobedience are stored at once,
 * a register that runs on for ever needs no more than that; what was stored last is whole after a power cut.
 */
import { readFileSync } from "node:fs";
import { isCounter } from "#core/units";
import { writeOver } from "#node/journal/private-file";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { type EnergyRegister, NEW_ENERGY_REGISTER, TRACKS_MAX } from "./energy-register.ts";

export interface KeptCharger {
  readonly register: EnergyRegister;
  /** Ids of 1.6 are this side's to give, each once. */
  readonly lastTransaction: number;
  readonly excessMilliwattHours: number;
  readonly disobeys: boolean;
}

/** Where it is kept. */
export interface ChargerStore {
  load(): KeptCharger;
  /** Why it could not be stored, in one line, or null. */
  save(kept: KeptCharger): string | null;
}

/** As durable as the process. */
export function memoryStore(): ChargerStore {
  let stored = NEW_CHARGER;
  return {
    load: () => stored,
    save: (kept) => {
      stored = kept;
      return null;
    },
  };
}

/** The file that it is kept in. */
export interface KeptFile {
  /** Null when there is none. */
  read(): string | null;
  /** Durable and whole when it returns. @throws when it is not */
  write(text: string): void;
}

/** @param file its name, for what is said */
export function fileStore(file: string, kept: KeptFile = diskFile(file)): ChargerStore {
  return {
    load: () => {
      const text = kept.read();
      return text === null ? NEW_CHARGER : readKeptCharger(text, file);
    },
    save: (charger) => {
      try {
        kept.write(`${JSON.stringify(charger)}\n`);
        return null;
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        return `${file}: expected to store the charge point's register, found ${code ?? message}; free or repair the disk`;
      }
    },
  };
}

const NEW_CHARGER: KeptCharger = {
  register: NEW_ENERGY_REGISTER,
  lastTransaction: 0,
  excessMilliwattHours: 0,
  disobeys: false,
};

function diskFile(file: string): KeptFile {
  return {
    read: () => {
      try {
        return readFileSync(file, "utf8");
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "ENOENT") return null;
        throw new Watt402Error("file-inaccessible", `${file}: expected a readable file, found ${code}`);
      }
    },
    write: (text) => writeOver(file, text),
  };
}

/** @throws one line when it is not what was stored */
function readKeptCharger(text: string, file: string): KeptCharger {
  const kept = parse(text);
  if (kept !== null) return kept;
  throw new Watt402Error(
    "file-invalid",
    `${file}: expected a charge point's register, found ${JSON.stringify(text.slice(0, 40))}; remove it to begin anew`,
  );
}

function parse(text: string): KeptCharger | null {
  try {
    const { register, lastTransaction, excessMilliwattHours, disobeys } = parseJson(text) as KeptCharger;
    const right =
      isCounter(register.total) &&
      register.tracks.length <= TRACKS_MAX &&
      register.tracks.every(({ key, raw }) => typeof key === "string" && isCounter(raw)) &&
      isCounter(lastTransaction) &&
      isCounter(excessMilliwattHours) &&
      typeof disobeys === "boolean";
    if (!right) return null;
    const { left = null, countsAnew = false } = register;
    const isLeft = left === null || (isCounter(left.raw) && isCounter(left.total));
    if (!isLeft) return null;
    const read = { ...register, doubted: null, left, countsAnew };
    return { register: read, lastTransaction, excessMilliwattHours, disobeys };
  } catch {
    return null;
  }
}
