// The package as a stranger imports it: by its name, what is meant to be used, and nothing else.

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TSX = import.meta.resolve("tsx");

let folder: string | null = null;
afterEach(() => {
  if (folder !== null) rmSync(folder, { recursive: true });
});

/** Runs a program that stands beside an installed watt402. */
async function run(program: string): Promise<string> {
  folder = mkdtempSync(join(tmpdir(), "watt402-stranger-"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules/watt402"), "dir");
  writeFileSync(join(folder, "program.mts"), program);
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", TSX, "program.mts"], {
    cwd: folder,
  });
  return stdout.trim();
}

test("a stranger's program signs a voucher and reads a frame by the package's names", async () => {
  const said = await run(`
    import { decodePay, encodePay, topicOf } from "watt402/protocol";
    import { fromHex, openKey, recoverAddress, voucherDigest } from "watt402/payment";
    const key = openKey(fromHex("0x" + "11".repeat(32)));
    const digest = voucherDigest("0x" + "ab".repeat(32), 100, 31337);
    const signature = key.sign(digest);
    const frame = encodePay({ again: false, channelTag: 7, maxClaimable: 100, register: 5, validBeforeSeconds: 0, signature });
    const { frame: value } = decodePay(new Uint8Array([...frame, ...new Uint8Array(16)]));
    console.log(recoverAddress(digest, value.signature) === key.address, value.maxClaimable, topicOf(key.address.slice(2), "pay"));
  `);
  expect(said).toMatch(/^true 100 x402\/1\/[0-9a-f]{40}\/pay$/);
});

test("every export of the package loads, and what lies behind them does not", async () => {
  const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    exports: Record<string, string>;
  };
  const names = Object.keys(exports).filter((name) => name !== "./package.json");
  const said = await run(`
    for (const name of ${JSON.stringify(names)}) {
      const found = await import("watt402" + name.slice(1));
      console.log(name, Object.keys(found).length > 0);
    }
    await import("watt402/device/core/machine.ts").catch((error) => console.log(error.code));
    process.exit(0);
  `);
  const expected = [...names.map((name) => `${name} true`), "ERR_PACKAGE_PATH_NOT_EXPORTED"];
  expect(said.split("\n")).toEqual(expected);
});

test("what a stranger's program may handle, it finds by a code", async () => {
  const said = await run(`
    import { createServer } from "node:net";
    import { loadConfig } from "watt402/gateway";
    import { fromHex, hasCode, openKey, Watt402Error } from "watt402/payment";
    import { flatTariff } from "watt402/seller";
    const attempts = {
      noFile: () => loadConfig({ file: "absent.toml", environment: {}, settings: [] }),
      badKey: () => openKey(new Uint8Array(32)),
      badHex: () => fromHex("11"),
      badPrice: () => flatTariff(Number.NaN),
    };
    for (const [name, attempt] of Object.entries(attempts)) {
      try { await attempt(); } catch (error) { console.log(name, error instanceof Watt402Error && error.code); }
    }
    console.log(hasCode(new Error("a bug"), "in-use"));
  `);
  expect(said.split("\n")).toEqual([
    "noFile file-inaccessible",
    "badKey value-invalid",
    "badHex value-invalid",
    "badPrice file-invalid",
    "false",
  ]);
});
