// Debian's Mosquitto with the generated files: certificates as identities, and the same matrix as our own broker.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { afterAll, beforeAll, expect, test } from "vitest";
import { mosquittoFiles } from "#gateway/broker/external/acl-files";
import { until } from "../../fixtures.ts";
import { freePort } from "../../purchase/agreement.ts";
import { type Authority, type Issued, newAuthority } from "./authority.ts";
import { API_LEAVES, isListed, type Pair, topicsFor } from "./matrix.ts";

const isInstalled = spawnSync("mosquitto", ["-h"]).error === undefined;
const NOT_AUTHORISED = 135;
const SPEAKERS = Array.from({ length: 32 }, (_, index) => (index + 16).toString(16).repeat(20));

let devices: Authority;
let gateways: Authority;
let mosquitto: ChildProcess;
let folder: string;
let urls: { readonly device: string; readonly gateway: string };
const certificates = new Map<string, Issued>();
const open: MqttClient[] = [];

beforeAll(async () => {
  if (!isInstalled) return;
  [devices, gateways] = [await newAuthority("devices"), await newAuthority("gateways")];
  const server = await devices.issue("localhost");
  folder = mkdtempSync(join(tmpdir(), "watt402-acl-"));
  copyFileSync(server.certFile, join(folder, "broker.crt"));
  copyFileSync(server.keyFile, join(folder, "broker.key"));
  copyFileSync(devices.certFile, join(folder, "devices-ca.crt"));
  copyFileSync(gateways.certFile, join(folder, "gateways-ca.crt"));
  const [devicePort, gatewayPort] = [await freePort(), await freePort()];
  const files = mosquittoFiles({ gatewayUser: "gateway", discoveryPrefix: null, folder });
  const conf = files["watt402.conf"]!.replace("listener 8883", `listener ${devicePort} 127.0.0.1`).replace(
    "listener 8884",
    `listener ${gatewayPort} 127.0.0.1`,
  );
  const user = process.getuid?.() === 0 ? "user root\n" : "";
  writeFileSync(join(folder, "mosquitto.conf"), `${user}${conf}`);
  writeFileSync(join(folder, "watt402.acl"), files["watt402.acl"]!);
  let said = "";
  mosquitto = spawn("mosquitto", ["-c", join(folder, "mosquitto.conf")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  mosquitto.stderr!.on("data", (chunk) => {
    said += chunk;
  });
  await until(
    () => said.includes("running") || mosquitto.exitCode !== null,
    10_000,
    () => "Mosquitto",
  );
  expect(mosquitto.exitCode, said).toBeNull();
  urls = { device: `mqtts://localhost:${devicePort}`, gateway: `mqtts://localhost:${gatewayPort}` };
  for (const name of SPEAKERS) certificates.set(name, await devices.issue(name));
});
afterAll(async () => {
  if (!isInstalled) return;
  await Promise.all(open.map((client) => client.endAsync(true)));
  const ended = once(mosquitto, "exit");
  mosquitto.kill("SIGTERM");
  await ended;
  await Promise.all([devices.remove(), gateways.remove()]);
  rmSync(folder, { recursive: true });
});

/** The client, or the code or words by which it was refused. */
function logIn(url: string, { cert, key }: Partial<Issued>, instead: IClientOptions = {}) {
  const client = mqtt.connect(url, {
    protocolVersion: 5,
    ca: devices.cert,
    ...(cert === undefined ? {} : { cert, key: key! }),
    reconnectPeriod: 0,
    ...instead,
  });
  open.push(client);
  return new Promise<MqttClient | string>((resolve) => {
    client.once("connect", () => resolve(client));
    client.once("error", (error) => resolve(String((error as { code?: unknown }).code ?? error.message)));
    client.once("close", () => resolve("closed"));
  });
}

async function deviceClient(name: string, instead: IClientOptions = {}): Promise<MqttClient> {
  const client = await logIn(urls.device, certificates.get(name)!, instead);
  if (typeof client === "string") throw new Error(`expected a login of ${name}, found ${client}`);
  return client;
}

/** What Mosquitto can check of a pair: neither sizes nor retention. */
const isListedFor = (pair: Pair) =>
  isListed({ ...pair, bytes: 1, action: pair.action === "retained" ? "publish" : pair.action });

test.runIf(isInstalled)(
  "Mosquitto with our files passes of more than five thousand pairs only the listed ones",
  async () => {
    const gateway = (await logIn(urls.gateway, await gateways.issue("gateway"))) as MqttClient;
    const arrived = new Set<string>();
    gateway.on("message", (topic) => arrived.add(topic));
    await gateway.subscribeAsync(
      API_LEAVES.map(({ name }) => `x402/1/+/${name}`),
      { qos: 1 },
    );
    const wrong: string[] = [];
    const listed: string[] = [];
    let pairs = 0;
    for (const [index, speaker] of SPEAKERS.entries()) {
      const client = await deviceClient(speaker);
      const topics = topicsFor(speaker, SPEAKERS[(index + 1) % SPEAKERS.length]!).filter(
        (topic) => topic !== "" && !/[#+]/.test(topic),
      );
      const tries = topics.flatMap((topic) =>
        (["publish", "retained"] as const).map(async (action) => {
          const error = await client.publishAsync(topic, "x", { qos: 1, retain: action === "retained" }).then(
            () => null,
            (reason: { code?: number }) => reason,
          );
          if (error !== null && error.code !== NOT_AUTHORISED) throw error;
          pairs += 1;
          const isThrough = error === null;
          if (isThrough !== isListedFor({ speaker, topic, action, bytes: 1 }))
            wrong.push(`${action} ${topic}`);
          if (isThrough) listed.push(topic);
        }),
      );
      await Promise.all(tries);
      await client.endAsync();
    }
    expect(wrong).toEqual([]);
    expect(pairs).toBeGreaterThan(5_000);
    await until(
      () => arrived.size === new Set(listed).size,
      5_000,
      () => `${new Set(listed).size} topics at the gateway, found ${arrived.size}`,
    );
    expect([...arrived].sort()).toEqual([...new Set(listed)].sort());
  },
);

test.runIf(isInstalled)(
  "whatever a device subscribes to, it hears its own down leaves and nothing else",
  async () => {
    const gateway = (await logIn(urls.gateway, await gateways.issue("gateway"))) as MqttClient;
    const [one, two] = [SPEAKERS[0]!, SPEAKERS[1]!];
    const client = await deviceClient(one);
    const got = new Set<string>();
    client.on("message", (topic) => got.add(topic));
    const filters = topicsFor(one, two).filter(
      (topic) => topic !== "" && !/[^/][#+]|[#+][^/]|#\//.test(topic),
    );
    expect(filters).toContain("#");
    await client.subscribeAsync(filters, { qos: 1 }).catch(() => undefined);
    const other = await deviceClient(two);
    for (const { name, isUp } of API_LEAVES) {
      for (const speaker of SPEAKERS) {
        if (!isUp) await gateway.publishAsync(`x402/1/${speaker}/${name}`, "x", { qos: 1 });
      }
      if (isUp) await other.publishAsync(`x402/1/${two}/${name}`, "x", { qos: 1 });
    }
    const expected = API_LEAVES.filter(({ isUp }) => !isUp).map(({ name }) => `x402/1/${one}/${name}`);
    await until(
      () => got.size >= expected.length,
      5_000,
      () => "its own down leaves",
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([...got].sort()).toEqual(expected.sort());
  },
);

test.runIf(isInstalled)(
  "a will on another's topic is published to no client, the device's own state is",
  async () => {
    const gateway = (await logIn(urls.gateway, await gateways.issue("gateway"))) as MqttClient;
    const arrived: string[] = [];
    gateway.on("message", (topic, payload) => arrived.push(`${topic} ${payload}`));
    await gateway.subscribeAsync(
      API_LEAVES.map(({ name }) => `x402/1/+/${name}`),
      { qos: 1 },
    );
    const [one, two] = [SPEAKERS[2]!, SPEAKERS[3]!];
    const will = (topic: string) => ({ will: { topic, payload: Buffer.from("a will"), qos: 1 as const } });
    for (const { name } of API_LEAVES) {
      const hostile = await deviceClient(one, will(`x402/1/${two}/${name}`));
      hostile.stream.destroy();
    }
    const client = await deviceClient(one, will(`x402/1/${one}/state`));
    client.stream.destroy();
    await until(
      () => arrived.includes(`x402/1/${one}/state a will`),
      5_000,
      () => "the will",
    );
    expect(arrived.filter((said) => said.includes(two) && said.includes("a will"))).toEqual([]);
  },
);

test.runIf(isInstalled)(
  "no client logs in without a certificate, on the gateways' listener, or under another's client id",
  async () => {
    const [one, two] = [SPEAKERS[4]!, SPEAKERS[5]!];
    expect(typeof (await logIn(urls.device, {}))).toBe("string");
    expect(typeof (await logIn(urls.device, {}, { username: one, password: "x" }))).toBe("string");
    expect(typeof (await logIn(urls.gateway, certificates.get(one)!))).toBe("string");
    expect(typeof (await logIn(urls.device, await gateways.issue("gateway")))).toBe("string");
    // Its client id is its certificate's name, whatever it says: the connection of another stands.
    const victim = await deviceClient(two);
    const thief = await deviceClient(one, { clientId: two, username: two });
    expect(await thief.publishAsync(`x402/1/${two}/pay`, "x", { qos: 1 }).catch((error) => error.code)).toBe(
      NOT_AUTHORISED,
    );
    await victim.publishAsync(`x402/1/${two}/pay`, "x", { qos: 1 });
    expect(victim.connected).toBe(true);
  },
);
