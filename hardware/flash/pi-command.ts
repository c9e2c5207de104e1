/**
 * `watt402-flash pi`: writes what a Raspberry Pi reads at its first boot.
 *
 * Promise: on a terminal it asks for what was not said; with --json it asks nothing and answers in one
 * document. Nothing is written before all of it was checked.
 */

import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Command } from "commander";
import { Watt402Error } from "#payment/watt402-error";
import { buildPackage } from "../package/debian.ts";
import type { PackageFile } from "./card/card.ts";
import { flashLights, type Light } from "./flash-lights.ts";
import { type Row, readLights } from "./order/csv-lights.ts";
import { FIELDS, type FieldName, type Fields, SECRETS } from "./order/fields.ts";
import { type Order, readOrder } from "./order/order.ts";
import { nextSteps, outcomeLines } from "./order/order-text.ts";
import { lampNames, meterNames } from "./order/part-choice.ts";
import { askFields, askOut } from "./order/questions.ts";

interface Options {
  readonly out?: string;
  readonly csv?: string;
  readonly light?: string;
  readonly package?: string;
  readonly wifiPasswordFile?: string;
  readonly brokerPasswordFile?: string;
  readonly set?: readonly string[];
  readonly provisionKey?: true;
  readonly force?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

export function piCommand(): Command {
  const command = new Command("pi").option(
    "--out <dir>",
    "the card's boot partition as it is mounted, or a folder; with --csv a folder of folders",
  );
  const isSecret = (name: FieldName) => SECRETS.some((secret) => secret === name);
  for (const { name, about, shape } of FIELDS.filter(({ name }) => !isSecret(name))) {
    command.option(`--${name} ${shape}`, about);
  }
  return command
    .option("--wifi-password-file <file>", "file of the Wi-Fi password, one line")
    .option("--broker-password-file <file>", "file of the light's password at its broker, one line")
    .option("--set <key=value>", "any key of device.toml, as policy.daily_budget_atomic=200000", collect)
    .option("--csv <file>", "many lights: a line of these names as columns, a line for each light")
    .option("--light <hostname>", "with --csv: this one alone, straight to --out")
    .option("--provision-key", "make the light's key here, so that its address is known now")
    .option("--package <file>", "the .deb to put on the card; without it one is built from this tree")
    .option("--force", "replace files of others, keeping a copy of each")
    .option("--dry-run", "say what would be written, and write nothing")
    .option("--json", "one JSON document; asks nothing")
    .addHelpText("after", () => `\nMeters: ${meterNames().join(", ")}\nLamps: ${lampNames().join(", ")}`)
    .action((options: Options) => run(options, fieldsOf(options)));
}

function collect(setting: string, before: readonly string[] = []): readonly string[] {
  return [...before, setting];
}

async function run(options: Options, given: Fields): Promise<void> {
  const asks = process.stdin.isTTY && process.stdout.isTTY && !options.json;
  const out = options.out ?? (asks ? await askOut() : null);
  if (out === null)
    throw new Watt402Error(
      "config-invalid",
      "--out: expected the card's boot partition or a folder, found none",
    );
  if (options.light !== undefined && options.csv === undefined) {
    throw new Watt402Error("config-invalid", "--light: expected it beside --csv, found it alone");
  }
  const lights =
    options.csv === undefined
      ? [{ order: orderOf(await complete(given, asks)), out }]
      : lightsOf(options.csv, readLights(options.csv, given), out, options.light ?? null);
  const debian = await packageFor(options);
  const dryRun = options.dryRun === true;
  const flashed = flashLights(lights, debian, {
    provisionKey: options.provisionKey === true,
    force: options.force === true,
    dryRun,
  });
  if (options.json) {
    const document = { dryRun, lights: flashed.map((light) => ({ ...light, next: nextSteps(light) })) };
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  } else {
    process.stdout.write(`${flashed.flatMap((light) => outcomeLines(light, dryRun)).join("\n")}\n`);
  }
}

/** Asks for what is missing, when somebody is there to answer. */
async function complete(given: Fields, asks: boolean): Promise<Fields> {
  const missing = FIELDS.some(({ name, fallback }) => fallback === null && given.values[name] === undefined);
  return asks && missing ? askFields(given) : given;
}

function orderOf(fields: Fields): Order {
  const result = readOrder(fields);
  if ("order" in result) return result.order;
  throw new Watt402Error(
    "config-invalid",
    result.faults.map(({ field, text }) => `--${field}: ${text}`).join("\n"),
  );
}

/** Every line of the CSV checked. Throws all faults of all lines. */
function lightsOf(file: string, rows: readonly Row[], out: string, only: string | null): Light[] {
  const faults: string[] = [];
  const lineOf = new Map<string, number>();
  const lights: Light[] = [];
  for (const { line, fields, location } of rows) {
    const result = readOrder(fields);
    if ("faults" in result) {
      for (const { field, text } of result.faults)
        faults.push(`${file}: line ${line}, ${location(field)}: ${text}`);
      continue;
    }
    const { hostname } = result.order.login;
    const before = lineOf.get(hostname);
    if (before !== undefined) {
      faults.push(
        `${file}: line ${line}, ${location("hostname")}: expected a name of its own, found that of line ${before}`,
      );
    }
    lineOf.set(hostname, line);
    if (only === null) lights.push({ order: result.order, out: join(out, hostname) });
    else if (hostname === only) lights.push({ order: result.order, out });
  }
  if (faults.length > 0) throw new Watt402Error("config-invalid", faults.join("\n"));
  if (lights.length === 0)
    throw new Watt402Error(
      "config-invalid",
      `--light: expected a hostname in ${file}, found none named "${only}"`,
    );
  return lights;
}

function fieldsOf(options: Options): Fields {
  const { set = [], wifiPasswordFile, brokerPasswordFile } = options;
  const given: Readonly<Record<string, unknown>> = { ...options };
  const values: Partial<Record<FieldName, string>> = {};
  for (const { name } of FIELDS) {
    const value = given[name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
    if (typeof value === "string") values[name] = value;
  }
  for (const [name, file] of [
    ["wifi-password", wifiPasswordFile],
    ["broker-password", brokerPasswordFile],
  ] as const) {
    if (file !== undefined)
      values[name] = fileText(`--${name}-file`, file)
        .toString()
        .replace(/\r?\n$/, "");
  }
  const settings = set.map((text) => {
    const at = text.indexOf("=");
    if (at < 1) throw new Watt402Error("config-invalid", `--set: expected key=value, found "${text}"`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
  return { values, set: Object.fromEntries(settings) as Record<string, string> };
}

async function packageFor(options: Options): Promise<PackageFile> {
  if (options.package === undefined) return buildPackage("all", process.env);
  const fileName = basename(options.package);
  if (!/^watt402-device_[A-Za-z0-9.+~-]+_(all|arm64)\.deb$/.test(fileName)) {
    throw new Watt402Error(
      "config-invalid",
      `--package: expected watt402-device_<version>_all.deb, found ${fileName}`,
    );
  }
  return { fileName, content: fileText("--package", options.package) };
}

function fileText(option: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `${option}: expected a readable file, found ${(error as NodeJS.ErrnoException).code}: ${file}`,
    );
  }
}
