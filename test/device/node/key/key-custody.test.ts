import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  encryptKey,
  exportKey,
  importKey,
  keyForm,
  loadKey,
  openOrCreateKey,
  rotateKey,
} from "#node/key/keystore";
import { findPassphrase, PASSPHRASE_CREDENTIAL, readPassphrase } from "#node/key/passphrase";
import { sealSecret, unsealSecret } from "#node/key/sealed-key";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";

const QUICK = { n: 2, r: 1, p: 1 };
const SECRET = new Uint8Array(32).fill(7);
const PHRASE = "correct horse battery staple";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "custody-"));
  path = join(folder, "device.key");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a secret under a passphrase", () => {
  it("comes out again with the same passphrase and no other", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string({ minLength: 1 }), (right, wrong) => {
        const sealed = sealSecret(SECRET, right, QUICK);
        expect(unsealSecret(sealed, right)).toEqual(SECRET);
        fc.pre(right.normalize("NFKC") !== wrong.normalize("NFKC"));
        expect(() => unsealSecret(sealed, wrong)).toThrow(
          "expected the passphrase of this key, found another",
        );
      }),
      { numRuns: 50 },
    );
  });

  it("shows neither secret nor passphrase, and never the same bytes twice", () => {
    const [one, other] = [sealSecret(SECRET, PHRASE, QUICK), sealSecret(SECRET, PHRASE, QUICK)];
    expect(one).not.toBe(other);
    for (const text of [toHex(SECRET).slice(2), PHRASE]) expect(one).not.toContain(text);
    expect(JSON.parse(one)).toMatchObject({ address: openKey(SECRET).address });
  });

  it("is refused when any single character of it was changed, or another address is written on it", () => {
    const sealed = sealSecret(SECRET, PHRASE, QUICK);
    let refused = 0;
    const digits = [...sealed.matchAll(/[0-9a-f](?=[0-9a-f]*")/g)].map((match) => match.index);
    for (const at of digits) {
      const bent = `${sealed.slice(0, at)}${sealed[at] === "0" ? "1" : "0"}${sealed.slice(at + 1)}`;
      if (bent === sealed) continue;
      expect(() => unsealSecret(bent, PHRASE)).toThrow(/expected/);
      refused++;
    }
    expect(refused).toBeGreaterThan(150);
    const other = openKey(new Uint8Array(32).fill(8)).address;
    expect(() => unsealSecret(sealed.replace(/0x[0-9a-f]{40}(?=")/, other), PHRASE)).toThrow(
      "expected the passphrase",
    );
  });
});

describe("a device's key file", () => {
  it("is encrypted from its first moment where there is a passphrase, and opens with it alone", () => {
    const { key, created } = openOrCreateKey(path, PHRASE);
    expect(created).toBe(true);
    expect(readFileSync(path, "utf8")).toContain("aes-256-gcm");
    expect(keyForm(path)).toEqual({ kind: "encrypted", address: key.address });
    expect(loadKey(path, PHRASE).address).toBe(key.address);
    expect(() => loadKey(path, "another")).toThrow(`${path}: expected the passphrase of this key`);
    expect(() => loadKey(path)).toThrow("set device.key_passphrase_file, or give the service its credential");
    expect(() => openOrCreateKey(path)).toThrow("found none");
  });

  it("is encrypted where it lies when a passphrase comes later, and keeps its address", () => {
    const { key } = openOrCreateKey(path);
    expect(keyForm(path)).toEqual({ kind: "plain" });
    expect(encryptKey(path, PHRASE).address).toBe(key.address);
    expect(keyForm(path).kind).toBe("encrypted");
    expect(readdirSync(folder)).toEqual(["device.key"]);
  });

  it("is backed up encrypted, whatever its own form, and restored elsewhere as the same key", () => {
    const { key } = openOrCreateKey(path);
    const backup = exportKey(path, null, "for the safe only");
    expect(backup).toContain("scrypt");
    const restored = join(folder, "restored.key");
    expect(() => importKey(restored, backup, "a guess", PHRASE)).toThrow("expected the passphrase");
    expect(existsSync(restored)).toBe(false);
    expect(importKey(restored, backup, "for the safe only", PHRASE).address).toBe(key.address);
    expect(keyForm(restored).kind).toBe("encrypted");
    expect(() => importKey(restored, backup, "for the safe only", PHRASE)).toThrow(
      "expected no key, found one",
    );
  });

  it("changes for a new one by rotation, and the old one is kept under its address", () => {
    const { key } = openOrCreateKey(path, PHRASE);
    const { key: fresh, keptAs } = rotateKey(path, PHRASE);
    expect(fresh.address).not.toBe(key.address);
    expect(loadKey(path, PHRASE).address).toBe(fresh.address);
    expect(keptAs).toBe(`${path}.${key.address}`);
    expect(loadKey(keptAs, PHRASE).address).toBe(key.address);
  });

  it("is rotated to the end when the power went between keeping the old key and writing the new one", () => {
    const { key } = openOrCreateKey(path);
    writeFileSync(`${path}.${key.address}`, readFileSync(path), { mode: 0o600 });
    expect(rotateKey(path, null).key.address).not.toBe(key.address);
    expect(loadKey(`${path}.${key.address}`).address).toBe(key.address);
  });
});

describe("a passphrase", () => {
  it("is read from the named file, else from the service's credential, else there is none", () => {
    const file = join(folder, "phrase");
    writeFileSync(file, `${PHRASE}\n`, { mode: 0o600 });
    writeFileSync(join(folder, PASSPHRASE_CREDENTIAL), "of the service", { mode: 0o440 });
    expect(findPassphrase(file, folder)).toEqual({ text: PHRASE, file });
    expect(findPassphrase(null, folder)?.text).toBe("of the service");
    expect(findPassphrase(null, join(folder, "elsewhere"))).toBeNull();
    expect(findPassphrase(null, undefined)).toBeNull();
  });

  it("is refused when it is empty, missing, or may have been read by others", () => {
    const file = join(folder, "phrase");
    expect(() => readPassphrase(file)).toThrow("expected a file with a passphrase, found none");
    writeFileSync(file, "\n", { mode: 0o600 });
    expect(() => readPassphrase(file)).toThrow("expected a passphrase, found an empty file");
    chmodSync(file, 0o644);
    expect(() => readPassphrase(file)).toThrow("expected mode 0600, found 0644");
  });
});
