// The time left to the certificates in use, as Prometheus reads it.

import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { certificatesOf, EMBEDDED } from "#gateway/config/broker-section";
import { readCertificates } from "#gateway/config/certificates";
import { EXTERNAL } from "#gateway/config/external-broker-section";
import { readLogin } from "#gateway/config/login-files";
import { registerAccess } from "#gateway/telemetry/metrics/access-metrics";
import { Scrape } from "#gateway/telemetry/metrics/scrape";
import { type Authority, newAuthority } from "./external/authority.ts";

const NOW = Math.floor(Date.now() / 1000);
const DAY = 86_400;
const inDays = (days: number) => new Date((NOW + days * DAY) * 1000);

const directory = mkdtempSync(join(tmpdir(), "watt402-expiry-"));
const files = { certFile: join(directory, "a.crt"), keyFile: join(directory, "a.key") };
let authority: Authority;
beforeAll(async () => {
  authority = await newAuthority();
});
afterAll(async () => {
  await authority.remove();
  rmSync(directory, { recursive: true });
});

async function keepOneOf(days: number): Promise<void> {
  const issued = await authority.issue("one", [], inDays(days));
  copyFileSync(issued.certFile, files.certFile);
  copyFileSync(issued.keyFile, files.keyFile);
}

async function secondsLeft(broker: Parameters<typeof certificatesOf>[0]): Promise<Record<string, number>> {
  const registry = new Registry();
  registerAccess(new Scrape(registry), {
    broker: () => null,
    others: () => null,
    devicesPending: () => 0,
    certificates: () => certificatesOf(broker, NOW),
  });
  const lines = (await registry.metrics()).matchAll(
    /^watt402_certificate_expires_seconds\{which="(\w+)"\} (\S+)$/gm,
  );
  return Object.fromEntries([...lines].map(([, which, seconds]) => [which, Number(seconds)]));
}

test("the broker's certificate and its clients' authority are reported by the time left, renewed ones once they are loaded", async () => {
  const door = {
    port: 0,
    ...files,
    clientCaFile: authority.certFile,
    clientCertificates: "optional",
  } as const;
  const broker = EMBEDDED.parse({ kind: "embedded", tls: door });
  expect(await secondsLeft(broker)).toEqual({});
  await keepOneOf(10);
  readCertificates(door);
  const { broker: left, clientCa } = await secondsLeft(broker);
  expect(left).toBe(10 * DAY);
  expect(clientCa).toBeGreaterThan(20 * DAY);

  await keepOneOf(60);
  writeFileSync(files.keyFile, (await authority.issue("another")).key);
  expect(() => readCertificates(door)).toThrow("expected a certificate and its key");
  expect((await secondsLeft(broker)).broker).toBe(10 * DAY);

  await keepOneOf(60);
  // A chain serves as long as the first of its certificates to end.
  const { cert } = await authority.issue("in the middle", [], inDays(40));
  writeFileSync(files.certFile, `\n${cert}`, { flag: "a" });
  readCertificates(door);
  expect((await secondsLeft(broker)).broker).toBe(40 * DAY);
});

test("the gateway's own certificate at a broker of others is reported, past its end as a negative time", async () => {
  const broker = EXTERNAL.parse({ kind: "external", url: "mqtts://b.example.org", ...files });
  await keepOneOf(-1);
  readLogin("broker", broker);
  expect(await secondsLeft(broker)).toEqual({ externalBroker: -DAY });
});
