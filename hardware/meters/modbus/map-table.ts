/**
 * The register maps that come with this package, and those that an installer wrote.
 *
 * Promise: a map by name or by file is checked the same way before a meter is asked anything.
 */

import { cut, shown } from "#node/config/shown";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import pzem004t from "../maps/pzem-004t.json" with { type: "json" };
import sdm72d from "../maps/sdm72d.json" with { type: "json" };
import sdm120 from "../maps/sdm120.json" with { type: "json" };
import sdm230 from "../maps/sdm230.json" with { type: "json" };
import sdm630 from "../maps/sdm630.json" with { type: "json" };
import { type RegisterMap, readRegisterMap } from "./register-map.ts";

const SHIPPED: readonly { readonly name: string; readonly title: string }[] = [
  sdm120,
  sdm230,
  sdm630,
  sdm72d,
  pzem004t,
];

/** Names and titles of the maps that come with this package. */
export function shippedMaps(): readonly { readonly name: string; readonly title: string }[] {
  return SHIPPED.map(({ name, title }) => ({ name, title }));
}

/**
 * @param nameOrFile a shipped map's name, or the path of a file that ends in .json
 * @throws one line for each fault, or one that lists the maps there are
 */
export function openRegisterMap(nameOrFile: string): RegisterMap {
  if (nameOrFile.endsWith(".json")) return readRegisterMap(parse(nameOrFile), nameOrFile);
  const shipped = SHIPPED.find(({ name }) => name === nameOrFile);
  if (shipped !== undefined) return readRegisterMap(shipped, nameOrFile);
  const names = SHIPPED.map(({ name }) => name).join(", ");
  throw new Watt402Error(
    "file-invalid",
    `meter.driver.map: expected ${names}, or a .json file; found ${shown(nameOrFile)}`,
  );
}

function parse(file: string): unknown {
  const name = `register map "${file}"`;
  const text = readText(file, name);
  try {
    return parseJson(text);
  } catch (error) {
    throw new Watt402Error(
      "file-invalid",
      `${name}: expected JSON, found ${cut((error as Error).message, 120)}`,
    );
  }
}
