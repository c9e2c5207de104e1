import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadKey, openOrCreateKey } from "#node/key/keystore";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "keystore-"));
  path = join(folder, "device.key");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a keystore", () => {
  it("makes one key, private, and opens the same one ever after", () => {
    const made = openOrCreateKey(path);
    expect(made.created).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const again = openOrCreateKey(path);
    expect(again.created).toBe(false);
    expect(again.key.address).toBe(made.key.address);
    expect(loadKey(path).address).toBe(made.key.address);
    expect(readdirSync(folder)).toEqual(["device.key"]);
  });

  it("makes a different key each time", () => {
    const addresses = Array.from({ length: 20 }, (_, i) => openOrCreateKey(`${path}${i}`).key.address);
    expect(new Set(addresses).size).toBe(20);
  });

  it.each([0o640, 0o604, 0o660, 0o610, 0o777])(
    "refuses a file of mode %o, which others may have read",
    (mode) => {
      openOrCreateKey(path);
      chmodSync(path, mode);
      expect(() => openOrCreateKey(path)).toThrow(`${path}: expected mode 0600, found 0${mode.toString(8)}`);
    },
  );

  it("refuses what is no key, without showing it and without making another over it", () => {
    for (const content of [
      "",
      "0x12",
      `0x${"0".repeat(64)}\n`,
      `0x${"f".repeat(64)}\n`,
      "x".repeat(10_000),
    ]) {
      rmSync(path, { force: true });
      writeFileSync(path, content, { mode: 0o600 });
      const reported = thrownBy(() => openOrCreateKey(path));
      expect(reported).toContain("expected");
      if (content.length > 4) expect(reported).not.toContain(content.trim());
      expect(readFileSync(path, "utf8")).toBe(content);
    }
  });

  it("says that a key is missing, or that its folder is", () => {
    expect(() => loadKey(path)).toThrow(`${path}: expected a key file, found none`);
    expect(() => openOrCreateKey(join(folder, "none", "device.key"))).toThrow("ENOENT");
  });
});

function thrownBy(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("expected an error, found none");
}
