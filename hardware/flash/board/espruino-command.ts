/**
 * `watt402-flash espruino`: puts the light onto an ESP32 or another board that runs Espruino.
 *
 * Promise: everything is built, linted and held against the board's budget before the first byte goes out; a
 * key that is there is never replaced. Onto a board through the `espruino` CLI, or into a folder.
 */

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { loadConfig } from "#node/config/device-config";
import { fromHex, type Hex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import { BOARDS, type BoardBudget, budgetFaults, budgetOf } from "../../espruino/build/boards.ts";
import type { BoardProgram } from "../../espruino/build/bundle.ts";
import { faultLine } from "../../espruino/build/lint.ts";
import { lightProgram } from "../../espruino/build/program.ts";
import { FILES } from "../../espruino/parts.ts";
import { type BoardOrder, boardFiles } from "../../espruino/provision.ts";
import { boardFileOf } from "./board-order.ts";
import { BOARD_LAMPS, BOARD_METERS, readBoardLamp, readBoardMeter } from "./board-parts.ts";
import { uploadToBoard } from "./board-upload.ts";

interface Options {
  readonly config: string;
  readonly board: keyof typeof BOARDS;
  readonly meter: string;
  readonly lamp: string;
  readonly key: string;
  readonly time?: string;
  readonly wifiSsid?: string;
  readonly wifiPasswordFile?: string;
  readonly firstNight?: string;
  readonly port?: string;
  readonly out?: string;
  readonly dryRun?: true;
  readonly json?: true;
}

/** The program as the board keeps it: in its firmware's tokens. */
const PROGRAM_FILE = "bootcde.bin";
/** The same in letters, for an editor that sends it. */
const LETTERS_FILE = "light.js";
const FIRST_NIGHT_RUNGS_MAX = 2000;

export function espruinoCommand(): Command {
  return new Command("espruino")
    .requiredOption("--config <file>", "the light's device.toml: gateway, policy, plan, lamp's rating")
    .addOption(new Option("--board <name>", "the board").choices(Object.keys(BOARDS)).default("esp32"))
    .option(
      "--meter <part>",
      `one of ${BOARD_METERS.join(", ")}, with its keys: "pulse,pin=D18,impulses=1000"`,
      "simulated",
    )
    .option("--lamp <part>", `one of ${BOARD_LAMPS.join(", ")}, with its keys: "relay,pin=D5"`, "simulated")
    .requiredOption("--key <file>", "the light's key, 0x and 64 hex digits; made when there is no such file")
    .option(
      "--time <host[:port]>",
      "any HTTP server, whose Date header gives the time; else the gateway's host",
    )
    .option("--wifi-ssid <name>", "Wi-Fi network")
    .option("--wifi-password-file <file>", "file of its password, one line")
    .option(
      "--first-night <id,charged,quantum,rungs>",
      "sign the first night's rungs here: channel id, and atomic units",
    )
    .option("--port <port>", "the board: /dev/ttyUSB0, COM3 or tcp://host")
    .option("--out <dir>", "or write the program and the board's files here")
    .option("--dry-run", "say what would be put where, and touch nothing")
    .option("--json", "one JSON document")
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { port, out, dryRun } = options;
  if ((port === undefined) === (out === undefined) && !dryRun) {
    throw new Watt402Error(
      "config-invalid",
      `expected either --port or --out, found ${port === undefined ? "neither" : "both"}`,
    );
  }
  const board = BOARDS[options.board];
  const file = boardFileOf(loadConfig(options.config), {
    board,
    meter: readBoardMeter(options.meter, board),
    lamp: readBoardLamp(options.lamp, board),
    network: networkOf(options),
    time: timeOf(options),
  });
  const firstNight = options.firstNight === undefined ? null : readFirstNight(options.firstNight);
  const built = await lightProgram(file.meter.kind, file.lamp.kind);
  if (built.faults.length > 0)
    throw new Watt402Error("config-invalid", built.faults.map(faultLine).join("\n"));
  const secret = secretIn(options.key, dryRun === true);
  const key = openKey(secret);
  const gatewayPublicKey = fromHex(loadConfig(options.config).gateway.publicKey as Hex);
  const files = boardFiles({ key, secret, gatewayPublicKey, file, firstNight });
  const sizes = [...files].map(([name, bytes]) => [name, bytes.length] as const);
  const budget = budgetOf(board, [built.image.length, ...sizes.map(([, bytes]) => bytes)]);
  const faults = budgetFaults(board, budget);
  if (faults.length > 0) throw new Watt402Error("config-invalid", faults.join("\n"));
  if (!dryRun && out !== undefined) writeFiles(out, built, files);
  if (!dryRun && port !== undefined) await uploadToBoard({ port, board, image: built.image, files });
  report(options, key.address, built.image.length, sizes, budget);
}

function networkOf({ wifiSsid, wifiPasswordFile }: Options) {
  if (wifiSsid === undefined) return { kind: "none" } as const;
  const password = wifiPasswordFile === undefined ? "" : textOf("--wifi-password-file", wifiPasswordFile);
  return { kind: "wifi", ssid: wifiSsid, password: password.replace(/\r?\n$/, "") } as const;
}

function timeOf({ time, config }: Options): { readonly host: string; readonly port: number } {
  const text = time ?? new URL(loadConfig(config).gateway.brokerUrl).hostname;
  const [, host, port] = /^([A-Za-z0-9.-]{1,253})(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host !== undefined) return { host, port: Number(port ?? 80) };
  throw new Watt402Error("config-invalid", `--time: expected a host and perhaps a port, found "${text}"`);
}

function readFirstNight(text: string): NonNullable<BoardOrder["firstNight"]> {
  const [channelId, ...numbers] = text.split(",");
  const [base, quantumAtomic, rungs] = numbers.map((part) => (/^\d{1,15}$/.test(part) ? Number(part) : -1));
  const isWhole = /^0x[0-9a-f]{64}$/.test(channelId ?? "") && numbers.length === 3;
  if (isWhole && base! >= 0 && quantumAtomic! >= 1 && rungs! >= 1 && rungs! <= FIRST_NIGHT_RUNGS_MAX) {
    return { channelId: channelId!, base: base!, quantumAtomic: quantumAtomic!, rungs: rungs! };
  }
  throw new Watt402Error(
    "config-invalid",
    `--first-night: expected channel id, charged, quantum and 1..${FIRST_NIGHT_RUNGS_MAX} rungs, found "${text}"`,
  );
}

/** The key's 32 bytes; a new one from the kernel's randomness is written before it is used. */
function secretIn(file: string, dryRun: boolean): Uint8Array {
  if (!existsSync(file)) {
    const secret = new Uint8Array(randomBytes(32));
    if (!dryRun)
      writeFileSync(file, `0x${Buffer.from(secret).toString("hex")}\n`, { mode: 0o600, flag: "wx" });
    return secret;
  }
  const text = textOf("--key", file).trim();
  if (/^0x[0-9a-fA-F]{64}$/.test(text)) return fromHex(text as Hex);
  throw new Watt402Error(
    "file-invalid",
    `--key: expected 0x and 64 hex digits in ${file}, found something else`,
  );
}

function textOf(option: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `${option}: expected a readable file, found ${(error as NodeJS.ErrnoException).code}: ${file}`,
    );
  }
}

function writeFiles(
  out: string,
  { image, code }: BoardProgram,
  files: ReadonlyMap<string, Uint8Array>,
): void {
  mkdirSync(out, { recursive: true });
  for (const [name, bytes] of files) writeFileSync(join(out, name), bytes, { mode: 0o600 });
  writeFileSync(join(out, PROGRAM_FILE), image, "latin1");
  writeFileSync(join(out, LETTERS_FILE), code);
}

function report(
  { board, port, out, dryRun, json }: Options,
  address: string,
  programBytes: number,
  files: readonly (readonly [string, number])[],
  budget: BoardBudget,
): void {
  if (json) {
    const all = Object.fromEntries(files);
    const document = { dryRun: dryRun === true, board, address, programBytes, files: all, ...budget };
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
    return;
  }
  const lines = [
    `${BOARDS[board].title}: light ${address}`,
    `  ${dryRun ? "would go" : "went"} to ${port ?? out ?? "nowhere yet: say --port or --out"}`,
    `  program ${programBytes} bytes, ${files.map(([name, bytes]) => `${name} ${bytes}`).join(", ")}`,
    `  flash ${budget.flashBytes} of ${budget.flashBytesMax} bytes`,
    `  memory about ${budget.variables} of at most ${budget.variablesMax} variables`,
    `  ladder of up to ${budget.rungsMax} rungs`,
    ...(out === undefined ? [] : [`  ${FILES.secrets} and the key's file are secrets`]),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
