/**
 * The scenario that a run asked for, by the name of one that is shipped or by its file.
 */

import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { shown } from "#node/config/shown";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import { readScenario, type Scenario } from "./scenario.ts";

const SHIPPED = fileURLToPath(new URL("../scenarios/", import.meta.url));

/** Names of the scenarios that are shipped, in alphabetical order. */
export function shippedScenarios(): string[] {
  return readdirSync(SHIPPED)
    .filter((file) => file.endsWith(".toml"))
    .map((file) => basename(file, ".toml"))
    .sort();
}

/** Throws one line: no such scenario, or what is wrong in it. */
export function openScenario(nameOrFile: string): Scenario {
  const shipped = join(SHIPPED, `${nameOrFile}.toml`);
  const file = /^[a-z0-9-]+$/.test(nameOrFile) && existsSync(shipped) ? shipped : nameOrFile;
  if (!existsSync(file)) {
    throw new Watt402Error(
      "not-found",
      `scenario: expected a file or one of ${shippedScenarios().join(", ")}, found ${shown(nameOrFile)}`,
    );
  }
  const scenario = readScenario(readText(file, basename(file)), basename(file), basename(file, ".toml"));
  const { tariff } = scenario.run;
  if (tariff === undefined) return scenario;
  return { ...scenario, run: { ...scenario.run, tariff: besideFile(tariff, dirname(file)) } };
}

/** A tariff's file is meant relative to the scenario that names it. */
function besideFile(tariff: string, folder: string): string {
  const colon = tariff.indexOf(":");
  const [kind, path] = [tariff.slice(0, colon), tariff.slice(colon + 1)];
  if ((kind !== "csv" && kind !== "tou") || isAbsolute(path)) return tariff;
  return `${kind}:${join(folder, path)}`;
}
