import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildPackage, type DebianPackage } from "#hardware/package/debian";
import { firstConfiguration } from "#hardware/package/first-configuration";
import { readConfig } from "#node/config/device-config";

let folder: string;
let built: DebianPackage;
let again: DebianPackage;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "package-"));
  built = await buildPackage("all", {});
  again = await buildPackage("all", {});
  writeFileSync(join(folder, built.fileName), built.content);
  mkdirSync(join(folder, "root"));
  // Without dpkg: an ar archive is a header of 60 bytes before each of its parts.
  for (const [name, content] of membersOf(built.content)) writeFileSync(join(folder, name), content);
  execFileSync("tar", ["-xzf", join(folder, "data.tar.gz"), "-C", join(folder, "root")]);
  execFileSync("tar", ["-xzf", join(folder, "control.tar.gz"), "-C", folder]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function membersOf(archive: Buffer): Map<string, Buffer> {
  const members = new Map<string, Buffer>();
  for (let at = 8; at < archive.length; ) {
    const header = archive.subarray(at, at + 60).toString();
    const bytes = Number(header.slice(48, 58));
    members.set(header.slice(0, 16).trim(), archive.subarray(at + 60, at + 60 + bytes));
    at += 60 + bytes + (bytes % 2);
  }
  return members;
}

const inRoot = (path: string) => join(folder, "root", path);
const program = () => inRoot("usr/lib/watt402/watt402-device.mjs");

it("two builds are the same bytes", () => {
  expect(createHash("sha256").update(again.content).digest("hex")).toBe(
    createHash("sha256").update(built.content).digest("hex"),
  );
});

it("the date in it is SOURCE_DATE_EPOCH, and what is no date is refused", async () => {
  const dated = await buildPackage("arm64", { SOURCE_DATE_EPOCH: "1000000000" });
  expect(dated.content.subarray(8, 36).toString()).toBe("debian-binary   1000000000  ");
  await expect(buildPackage("all", { SOURCE_DATE_EPOCH: "now" })).rejects.toThrow(
    'SOURCE_DATE_EPOCH: expected seconds since 1970, found "now"',
  );
});

it("holds every file whole: md5sums agree", () => {
  const sums = readFileSync(join(folder, "md5sums"), "utf8").trim().split("\n");
  expect(sums.length).toBeGreaterThan(10);
  for (const line of sums) {
    const [sum, path] = line.split("  ");
    expect(
      createHash("md5")
        .update(readFileSync(inRoot(path!)))
        .digest("hex"),
      path,
    ).toBe(sum);
  }
});

it("runs as one file, far from the source tree", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  const ran = spawnSync(process.execPath, [program(), "--version"], { encoding: "utf8", cwd: folder });
  expect(ran).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: "" });
});

it("brings serialport's binary for each board, and each is for that board", () => {
  const machineOf = (path: string) =>
    readFileSync(inRoot(`usr/lib/watt402/prebuilds/${path}`)).readUInt16LE(18);
  // ELF's numbers: 183 is AArch64, 40 is ARM, 62 is x86-64.
  expect(machineOf("linux-arm64/@serialport+bindings-cpp.armv8.glibc.node")).toBe(183);
  expect(machineOf("linux-arm/@serialport+bindings-cpp.armv7.glibc.node")).toBe(40);
  expect(machineOf("linux-arm/@serialport+bindings-cpp.armv6.glibc.node")).toBe(40);
  expect(machineOf("linux-x64/@serialport+bindings-cpp.glibc.node")).toBe(62);
});

it("names the licence of every package inside", () => {
  const reported = readFileSync(inRoot("usr/share/doc/watt402-device/copyright"), "utf8");
  for (const name of ["mqtt", "pino", "zod", "@noble/curves", "smol-toml", "suncalc"]) {
    expect(reported).toMatch(new RegExp(`^-{78}\n${name} \\d[^\n]*\n\n[^-\n]`, "m"));
  }
});

it("a light without its owner's gateway names what is missing, and does not start", () => {
  const first = readFileSync(inRoot("etc/watt402/device.toml"), "utf8");
  expect(() => readConfig(first, "device.toml")).toThrow(/gateway\.broker: expected .*found nothing/);
  expect(() => readConfig(first, "device.toml")).toThrow(/gateway\.public_key: expected .*found nothing/);
  const reported = first.replace(/^# (broker|public_key) = /gm, "$1 = ");
  expect(readConfig(reported, "device.toml").gateway.brokerUrl).toBe("mqtts://gateway.example:8883");
});

it("a sample that lost a key of its owner's is found when packing", () => {
  expect(() => firstConfiguration('broker = "a"\n')).toThrow('expected one line "public_key = ...", found 0');
});
