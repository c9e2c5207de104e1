/**
 * The register maps that come with this package, and those that an installer wrote.
 *
 * Promise: a map by name or by file is judged the same way before a meter is asked anything.
 */

import { readFileSync } from "node:fs";
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
  throw new Error(`meter.driver.map: expected ${names}, or a .json file; found "${nameOrFile}"`);
}

function parse(file: string): unknown {
  try {
    return parseJson(readFileSync(file, "utf8"));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`register map "${file}": expected a readable JSON file, found ${code ?? message}`);
  }
}
