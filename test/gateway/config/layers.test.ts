// Where a configuration comes from: file, environment, command line, or nothing at all; and what is shown of it.

import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { parse, stringify } from "smol-toml";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { checkConfig, readConfig, SECTIONS } from "#gateway/config/config";
import { fromEnvironment, loadConfig, shownConfig, shownUrl } from "#gateway/config/layers";
import { watchChain } from "#gateway/treasury/evm-chain";
import { connectEvm } from "#gateway/treasury/evm-client";
import { until } from "../fixtures.ts";
import { bundleOf } from "../processes/bundle.ts";
import { GATEWAY_PROCESS, spawnGateway } from "../processes/gateway-process.ts";

let directory: string;
let program: string;
let file: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "watt402-layers-"));
  program = await bundleOf(GATEWAY_PROCESS, directory);
  // What --init writes lies beside the program.
  copyFileSync(SAMPLE, join(directory, "gateway.sample.toml"));
  file = join(directory, "gateway.toml");
  writeFileSync(file, stringify(GOOD));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const SAMPLE = fileURLToPath(new URL("../../../gateway/config/gateway.sample.toml", import.meta.url));

const GOOD = {
  gateway: { key: "/keys/gateway", data: "/data" },
  seller: { url: "http://127.0.0.1:9", network: "eip155:31337", asset: `0x${"70".repeat(20)}` },
  treasury: { key: "/keys/treasury", depositAtomic: 5 },
  chain: { rpc: "http://127.0.0.1:8545" },
  enrolment: { mode: "open" },
};

/** Variables for processes of this test; restored after it. */
const before = { ...process.env };
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
});

const load = (environment: Record<string, string>, settings: readonly string[] = []) =>
  loadConfig({ file, environment, settings }).config;

test("the command line goes before the environment, and that before the file", () => {
  const environment = { WATT402_TREASURY_DEPOSIT_ATOMIC: "6", WATT402_SELLER_URL: "http://seller:1" };
  expect(load({}).tokens[0]!.depositAtomic).toBe(5);
  expect(load(environment)).toMatchObject({
    tokens: [{ depositAtomic: 6 }],
    sellers: [{ url: "http://seller:1" }],
  });
  expect(load(environment, ["treasury.depositAtomic=7"]).tokens[0]!.depositAtomic).toBe(7);
  expect(load(environment).treasury.key).toBe("/keys/treasury");
});

test("a value is a number, a boolean or an array where it reads like one, else text", () => {
  const environment = {
    WATT402_SELLER_SCHEMES: '["exact"]',
    WATT402_LIMITS_PURCHASES: "12",
    WATT402_GATEWAY_DATA: "/var/lib/x # y",
    WATT402_BROKER_KIND: "external",
    WATT402_BROKER_URL: "mqtt://b:1883",
    WATT402_BROKER_USERNAME: '"1234"',
  };
  expect(load(environment)).toMatchObject({
    sellers: [{ schemes: ["exact"] }],
    limits: { purchases: 12 },
    broker: { kind: "external", username: "1234" },
  });
  expect(fromEnvironment({ WATT402_GATEWAY_DATA: "/var/lib/x" })).toEqual({
    gateway: { data: "/var/lib/x" },
  });
});

test("a wrong value, a typo and a secret in a variable are refused; variables of other programs are left alone", () => {
  expect(() => load({ WATT402_SELLER_URL: "seller" })).toThrow("seller.url: expected an http or https URL");
  expect(() => load({ WATT402_SELLER_ULR: "http://x" })).toThrow(/config .*: seller: .*ulr/);
  expect(() => load({}, ["seller.url"])).toThrow('--set: expected section.member=value, found "seller.url"');
  expect(() => load({}, ["sellr.url=http://x"])).toThrow(/sellr/);
  const secret = `0x${"ab".repeat(32)}`;
  const leaked = () => load({ WATT402_TREASURY_KEY: secret });
  expect(leaked).toThrow("WATT402_TREASURY_KEY: expected the name of a file, found a secret");
  expect(leaked).not.toThrow(secret);
  expect(() => load({ WATT402_RECEIVER_KEY: secret, PATH: "x" })).not.toThrow();
});

test("every member of the sample can be set by its variable", () => {
  const sample = parse(readFileSync(SAMPLE, "utf8"));
  const entries = Object.entries(sample).flatMap(([section, members]) =>
    Object.entries(members as object)
      .filter(([, value]) => typeof value !== "object" || Array.isArray(value))
      .map(([member, value]) => ({ section, member, value: value as unknown })),
  );
  expect(entries.length).toBeGreaterThan(20);
  const screaming = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  for (const { section, member, value } of entries) {
    const name = `WATT402_${screaming(section)}_${screaming(member)}`;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    expect(fromEnvironment({ [name]: text })).toEqual({ [section]: { [member]: value } });
  }
  for (const section of Object.keys(sample)) expect(SECTIONS).toContain(section);
});

test("what is shown of a configuration is its whole effect and none of its secrets", () => {
  const config = checkConfig(
    {
      ...GOOD,
      ledger: { kind: "postgres", url: "postgres://watt402:hunter2@db:5432/x" },
      broker: { kind: "external", url: "mqtts://gw:hunter2@b:8883" },
      chain: { rpc: "https://node.example.org/v3/0123456789abcdef0123456789abcdef?key=hunter2" },
    },
    "test",
  );
  const shown = stringify(shownConfig(config));
  expect(shown).not.toMatch(/hunter2|0123456789abcdef/);
  expect(shown).toContain("depositDays = 7");
  expect(shown).toContain('rpc = "https://node.example.org/v3/***?key=***"');
  fc.assert(
    fc.property(
      fc.webUrl({ withQueryParameters: true }),
      fc.stringMatching(/^[a-zA-Z0-9]{12}$/),
      (url, secret) => {
        const open = new URL(url);
        open.password = secret;
        open.username = "u";
        expect(shownUrl(open.href)).not.toContain(secret);
      },
    ),
  );
});

test("--check shows what is in effect, --init writes a sample that is good and is never written over", async () => {
  process.env.WATT402_LIMITS_PURCHASES = "77";
  const check = await spawnGateway(["--check", "--config", file], program).ended;
  expect(check.code).toBe(0);
  expect(check.stdout).toContain("purchases = 77");
  const others = join(directory, "others.toml");
  const broker = { kind: "external", url: "mqtts://b:8883", certFile: "/none.crt", keyFile: "/none.key" };
  writeFileSync(others, stringify({ ...GOOD, broker }));
  expect(await spawnGateway(["--check", "--config", others], program).ended).toMatchObject({
    code: 1,
    stderr: "watt402-gateway: broker.certFile: /none.crt: cannot be read (ENOENT)\n",
  });
  const target = join(directory, "new.toml");
  const init = () => spawnGateway(["--init", target], program).ended;
  expect(await init()).toMatchObject({ code: 0, stderr: "" });
  expect(readConfig(target).tokens[0]!.depositDays).toBe(7);
  expect(statSync(target).mode & 0o077).toBe(0);
  expect(await init()).toMatchObject({
    code: 1,
    stderr: `watt402-gateway: --init ${target}: expected a new file, found EEXIST\n`,
  });
});

test("with no configuration at all it starts on this machine, says what it assumed, makes its keys, and waits", async () => {
  process.env.XDG_STATE_HOME = join(directory, "state");
  process.env.WATT402_BROKER_PORT = "0";
  // No server is there: port 9 discards.
  process.env.WATT402_CHAIN_RPC = "http://127.0.0.1:9";
  process.env.WATT402_SELLER_URL = "http://127.0.0.1:9";
  const keys = ["gateway.key", "treasury.key"].map((name) => join(directory, "state", "watt402", name));
  const first = spawnGateway([], program);
  expect(await first.ready).toMatch(/^mqtt:\/\/127\.0\.0\.1:\d+$/);
  expect(keys.map((key) => existsSync(key) && statSync(key).mode & 0o777)).toEqual([0o600, 0o600]);
  let log = "";
  first.child.stdout!.on("data", (chunk) => {
    log += chunk;
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(first.child.exitCode).toBeNull();
  first.child.kill("SIGTERM");
  const { code, stdout } = await first.ended;
  expect(code).toBe(0);
  expect(log.length).toBeLessThanOrEqual(stdout.length);
  for (const said of [
    "no configuration was named: this is a first look; --init writes a configuration to start from",
    `keys are made: ${keys[0]} and ${keys[1]}`,
    "the broker is here, on 127.0.0.1:0",
    "the seller is http://127.0.0.1:9, paid in token 0xd0114a0000000000000000000000000000000402 on eip155:31337",
    "no deposits until the chain answers",
    "the seller's tariff is out of reach",
  ]) {
    expect(stdout).toContain(said);
  }
  // The keys stay: the second look is the same gateway.
  const secrets = keys.map((key) => readFileSync(key, "utf8"));
  const second = spawnGateway([], program);
  await second.ready;
  second.child.kill("SIGTERM");
  const { stdout: again } = await second.ended;
  expect(again).not.toContain("keys are made");
  expect(keys.map((key) => readFileSync(key, "utf8"))).toEqual(secrets);
  expect(stdout + again).not.toContain(secrets[0]!.trim());
});

test("a chain that comes later is used then; one of another number never is", async () => {
  const account = { address: `0x${"01".repeat(20)}`, sign: () => new Uint8Array(65) };
  const notes: string[] = [];
  const note = (_level: string, text: string) => notes.push(text);
  let chainId = 31_337;
  const node = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => {
      text += chunk;
    });
    request.on("end", () => {
      const { id, method } = JSON.parse(text) as { id: number; method: string };
      const result = method === "eth_chainId" ? `0x${chainId.toString(16)}` : `0x${"0".repeat(62)}2a`;
      response.end(JSON.stringify({ jsonrpc: "2.0", id, result }));
    });
  });
  await listen(node, 0);
  const { port } = node.address() as AddressInfo;
  node.close();
  await until(
    () => !node.listening,
    2_000,
    () => "a free port",
  );

  const rpc = `http://127.0.0.1:${port}`;
  const token = `0x${"70".repeat(20)}`;
  const late = await watchChain(connectEvm(rpc, 31_337, account), note);
  const wrong = await watchChain(connectEvm(rpc, 8_453, account), note);
  expect(notes).toEqual(["no deposits until the chain answers", "no deposits until the chain answers"]);
  await expect(late.tokenBalance(token, token)).rejects.toThrow("expected a node, found none");
  await listen(node, port);
  expect(await late.tokenBalance(token, token)).toBe(42);
  const refusal = `chain.rpc ${rpc}: expected chain id 8453, found 31337; check seller.network`;
  await expect(wrong.tokenBalance(token, token)).rejects.toThrow(refusal);
  await expect(wrong.authorizationUsed(token, token, token)).rejects.toThrow(refusal);
  await expect(watchChain(connectEvm(rpc, 8_453, account), note)).rejects.toThrow(refusal);
  // Once seen, it is not asked again for every call.
  chainId = 1;
  expect(await late.tokenBalance(token, token)).toBe(42);
  late.stop();
  wrong.stop();
  node.close();
  node.closeAllConnections();
});

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve()));
}

test("a keystore is written from a key at hand and never over another", async () => {
  const secret = `0x${"0a".repeat(32)}`;
  const key = join(directory, "plain.key");
  const passwordFile = join(directory, "keystore.password");
  const out = join(directory, "keystore.json");
  writeFileSync(key, `${secret}\n`, { mode: 0o600 });
  writeFileSync(passwordFile, "correct horse battery", { mode: 0o600 });
  const args = ["keystore", "--out", out, "--password-file", passwordFile, "--from", key];
  const { code, stdout, stderr } = await spawnGateway(args, program).ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(new RegExp(`^0x[0-9a-f]{40} ${out}\n$`));
  expect(readFileSync(out, "utf8")).not.toContain("0a0a0a0a");
  expect((await spawnGateway(args, program).ended).stderr).toContain("expected a new file, found EEXIST");
});
