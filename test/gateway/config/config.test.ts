// Every reason not to start is one line that names file, member and what was expected, without a stack trace.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkConfig, readConfig } from "#gateway/config/config";
import { type Anvil, startAnvil } from "#simulator/chain/anvil";
import { bundleOf } from "../processes/bundle.ts";
import { GATEWAY_PROCESS, spawnGateway } from "../processes/gateway-process.ts";

let directory: string;
let keyFile: string;
let anvil: Anvil;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "watt402-config-"));
  keyFile = join(directory, "key");
  writeFileSync(keyFile, `${generatePrivateKey()}\n`, { mode: 0o600 });
  anvil = await startAnvil();
});
afterAll(async () => {
  await anvil.stop();
  rmSync(directory, { recursive: true, force: true });
});

type Sections = Record<string, Record<string, unknown>>;

function good(): Sections {
  return {
    gateway: { key: keyFile, data: join(directory, "data") },
    broker: { kind: "embedded", port: 0 },
    seller: { url: "http://127.0.0.1:9", network: "eip155:31337", asset: `0x${"70".repeat(20)}` },
    treasury: { key: keyFile },
    chain: { rpc: anvil.rpcUrl },
  };
}

const withMember = (section: string, member: string, value: unknown): Sections => {
  const config = good();
  return { ...config, [section]: { ...config[section], [member]: value } };
};

test("a configuration with only what has no default is complete", () => {
  const { treasury, limits, forward, sellers } = checkConfig(good(), "x.toml");
  expect(sellers).toMatchObject([{ name: "seller", kind: "electricity" }]);
  expect(treasury.depositAtomic).toBeLessThanOrEqual(treasury.perChannelAtomic);
  expect(limits.purchases).toBeGreaterThan(0);
  expect(forward.origins).toEqual([]);
});

test.each<[string, string, unknown, RegExp]>([
  ["gateway", "key", 5, /expected string/],
  ["gateway", "datta", "x", /gateway: .*datta/],
  ["broker", "kind", "kafka", /embedded|external/],
  ["broker", "port", 70_000, /65535|65_535/],
  ["broker", "connections", 0, />=1/],
  ["seller", "url", "ftp://x", /expected an http or https URL/],
  ["seller", "network", "base", /eip155:8453/],
  ["seller", "asset", "0x12", /40 hex digits/],
  ["seller", "schemes", [], />=1/],
  ["seller", "schemes", ["upto"], /batch-settlement/],
  ["seller", "kind", "fixed", /unitsPerPayment/],
  ["ledger", "kind", "mysql", /sqlite|postgres/],
  ["ledger", "url", "postgres://x", /url/],
  ["treasury", "key", undefined, /expected either key or signerUrl, found neither/],
  ["treasury", "signerUrl", "http://127.0.0.1:9", /either key or signerUrl, found both/],
  ["treasury", "depositAtomic", 1.5, /int/],
  ["treasury", "depositAtomic", 30_000_000, /at most treasury.perChannelAtomic/],
  ["treasury", "perChannelAtomic", 200_000_000_000, /at most treasury.fleetAtomic/],
  ["treasury", "perDevicePerDayAtomic", 2_000_000_000, /at most treasury.perDayAtomic/],
  ["treasury", "depositDays", 400, /<=366/],
  ["chain", "rpc", "localhost", /expected an http or https URL/],
  ["limits", "purchases", 0, />=1/],
  ["forward", "origins", ["example.org"], /expected an http or https URL/],
])("%s.%s = %j is reported in one line with its file", (section, member, value, expected) => {
  const check = () => checkConfig(withMember(section, member, value), "/etc/x.toml");
  expect(check).toThrow(expected);
  expect(check).toThrow(new RegExp(`^config /etc/x.toml: ${section}`));
  try {
    check();
  } catch (error) {
    expect((error as Error).message.split("\n")).toHaveLength(1);
  }
});

test("every wrong value has a line of its own, and a missing section is named", () => {
  const config = withMember("seller", "asset", "x");
  config.chain = { rpc: 5 as unknown as string };
  delete (config as Partial<Sections>).treasury;
  expect(() => checkConfig(config, "f")).toThrow(
    /^config f: seller\.asset: .*\nconfig f: treasury: .*\nconfig f: chain\.rpc: .*$/,
  );
});

test("a syntax error is reported with its line, a missing file by name", () => {
  const file = join(directory, "broken.toml");
  writeFileSync(file, '[gateway]\nkey = "a"\ndata = = 3\n');
  expect(() => readConfig(file)).toThrow(new RegExp(`^config ${file}: line 3, column 8: [^\\n]+$`));
  expect(() => readConfig("/nowhere/x.toml")).toThrow(
    "config /nowhere/x.toml: expected a readable file, found ENOENT",
  );
});

describe("as a process", () => {
  let bundle: string;
  beforeAll(async () => {
    bundle = await bundleOf(GATEWAY_PROCESS, directory);
  });

  async function run(config: Sections | string) {
    const file = join(directory, `${Math.random()}.toml`);
    writeFileSync(file, typeof config === "string" ? config : stringify(config));
    const { code, stdout, stderr } = await spawnGateway(["--config", file], bundle).ended;
    return { code, stdout, lines: stderr.trim().split("\n") };
  }

  test("the launcher with --check says good and leaves", async () => {
    const file = join(directory, "good.toml");
    writeFileSync(file, stringify(good()));
    const { code, stdout, stderr } = await spawnGateway(["--config", file, "--check"]).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("[gateway]\nkey = ");
    expect(stdout.endsWith(`config ${file}: good\n`)).toBe(true);
  });

  test.each<[string, () => Sections | string, RegExp]>([
    ["a syntax error", () => "[gateway", /line 1/],
    [
      "a missing key file",
      () => withMember("gateway", "key", "/nowhere/key"),
      /gateway\.key: \/nowhere\/key: expected a key file, found none/,
    ],
    [
      "a key file others can read",
      () => withMember("treasury", "key", publicKeyFile()),
      /treasury\.key: .*expected mode 0600, found 0644/,
    ],
    [
      "a key file of something else",
      () => withMember("gateway", "key", wrongKeyFile()),
      /gateway\.key: .*64 hex digits/,
    ],
    [
      "another chain",
      () => withMember("seller", "network", "eip155:8453"),
      /expected chain id 8453, found 31337; check seller\.network/,
    ],
    [
      "a data folder that is a file",
      () => withMember("gateway", "data", keyFile),
      /gateway\.data: expected a folder/,
    ],
    [
      "a missing password file",
      () => ({
        ...good(),
        broker: { kind: "external", url: "mqtt://127.0.0.1:9", passwordFile: "/nowhere" },
      }),
      /broker\.passwordFile: \/nowhere: cannot be read \(ENOENT\)/,
    ],
  ])("%s ends it with exit code 1 and one line", async (_, config, expected) => {
    const { code, lines } = await run(config());
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^watt402-gateway: /);
    expect(lines[0]).toMatch(expected);
    expect(code).toBe(1);
  });

  test("a busy broker port ends it likewise", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    const { code, lines } = await run(withMember("broker", "port", port));
    server.close();
    expect(lines).toEqual([
      `watt402-gateway: broker 127.0.0.1:${port}: the port is in use; choose another broker.port`,
    ]);
    expect(code).toBe(1);
  });
});

function publicKeyFile(): string {
  const file = join(directory, "public.key");
  writeFileSync(file, `${generatePrivateKey()}\n`);
  chmodSync(file, 0o644);
  return file;
}

function wrongKeyFile(): string {
  const file = join(directory, "wrong.key");
  writeFileSync(file, "secret", { mode: 0o600 });
  mkdirSync(join(directory, "data"), { recursive: true });
  return file;
}
