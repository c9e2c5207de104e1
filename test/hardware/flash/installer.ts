/** An installer for tests: a card as Raspberry Pi OS makes it, and `watt402-flash` in this process. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { vi } from "vitest";
import type { Flashed } from "#hardware/flash/flash-lights";
import { main } from "#hardware/flash/main";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";

export const GATEWAY_KEY = toHex(openKey(new Uint8Array(32).fill(9)).publicKey);

export const SSH_KEY = `ssh-ed25519 ${Buffer.concat([
  Buffer.from([0, 0, 0, 11]),
  Buffer.from("ssh-ed25519"),
  Buffer.from([0, 0, 0, 32]),
  Buffer.alloc(32, 7),
]).toString("base64")} installer@bench`;

export const STOCK_CMDLINE =
  "console=serial0,115200 console=tty1 root=PARTUUID=4f1c-02 rootfstype=ext4 rootwait ds=nocloud;i=rpios-image\n";
export const STOCK_CONFIG =
  "# from the image\ndtparam=audio=on\n\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n\n[all]\n";

export function tempFolder(): string {
  return mkdtempSync(join(tmpdir(), "flash-"));
}

/** A freshly written boot partition, and a package that stands for the real one. */
export function freshCard(folder: string, name = "card"): string {
  const card = join(folder, name);
  mkdirSync(card);
  writeFileSync(join(card, "cmdline.txt"), STOCK_CMDLINE);
  writeFileSync(join(card, "config.txt"), STOCK_CONFIG);
  writeFileSync(join(card, "user-data"), "#cloud-config\n\n# hostname: raspberrypi\nssh_pwauth: false\n");
  writeFileSync(join(card, "meta-data"), "# the image's\ndsmode: local\ninstance_id: rpios-image\n");
  writeFileSync(join(card, "network-config"), "# network:\n#   version: 2\n");
  return card;
}

/** Options that make one light; later ones win. */
export function lightOptions(folder: string, more: Readonly<Record<string, string>> = {}): string[] {
  const debian = join(folder, "watt402-device_9.9.9_all.deb");
  writeFileSync(debian, "a package\n");
  const reported = {
    hostname: "pole-7",
    gateway: "mqtts://gateway.test:8883",
    "gateway-key": GATEWAY_KEY,
    meter: "sdm120,slave=2",
    lamp: "led,gpio=17",
    "rated-watts": "60",
    sun: "52.52,13.405",
    package: debian,
    ...more,
  };
  return Object.entries(reported).flatMap(([name, value]) => (value === "" ? [] : [`--${name}`, value]));
}

const SDM120 = new URL("../../../hardware/meters/maps/sdm120.json", import.meta.url);

/** A register map's file: the SDM120's, changed. */
export function ownMap(
  folder: string,
  change: (map: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>,
): string {
  const file = join(folder, "my-meter.json");
  writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(SDM120, "utf8")))));
  return file;
}

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly errors: readonly string[];
}

export async function flash(...args: readonly string[]): Promise<Ran> {
  const out = vi.spyOn(process.stdout, "write").mockReturnValue(true);
  const err = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  process.exitCode = undefined;
  try {
    await main(args);
    const text = (spy: typeof out) => spy.mock.calls.map(([chunk]) => String(chunk)).join("");
    const errors = text(err).split("\n");
    return {
      status: Number(process.exitCode ?? 0),
      stdout: text(out),
      errors: errors.filter((line) => line !== ""),
    };
  } finally {
    process.exitCode = undefined;
    out.mockRestore();
    err.mockRestore();
  }
}

/** Runs with --json and gives the lights; rejects with what was said otherwise. */
export async function flashed(
  ...args: readonly string[]
): Promise<readonly (Flashed & { readonly next: string[] })[]> {
  const { status, stdout, errors } = await flash(...args, "--json");
  if (status !== 0) throw new Error(errors.join("\n"));
  return (JSON.parse(stdout) as { lights: (Flashed & { next: string[] })[] }).lights;
}

/** Every file under a folder with its bytes. */
export function filesUnder(folder: string): Record<string, string> {
  const all = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  const files = all.filter((path) => statSync(path).isFile());
  return Object.fromEntries(
    files.sort().map((path) => [relative(folder, path), readFileSync(path, "latin1")]),
  );
}
