/**
 * A tree that stands for /sys, and commands that stand for libgpiod's: same files, same command line, same
 * words, so that a driver cannot tell.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSysfs, type Sysfs } from "#hardware/lamps/pwm/sysfs";

export interface Tree {
  readonly root: string;
  /** As the kernel behaves: an exported channel's folder appears, refusals carry their codes. */
  readonly sysfs: Sysfs;
  /** Paths whose next accesses the kernel refuses, with the code. */
  readonly refused: Map<string, string>;
  /** Every write, oldest first, as "path=text". */
  readonly writes: string[];
  led(label: string, max: number): void;
  pwmChip(number: number, device: string, channels: number): void;
  read(path: string): string;
  remove(): void;
}

export function makeTree(): Tree {
  const root = mkdtempSync(join(tmpdir(), "sysfs-"));
  const plain = openSysfs(root);
  const refused = new Map<string, string>();
  const writes: string[] = [];
  const put = (path: string, text: string) => {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  };
  const refuse = (path: string) => {
    const code = refused.get(path);
    if (code !== undefined) throw Object.assign(new Error(code), { code });
  };
  const channel = (folder: string, number: string) => {
    for (const [leaf, text] of Object.entries({
      period: "0",
      duty_cycle: "0",
      enable: "0",
      polarity: "normal",
    })) {
      put(`${folder}/pwm${number}/${leaf}`, text);
    }
  };
  return {
    root,
    refused,
    writes,
    sysfs: {
      ...plain,
      read: (path) => {
        refuse(path);
        return plain.read(path);
      },
      write: (path, text) => {
        refuse(path);
        plain.write(path, text);
        writes.push(`${path}=${text}`);
        // A file is a stand-in for one value: what was longer before must not show behind it.
        writeFileSync(join(root, path), text);
        if (path.endsWith("/export")) channel(path.slice(0, -"/export".length), text);
        if (path.endsWith("/trigger")) writeFileSync(join(root, path), `[${text}] timer`);
      },
      isWritable: (path) => !refused.has(path) && plain.isWritable(path),
    },
    led: (label, max) => {
      for (const [leaf, text] of Object.entries({
        brightness: "0",
        max_brightness: String(max),
        trigger: "[none] timer",
      })) {
        put(`class/leds/${label}/${leaf}`, text);
      }
    },
    pwmChip: (number, device, channels) => {
      const folder = `class/pwm/pwmchip${number}`;
      put(`${folder}/npwm`, String(channels));
      put(`${folder}/export`, "");
      symlinkSync(`../../../${device}`, join(root, folder, "device"));
    },
    read: (path) => readFileSync(join(root, path), "utf8").trim(),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** libgpiod 2.2's gpioset and gpioinfo, as far as one line of one chip goes; lines are files of the folder. */
const GPIOSET = `#!/bin/sh
# gpioset --banner -C CONSUMER [-c CHIP] [-l] LINE=VALUE
chip=gpiochip0 low=0
while [ $# -gt 1 ]; do
  case "$1" in
    --banner) ;;
    -C) consumer=$2; shift ;;
    -c) chip=$2; shift ;;
    -l) low=1 ;;
    *) echo "gpioset: unrecognized option '$1'" >&2; exit 1 ;;
  esac
  shift
done
line=\${1%%=*} value=\${1#*=}
if [ "$chip" != gpiochip0 ]; then echo "gpioset: cannot find GPIO chip character device '$chip'" >&2; exit 1; fi
if [ -e "$LINES/forbidden" ]; then echo "gpioset: unable to open chip '/dev/gpiochip0': Permission denied" >&2; exit 1; fi
if [ ! -e "$LINES/$line" ]; then echo "gpioset: cannot find line '$line'" >&2; exit 1; fi
if ! mkdir "$LINES/$line.held" 2>/dev/null; then
  echo "gpioset: unable to request lines on chip '/dev/gpiochip0': Device or resource busy" >&2; exit 1
fi
echo "$consumer" > "$LINES/$line.held/consumer"
echo "$$" > "$LINES/$line.held/pid"
release() { kill $waiting 2>/dev/null; rm -r "$LINES/$line.held"; echo released > "$LINES/$line"; exit 143; }
trap release TERM
[ $low = 1 ] && value=$((1 - value))
echo "$value" > "$LINES/$line"
echo "Setting line '$line'..."
sleep 600 >/dev/null 2>&1 & waiting=$!
wait $waiting
`;
const GPIOINFO = `#!/bin/sh
# gpioinfo [-c CHIP] LINE
[ "$1" = -c ] && shift 2
if [ ! -e "$LINES/$1" ]; then echo "gpioinfo: cannot find line '$1'" >&2; exit 1; fi
used=""
[ -e "$LINES/$1.held" ] && used=" consumer=\\"$(cat "$LINES/$1.held/consumer")\\""
printf 'gpiochip0 17\\t"%s"          \\tinput%s\\n' "$1" "$used"
`;

export interface FakeGpio {
  readonly folder: string;
  /** What the line is driven to: "0", "1", or "released". */
  line(name: string): string;
  holder(name: string): number | null;
  remove(): void;
}

/** Puts the stand-ins first on PATH until removed. */
export function fakeGpio(...lines: string[]): FakeGpio {
  const folder = mkdtempSync(join(tmpdir(), "gpio-"));
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin/gpioset"), GPIOSET, { mode: 0o755 });
  writeFileSync(join(folder, "bin/gpioinfo"), GPIOINFO, { mode: 0o755 });
  for (const line of lines) writeFileSync(join(folder, line), "released\n");
  const { PATH } = process.env;
  process.env.PATH = `${join(folder, "bin")}:${PATH}`;
  process.env.LINES = folder;
  const text = (path: string) => readFileSync(join(folder, path), "utf8").trim();
  return {
    folder,
    line: text,
    holder: (name) => {
      try {
        return Number(text(`${name}.held/pid`));
      } catch {
        return null;
      }
    },
    remove: () => {
      process.env.PATH = PATH;
      delete process.env.LINES;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
