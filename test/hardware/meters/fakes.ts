/**
 * Commands of a Raspberry Pi that are not there, with the command line and output of the real ones:
 * `gpiomon` of libgpiod 2 and `i2ctransfer` of i2c-tools.
 */
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { type MeterDriver, openMeter } from "#hardware/meters/open-meter";
import { context, temporaryFolder } from "./harness.ts";

export interface PretendedPi {
  /** Where its commands lie, first on PATH. */
  readonly path: string;
  /** Opens a meter with its state kept here; it is closed after the test. */
  meter(table: Record<string, unknown>): MeterDriver;
  close(meter: MeterDriver): Promise<void>;
}

/** For every test of a file: a folder for the commands below, and meters opened there. */
export function pretendedPi(): PretendedPi {
  let folder: ReturnType<typeof temporaryFolder>;
  let leavePath: () => void;
  let open: MeterDriver[] = [];
  beforeEach(() => {
    folder = temporaryFolder();
    leavePath = firstOnPath(folder.path);
  });
  afterEach(async () => {
    for (const meter of open) await meter.close();
    open = [];
    leavePath();
    folder.remove();
  });
  return {
    get path() {
      return folder.path;
    },
    meter(table) {
      const made = openMeter(table, context({ stateDirectory: join(folder.path, "state") }));
      open.push(made);
      return made;
    },
    async close(meter) {
      open = open.filter((one) => one !== meter);
      await meter.close();
    },
  };
}

/** Puts a folder first on PATH until the returned function is called. */
function firstOnPath(folder: string): () => void {
  const before = process.env.PATH ?? "";
  process.env.PATH = `${folder}:${before}`;
  return () => {
    process.env.PATH = before;
  };
}

function command(folder: string, name: string, text: string): void {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
}

/**
 * A gpiomon that prints the edges that are written to its file: `<line> <rising|falling> <seconds>` a line.
 * Like the real one it wants a chip and lines, prints its banner once it watches, filters edges and
 * debounces, and dies with its name before the reason.
 */
export function fakeGpiomon(folder: string) {
  const edges = join(folder, "edges");
  const pid = join(folder, "gpiomon.pid");
  writeFileSync(edges, "");
  command(
    folder,
    "gpiomon",
    `#!${process.execPath}
const { openSync, readSync, readFileSync, existsSync, writeFileSync } = require("node:fs");
const die = (text) => { process.stderr.write("gpiomon: " + text + "\\n"); process.exit(1); };
const args = process.argv.slice(2);
let chip, edges = "both", format, period = 0, banner = false; const lines = [];
for (let i = 0; i < args.length; i++) {
  if (args[i] === "--banner") banner = true;
  else if (args[i] === "-c") chip = args[++i];
  else if (args[i] === "-e") edges = args[++i];
  else if (args[i] === "-F") format = args[++i];
  else if (args[i] === "-b") { if (!["pull-up", "pull-down", "disabled"].includes(args[++i])) die("invalid bias: " + args[i]); }
  else if (args[i] === "-p") { const [, n, u] = /^(\\d+)(us|ms|s)$/.exec(args[++i]) ?? die("invalid period: " + args[i]); period = n * { us: 1e-6, ms: 1e-3, s: 1 }[u]; }
  else if (args[i].startsWith("-")) die("unrecognized option '" + args[i] + "'");
  else lines.push(args[i]);
}
if (lines.length === 0) die("at least one GPIO line must be specified");
const busy = ${JSON.stringify(join(folder, "busy"))};
if (existsSync(busy)) die("unable to request lines on chip /dev/" + chip + ": Device or resource busy");
writeFileSync(${JSON.stringify(pid)}, String(process.pid));
const file = openSync(${JSON.stringify(edges)}, "r");
let text = "", at = readFileSync(${JSON.stringify(edges)}).length; const last = {};
if (banner) console.log("Monitoring line" + (lines.length > 1 ? "s " : " ") + lines.map((l) => "'" + l + "'").join(" and ") + "...");
setInterval(() => {
  const buffer = Buffer.alloc(65536);
  let read; while ((read = readSync(file, buffer, 0, buffer.length, at)) > 0) { text += buffer.toString("utf8", 0, read); at += read; }
  const whole = text.split("\\n"); text = whole.pop();
  for (const line of whole) {
    const [offset, edge, seconds] = line.split(" ");
    if (!lines.includes(offset)) continue;
    const tooSoon = Number(seconds) - (last[offset] ?? -Infinity) < period;
    last[offset] = Number(seconds);
    if (tooSoon || (edges !== "both" && edges !== edge)) continue;
    process.stdout.write(format.replace("%o", offset).replace("%S", seconds) + "\\n");
  }
}, 5);
`,
  );
  return {
    edge: (line: number, seconds: number, edge: "rising" | "falling" = "rising") =>
      appendFileSync(edges, `${line} ${edge} ${seconds.toFixed(9)}\n`),
    /** Null until one watches. */
    pid: () => (existsSync(pid) ? Number(readFileSync(pid, "utf8")) : null),
    hold: () => writeFileSync(join(folder, "busy"), ""),
  };
}

/** An older gpiomon: it knows none of the options of version 2. */
export function oldGpiomon(folder: string): void {
  command(folder, "gpiomon", "#!/bin/sh\necho \"gpiomon: unrecognized option '--banner'\" >&2\nexit 1\n");
}

/**
 * An i2ctransfer over registers that are files: each holds its bytes as the real one prints them. A part
 * whose folder is not there does not answer.
 * @param addressBytes bytes of a register's address
 */
export function fakeI2c(folder: string, address: number, addressBytes: 1 | 2) {
  const part = join(folder, `part-0x${address.toString(16)}`);
  mkdirSync(part);
  command(
    folder,
    "i2ctransfer",
    `#!/bin/sh
# i2ctransfer -y BUS wN@ADDRESS BYTE... [rN]
[ "$1" = -y ] || { echo "Error: expected -y" >&2; exit 1; }
shift 2
length=\${1%%@*}; length=\${length#w}; part="${folder}/part-\${1##*@}"; shift
[ -d "$part" ] || { echo "Error: Sending messages failed: Remote I/O error" >&2; exit 1; }
register="$1"; shift; rest=$((length - 1))
${addressBytes === 2 ? 'register="$register$1"; shift; rest=$((rest - 1))' : ""}
if [ $rest -gt 0 ]; then echo "$@" > "$part/$register"; exit 0; fi
cat "$part/$register"
[ -f "$part/$register.clears" ] && cp "$part/$register.clears" "$part/$register"
exit 0
`,
  );
  const name = (register: number) =>
    addressBytes === 1
      ? `0x${register.toString(16).padStart(2, "0")}`
      : `0x${(register >> 8).toString(16).padStart(2, "0")}0x${(register & 0xff).toString(16).padStart(2, "0")}`;
  const printed = (value: number, bytes: number) =>
    Array.from({ length: bytes }, (_, index) => {
      const byte = Math.floor(value / 256 ** (bytes - 1 - index)) % 256;
      return `0x${((byte + 256) % 256).toString(16).padStart(2, "0")}`;
    }).join(" ");
  return {
    part,
    /** @param value two's complement when below zero */
    set: (register: number, value: number, bytes: number, clears = false) => {
      const whole = value < 0 ? 256 ** bytes + value : value;
      writeFileSync(join(part, name(register)), `${printed(whole, bytes)}\n`);
      if (clears) writeFileSync(join(part, `${name(register)}.clears`), `${printed(0, bytes)}\n`);
    },
    get: (register: number) => readFileSync(join(part, name(register)), "utf8").trim(),
  };
}
