/**
 * `watt402-device` as a Debian package: program, service, udev rules, account, manual and first
 * configuration.
 *
 * Promise: the same source tree gives the same bytes; the time in them is SOURCE_DATE_EPOCH, or a fixed
 * one. Needs no Debian to build.
 */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { ar, type Entry, tarGz, withDirectories } from "./archive.ts";
import { firstConfiguration } from "./first-configuration.ts";
import { type Bundle, bundleDevice, inTree, serialportBinaries } from "./program-bundle.ts";

/**
 * "all" runs on every board, 32 or 64 bit, and on a PC: it carries serialport's small binary for each.
 * "arm64" carries its own alone.
 */
export const ARCHITECTURES = ["all", "arm64"] as const;
export type Architecture = (typeof ARCHITECTURES)[number];

export interface DebianPackage {
  /** As Debian names it: package_version_architecture.deb */
  readonly fileName: string;
  readonly content: Buffer;
}

const NAME = "watt402-device";

/** 2026-01-01, the date of every file in a package when SOURCE_DATE_EPOCH names none. */
const EPOCH_SECONDS = 1_767_225_600;

/** serialport's folders of binaries, and the file of each for Debian's C library. */
const BINARIES: Readonly<Record<Architecture, readonly string[]>> = {
  all: ["linux-arm64", "linux-arm", "linux-x64"],
  arm64: ["linux-arm64"],
};

/** libatomic1 is not in every minimal image, and Node's own package names it only on some boards. */
const DEPENDS = ["nodejs (>= 20)", "gpiod", "libatomic1", "systemd (>= 254)", "passwd"];

/** Builds the package. Rejects when a source file is missing or SOURCE_DATE_EPOCH is no time. */
export async function buildPackage(
  architecture: Architecture,
  environment: NodeJS.ProcessEnv,
): Promise<DebianPackage> {
  const epochSeconds = epochOf(environment);
  const version = (parseJson(treeFile("package.json").toString()) as { version: string }).version;
  const files = filesOf(architecture, version, await bundleDevice());
  const members = [
    { name: "debian-binary", content: Buffer.from("2.0\n") },
    { name: "control.tar.gz", content: tarGz(control(architecture, version, files), epochSeconds) },
    { name: "data.tar.gz", content: tarGz(withDirectories(files), epochSeconds) },
  ];
  return { fileName: `${NAME}_${version}_${architecture}.deb`, content: ar(members, epochSeconds) };
}

/** Every file of the package, apart from the directories. */
function filesOf(architecture: Architecture, version: string, bundle: Bundle): Entry[] {
  const library = "usr/lib/watt402";
  return [
    plain(`${library}/watt402-device.mjs`, bundle.code, 0o755),
    { ...plain("usr/bin/watt402-device", "", 0o777), linkTo: "../lib/watt402/watt402-device.mjs" },
    plain(`${library}/package.json`, `${JSON.stringify({ name: "watt402", version, type: "module" })}\n`),
    ...BINARIES[architecture].flatMap((folder) => serialportFiles(library, folder)),
    plain(
      "etc/watt402/device.toml",
      firstConfiguration(treeFile("hardware/pi/device.sample.toml").toString()),
    ),
    plain("usr/lib/systemd/system/watt402-device.service", debianFile("watt402-device.service")),
    plain("usr/lib/udev/rules.d/60-watt402-device.rules", debianFile("60-watt402-device.rules")),
    plain("usr/lib/sysusers.d/watt402-device.conf", debianFile("watt402-device.sysusers")),
    plain("usr/lib/modules-load.d/watt402-device.conf", debianFile("watt402-device.modules")),
    plain("usr/share/man/man1/watt402-device.1.gz", gzip(debianFile("watt402-device.1"))),
    plain(`usr/share/doc/${NAME}/changelog.gz`, gzip(changelog(version))),
    plain(`usr/share/doc/${NAME}/copyright`, copyright(bundle)),
    plain(`usr/share/doc/${NAME}/device.sample.toml`, treeFile("hardware/pi/device.sample.toml")),
    // To write a map for another meter after.
    plain(`usr/share/doc/${NAME}/sdm120.json`, treeFile("hardware/meters/maps/sdm120.json")),
  ];
}

function control(architecture: Architecture, version: string, files: readonly Entry[]): Entry[] {
  const kibibytes = Math.ceil(files.reduce((total, { content }) => total + content.length, 0) / 1024);
  const fields = [
    `Package: ${NAME}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    "Maintainer: watt402 developers <watt402@localhost>",
    `Installed-Size: ${kibibytes}`,
    `Depends: ${DEPENDS.join(", ")}`,
    "Recommends: i2c-tools",
    "Section: electronics",
    "Priority: optional",
    "Description: light that meters what it burns and pays for it",
    " Runs on a Raspberry Pi beside a meter and a lamp: buys energy with signed",
    " micro-payments (x402) over MQTT, and switches the lamp by what is paid for.",
  ];
  const sums = files
    .filter(({ linkTo }) => linkTo === undefined)
    .map(({ path, content }) => `${createHash("md5").update(content).digest("hex")}  ${path}\n`);
  return [
    plain("./", "", 0o755),
    plain("conffiles", "/etc/watt402/device.toml\n"),
    plain("control", `${fields.join("\n")}\n`),
    plain("md5sums", sums.sort().join("")),
    ...["postinst", "postrm", "prerm"].map((name) => plain(name, debianFile(name), 0o755)),
  ];
}

function serialportFiles(library: string, folder: string): Entry[] {
  const names = readdirSync(join(serialportBinaries(), folder)).filter((name) => !name.includes("musl"));
  return names.sort().map((name) => {
    const content = readFileSync(join(serialportBinaries(), folder, name));
    return plain(`${library}/prebuilds/${folder}/${name}`, content);
  });
}

function copyright(bundle: Bundle): string {
  const parts = bundle.licences.map(({ name, text }) => `${"-".repeat(78)}\n${name}\n\n${text}\n`);
  return (
    "watt402 is under the Apache License 2.0: /usr/share/common-licenses/Apache-2.0\n" +
    "serialport's binaries under prebuilds/: MIT, as the packages below say.\n\n" +
    `The packages inside watt402-device.mjs, each with its licence:\n${parts.join("")}`
  );
}

function changelog(version: string): string {
  return `${NAME} (${version}) stable; urgency=medium\n\n  * Released with watt402 ${version}.\n`;
}

function epochOf({ SOURCE_DATE_EPOCH: text }: NodeJS.ProcessEnv): number {
  if (text === undefined) return EPOCH_SECONDS;
  if (!/^\d{1,10}$/.test(text)) {
    throw new Watt402Error(
      "config-invalid",
      `SOURCE_DATE_EPOCH: expected seconds since 1970, found "${text}"`,
    );
  }
  return Number(text);
}

function gzip(content: string | Uint8Array): Buffer {
  return gzipSync(content, { level: 9 });
}

function plain(path: string, content: string | Uint8Array, mode = 0o644): Entry {
  return { path, content: typeof content === "string" ? Buffer.from(content) : content, mode };
}

function treeFile(path: string): Buffer {
  return readFileSync(inTree(path));
}

function debianFile(name: string): Buffer {
  return treeFile(`hardware/package/debian/${name}`);
}
