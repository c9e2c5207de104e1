/**
 * A register map of the installer's own, that travels on the card to the board.
 *
 * Promise: it was checked by the reader that the device uses, and lies on the card byte for byte.
 */

import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import { openRegisterMap } from "../../meters/modbus/map-table.ts";
import { METER_KINDS } from "../../meters/settings.ts";

/** Its name on the card and on the board, whatever the installer calls it. */
export const MAP_FILE = "meter-map.json";

/** Where the installer's script puts it. */
export const MAP_PLACE = `/etc/watt402/${MAP_FILE}`;

export interface OwnMap {
  /** What `--meter` calls it. */
  readonly name: string;
  /** Address that the meter has when it leaves the factory. */
  readonly slave: number;
  readonly text: string;
}

/** @throws one line for each fault of the map */
export function readOwnMap(file: string): OwnMap {
  if (!file.endsWith(".json"))
    throw new Watt402Error("file-invalid", `expected a register map, a .json file, found "${file}"`);
  const { name, slave } = openRegisterMap(file);
  if (Object.hasOwn(METER_KINDS, name)) {
    throw new Watt402Error(
      "file-invalid",
      `register map "${file}": name: expected one that is no kind of meter, found "${name}"`,
    );
  }
  return { name, slave, text: readText(file) };
}
