/**
 * The way onto a board: through the `espruino` CLI, over a serial line or the network.
 *
 * Promise: it has ended well when the board itself says that every file lies in its flash byte for byte. The
 * CLI ends with code 0 whatever happened, so the board is asked before and after: which firmware it runs,
 * what room it has, and what it holds. What it holds already is not sent again.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { type BoardKind, flashBytesOf } from "../../espruino/build/boards.ts";

/** Oldest firmware that the light was run on. */
const FIRMWARE_MIN: readonly [major: number, minor: number] = [2, 29];

/** Name under which a board keeps the program that it runs when it starts. */
const BOOT_FILE = ".bootcde";

/** What did not arrive whole is sent again: a serial line has no check of its own. */
const UPLOAD_TRIES = 2;

const ASK_MS = 60_000;
const UPLOAD_MS = 600_000;

/** The CLI never ends after an expression that is not longer than one of its blocks. */
const BLOCK_BYTES = 512;

/** A light that works may miss a character of the question. */
const ASK_TRIES = 3;

const CANNOT_OPEN = /Unable to connect|RECEIVE ERROR|annot open/;

/** How much of what the CLI said is looked at. */
const SAID_MAX = 20_000;

interface Upload {
  /** A serial port, or tcp://host and perhaps a port. */
  readonly port: string;
  readonly board: BoardKind;
  /** The program, a byte a character. */
  readonly image: string;
  /** By name in the board's file store. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

interface Answer {
  readonly version: string;
  readonly board: string;
  readonly totalBytes: number;
  readonly fileBytes: number;
  readonly trashBytes: number;
  /** By name: bytes and CRC-32 of those of ours that are there. */
  readonly files: Readonly<Record<string, readonly [bytes: number, crc: number]>>;
}

/** Throws one line that says what was found instead of the board that was expected. */
export async function uploadToBoard({ port, board, image, files }: Upload): Promise<void> {
  const path = pathOf(port);
  // The CLI sends what is named first last: a board cut off meanwhile has no program.
  const wanted = new Map<string, Uint8Array>([[BOOT_FILE, Buffer.from(image, "latin1")], ...files]);
  const names = [...wanted.keys()];
  const before = await ask(path, board, names);
  let missing = differing(wanted, before);
  const fault = faultOf(before, board, missing);
  if (fault !== null) throw new Watt402Error("unexpected-answer", `--port ${port}: ${fault}`);
  for (let tries = 0; tries < UPLOAD_TRIES; tries++) {
    await send(path, board, missing);
    missing = differing(missing, await ask(path, board, names));
    if (missing.size === 0) return;
  }
  throw new Watt402Error(
    "unexpected-answer",
    `--port ${port}: expected ${[...missing.keys()].join(", ")} whole on the board, found another length or ` +
      "checksum, sent twice; is the line too long or too noisy?",
  );
}

/** What the board has not, or has otherwise. */
function differing(wanted: ReadonlyMap<string, Uint8Array>, { files }: Answer): Map<string, Uint8Array> {
  return new Map([...wanted].filter(([name, bytes]) => !isSame(bytes, files[name])));
}

function isSame(bytes: Uint8Array, found: readonly [bytes: number, crc: number] | undefined): boolean {
  return found !== undefined && found[0] === bytes.length && found[1] === crc32(bytes);
}

/** What is wrong with a board that answered; null when the light may be put onto it. */
function faultOf(found: Answer, board: BoardKind, missing: ReadonlyMap<string, Uint8Array>): string | null {
  if (found.board !== board.firmware) {
    return `expected the firmware of ${board.title} (${board.firmware}), found ${found.board}; see --board`;
  }
  const [, major, minor] = /^(\d+)v(\d+)/.exec(found.version) ?? [];
  const [majorMin, minorMin] = FIRMWARE_MIN;
  const isOld = Number(major) < majorMin || (Number(major) === majorMin && Number(minor) < minorMin);
  if (major === undefined || isOld) {
    return `expected Espruino ${majorMin}v${minorMin} or newer, found ${found.version}; flash its firmware first`;
  }
  const replaced = Object.entries(found.files).filter(([name]) => missing.has(name));
  // Where the store covers our pages too, what was replaced stays: tidying up would erase them.
  const isKept = found.totalBytes > board.storageBytes;
  const used =
    found.fileBytes + (isKept ? found.trashBytes : -flashBytesOf(replaced.map(([, [bytes]]) => bytes)));
  const needed = flashBytesOf([...missing.values()].map(({ length }) => length));
  const free = Math.max(0, Math.min(board.storageBytes, found.totalBytes) - used);
  if (needed <= free) return null;
  return `expected ${needed} bytes free in the board's flash, found ${free}; delete files of others, or erase it`;
}

/** The port as the CLI knows it: a link's target, as it opens none but those that the system lists. */
function pathOf(port: string): string {
  if (!port.startsWith("/")) return port;
  try {
    return realpathSync(port);
  } catch {
    throw new Watt402Error(
      "unreachable",
      `--port: expected a serial port, found no ${port}; is the board plugged in?`,
    );
  }
}

async function ask(port: string, board: BoardKind, names: readonly string[]): Promise<Answer> {
  let said = "";
  for (let tries = 0; tries < ASK_TRIES; tries++) {
    said = await runCli(port, board, ["-e", questionOf(names)], ASK_MS);
    const [, json] = /^[^@]*@w402 (\{.*\})\r?$/m.exec(said) ?? [];
    if (json !== undefined) return parseJson(json) as Answer;
    if (CANNOT_OPEN.test(said)) break;
  }
  throw new Watt402Error(
    "unreachable",
    `--port ${port}: expected a board with Espruino's prompt, found ` +
      (CANNOT_OPEN.test(said)
        ? `nothing that can be opened: ${reasonIn(said)}`
        : `no answer; is it the board's own port, at ${board.baud} baud, and free?`),
  );
}

/** In the board's language, printing one line. A light that runs is not to reset the board for want of kicks meanwhile. */
function questionOf(names: readonly string[]): string {
  const looked = [
    'var s=require("Storage"),a=s.getStats(),f={}',
    `${JSON.stringify(names)}.forEach(function(n){var t=s.read(n);if(t!==undefined)f[n]=[t.length,E.CRC32(t)];})`,
    `if(f[${JSON.stringify(BOOT_FILE)}])E.enableWatchdog(60,true)`,
    'a.version=process.env.VERSION;a.board=process.env.BOARD;a.files=f;print("@w402 "+JSON.stringify(a))',
  ].join(";");
  return `(function(){${" ".repeat(BLOCK_BYTES)}${looked}})()`;
}

/** Every file as bytes, so that no plugin of the CLI touches the program; then the board starts. */
async function send(port: string, board: BoardKind, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "watt402-board-"));
  try {
    const storage: string[] = [];
    for (const [index, [name, bytes]] of [...files].entries()) {
      writeFileSync(join(folder, String(index)), bytes, { mode: 0o600 });
      storage.push("--storage", `${name}:${index}`);
    }
    // A program of its own makes the CLI reset the board first: a light that runs has no memory to spare.
    writeFileSync(join(folder, "start.js"), "load();\n");
    await runCli(port, board, [...storage, "start.js"], UPLOAD_MS, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Resolves with what the CLI and the board said, when it ended or its time was over. */
function runCli(
  port: string,
  board: BoardKind,
  argv: readonly string[],
  limitMs: number,
  cwd = tmpdir(),
): Promise<string> {
  const cli = createRequire(import.meta.url).resolve("espruino/bin/espruino-cli.js");
  const fixed = [cli, "--no-ble", "-q", "-b", String(board.baud), "-p", port];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...fixed, ...argv], {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    const hear = (chunk: Buffer) => {
      said = (said + chunk.toString("latin1")).slice(-SAID_MAX);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    const patience = setTimeout(() => child.kill("SIGKILL"), limitMs);
    child.on("error", reject);
    child.on("close", () => {
      clearTimeout(patience);
      // It also asks the firmware's project for the board's description, and does without.
      resolve(said.replace(/^getURL\(.*$/gm, ""));
    });
  });
}

/** The one word or line that says why. */
function reasonIn(said: string): string {
  const code = /\b(ECONN\w+|ENOTFOUND|EHOSTUNREACH|ETIMEDOUT)\b/.exec(said)?.[1];
  const line = /^.*(?:cannot open|not found).*$/m.exec(said)?.[0];
  return code ?? line?.replace(/[^ -~]/g, "").trim() ?? "the port is not listed";
}
