// The sections about who may speak, and the command that writes their rules for others' brokers.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { aclCommand } from "#gateway/commands/acl";
import { listenersOf } from "#gateway/config/broker-section";
import { type Config, checkConfig } from "#gateway/config/config";

const directory = mkdtempSync(join(tmpdir(), "watt402-broker-config-"));
afterAll(() => rmSync(directory, { recursive: true }));

const TLS = { certFile: "a.crt", keyFile: "a.key" };

function configured(
  broker: Record<string, unknown>,
  enrolment: Record<string, unknown> = { mode: "open" },
): Config {
  const asset = `0x${"5e".repeat(20)}`;
  const seller = { url: "https://e.example.org", network: "eip155:8453", asset };
  return checkConfig(
    {
      gateway: { key: "k", data: "d" },
      treasury: { key: "t" },
      chain: { rpc: "https://c.example.org" },
      seller,
      broker,
      enrolment,
    },
    "test",
  );
}

test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
  ["broker.plain: expected true while there is no broker.tls", { plain: false }, {}],
  ["broker.webSocket: expected port, securePort or both, found neither", { webSocket: {} }, {}],
  ["broker.webSocket.securePort: expected broker.tls beside it", { webSocket: { securePort: 1 } }, {}],
  [
    'broker.tls.clientCaFile: expected a file, because clientCertificates is "optional"',
    { tls: { ...TLS, clientCertificates: "optional" } },
    {},
  ],
  [
    'broker.tls.clientCertificates: "required" leaves no listener without TLS',
    { tls: { ...TLS, clientCertificates: "required", clientCaFile: "ca" } },
    {},
  ],
  [
    "broker.keyFile: expected a file beside certFile, found none",
    { kind: "external", url: "mqtts://b.example.org", certFile: "a.crt" },
    { mode: "open" },
  ],
  [
    "broker.certFile: expected an mqtts or wss URL beside it, found mqtt://b.example.org",
    { kind: "external", url: "mqtt://b.example.org", certFile: "a.crt", keyFile: "a.key" },
    { mode: "open" },
  ],
  [
    "broker.probe.certFile: expected a file beside keyFile, found none",
    { kind: "external", url: "mqtts://b.example.org", probe: { keyFile: "a.key" } },
    { mode: "open" },
  ],
  [
    "enrolment.mode: expected it to be written, because devices reach the broker at 0.0.0.0 from elsewhere",
    { host: "0.0.0.0" },
    {},
  ],
  [
    "enrolment.mode: expected it to be written, because devices reach the broker at b.example.org from elsewhere",
    { kind: "external", url: "mqtts://b.example.org" },
    { pendingMax: 5 },
  ],
  ['enrolment.allowFile: expected a file beside mode "allow-list"', {}, { mode: "allow-list" }],
])("a configuration is refused: %s", (reason, broker, enrolment) => {
  expect(() => configured(broker, enrolment)).toThrow(`config test: ${reason}`);
});

test("nothing is open that was not named: one plain door on loopback, and enrolment open", () => {
  const { broker, enrolment } = configured({}, {});
  if (broker.kind !== "embedded") throw new Error("expected the embedded broker");
  expect(listenersOf(broker)).toMatchObject({ host: "127.0.0.1", port: 1883, tls: null, webSocket: null });
  expect(enrolment.mode).toBe("open");
  const closed = configured({
    plain: false,
    tls: { ...TLS, clientCertificates: "required", clientCaFile: "ca" },
  });
  if (closed.broker.kind !== "embedded") throw new Error("expected the embedded broker");
  expect(listenersOf(closed.broker)).toMatchObject({
    port: null,
    tls: { port: 8883, clientCertificates: "required" },
  });
});

async function acl(config: Config, ...args: string[]): Promise<void> {
  await aclCommand(() => ({ config, source: "test", assumed: [] })).parseAsync(args, { from: "user" });
}

test("the command writes the rules with the gateway's own user name, anew when asked, and over no file of others", async () => {
  const external = configured({ kind: "external", url: "mqtts://b.example.org", username: "gate-7" });
  const out = join(directory, "mosquitto");
  await acl(external, "mosquitto", "--out", out);
  await acl(external, "mosquitto", "--out", out);
  expect(readFileSync(join(out, "watt402.acl"), "utf8")).toContain("user gate-7\n");
  expect(readFileSync(join(out, "watt402.conf"), "utf8")).toContain(`acl_file ${out}/watt402.acl\n`);
  writeFileSync(join(out, "watt402.conf"), "allow_anonymous true\n");
  await expect(acl(external, "mosquitto", "--out", out)).rejects.toThrow(
    `--out: ${join(out, "watt402.conf")}: expected no file, or one of ours, found another`,
  );
  await acl(external, "emqx", "--out", out);
  expect(readFileSync(join(out, "acl.conf"), "utf8")).toContain('{allow, {username, "gate-7"}, subscribe,');
});

test("RabbitMQ's rules are of a list of devices, which the file or the command names; no word of it is shown", async () => {
  const list = join(directory, "devices.txt");
  const device = "ab".repeat(20);
  writeFileSync(
    list,
    `# lights\n0x${device.toUpperCase()} lamp-light\n\n${"cd".repeat(20)} # by certificate\n`,
  );
  const embedded = configured({});
  const out = join(directory, "rabbitmq");
  await acl(embedded, "rabbitmq", "--devices", list, "--out", out);
  const definitions = join(out, "watt402-definitions.json");
  expect(statSync(definitions).mode & 0o077).toBe(0);
  const { users } = JSON.parse(readFileSync(definitions, "utf8")) as { users: { name: string }[] };
  expect(users.map(({ name }) => name)).toEqual(["gateway", device, "cd".repeat(20)]);
  expect(readFileSync(join(out, "watt402.conf"), "utf8")).toContain(`load_definitions = ${definitions}\n`);
  await acl(configured({}, { allowFile: list }), "rabbitmq", "--out", out);
  await expect(acl(embedded, "rabbitmq")).rejects.toThrow("--devices: expected a file of devices");
  await expect(acl(embedded, "mosquitto", "--devices", list)).rejects.toThrow("beside rabbitmq alone");
  await expect(acl(embedded, "emqx", "--passwords")).rejects.toThrow(
    "--passwords: expected it beside mosquitto",
  );
  writeFileSync(list, "secret-light\n");
  const wrong = acl(embedded, "rabbitmq", "--devices", list);
  await expect(wrong).rejects.toThrow(
    `--devices: ${list}: line 1: expected an address, 40 hex digits, and a password or nothing`,
  );
  await expect(wrong).rejects.not.toThrow("secret");
});

test("Mosquitto by passwords has two listeners with a file of passwords each, and no certificate is asked for", async () => {
  const out = join(directory, "passwords");
  await acl(configured({}), "mosquitto", "--passwords", "--out", out);
  const conf = readFileSync(join(out, "watt402.conf"), "utf8");
  expect(conf.match(/^password_file .*$/gm)).toEqual([
    `password_file ${out}/devices.passwords`,
    `password_file ${out}/gateways.passwords`,
  ]);
  expect(conf.match(/^allow_anonymous .*$/gm)).toEqual(["allow_anonymous false", "allow_anonymous false"]);
  expect(conf).not.toContain("require_certificate");
});
