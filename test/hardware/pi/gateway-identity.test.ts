import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loginOf, tlsOf } from "#hardware/pi/gateway-identity";
import { readConfig } from "#node/config/device-config";
import { BROKER_CERTIFICATE, BROKER_KEY } from "../../device/node/certificate.ts";

const SAMPLE = readFileSync(new URL("../../../hardware/pi/device.sample.toml", import.meta.url), "utf8");

const folder = mkdtempSync(join(tmpdir(), "watt402-identity-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string, mode: number): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const configured = (lines: string, tls: string) =>
  readConfig(
    SAMPLE.replace("keepalive_seconds = 30", `keepalive_seconds = 30\n${lines}`).replace(
      "[gateway.tls]",
      `[gateway.tls]\n${tls}`,
    ),
    "c.toml",
  );

describe("what proves a light to its broker", () => {
  it("is its key alone where nothing else is named", () => {
    const config = configured("", "");
    expect(loginOf(config)).toBeUndefined();
    expect(tlsOf(config)).toEqual({});
  });

  it("is a password in a file that its owner alone reads", () => {
    const path = file("password", "lamp light\n", 0o600);
    const config = configured(`password_file = "${path}"\nusername = "pole-7"`, "");
    expect(loginOf(config)).toEqual({ username: "pole-7", password: "lamp light" });
    chmodSync(path, 0o644);
    expect(() => loginOf(config)).toThrow(`gateway.password_file: ${path}: expected mode 0600, found 0644`);
    const empty = configured(`password_file = "${file("empty", "\n", 0o600)}"`, "");
    expect(() => loginOf(empty)).toThrow("gateway.password_file: expected a password, found an empty file");
  });

  it("is a certificate with its own key, which its owner alone reads", () => {
    const cert = file("device.pem", BROKER_CERTIFICATE, 0o644);
    const key = file("device.key", BROKER_KEY, 0o600);
    const config = configured("", `cert_file = "${cert}"\nkey_file = "${key}"`);
    expect(tlsOf(config)).toEqual({ cert: BROKER_CERTIFICATE, key: BROKER_KEY });
    chmodSync(key, 0o640);
    expect(() => tlsOf(config)).toThrow(`gateway.tls.key_file: ${key}: expected mode 0600, found 0640`);
    const other = file("other.key", "no key\n", 0o600);
    expect(() => tlsOf(configured("", `cert_file = "${cert}"\nkey_file = "${other}"`))).toThrow(
      `gateway.tls: expected a certificate and its key, found ${cert} and ${other}: `,
    );
  });
});
