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
  const { tokens, chains, limits, forward, sellers } = checkConfig(good(), "x.toml");
  expect(sellers).toMatchObject([{ name: "seller", kind: "electricity" }]);
  expect(chains).toEqual([{ network: "eip155:31337", rpc: anvil.rpcUrl, member: "chain.rpc" }]);
  expect(tokens).toMatchObject([{ network: "eip155:31337", symbol: "USDC", decimals: 6 }]);
  expect(tokens[0]!.depositAtomic).toBeLessThanOrEqual(tokens[0]!.perChannelAtomic);
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
  ["seller", "schemes", ["auth-capture"], /batch-settlement/],
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

describe("several chains and tokens", () => {
  const [HERE, THERE] = ["eip155:31337", "eip155:31338"];
  const [DOLLAR, EURO] = [`0x${"70".repeat(20)}`, `0x${"7E".repeat(20)}`];
  const seller = (name: string, network: string, asset: string) => ({
    ...{ name, network, asset },
    url: `http://127.0.0.1/${name}`,
  });
  const token = (network: string, asset: string) => ({ network, asset, symbol: "USDC", decimals: 6 });
  const both = (patch: Record<string, unknown> = {}) => {
    const { seller: _, chain: __, ...others } = good();
    return {
      ...others,
      sellers: [seller("here", HERE!, DOLLAR!), seller("there", THERE!, EURO!)],
      chains: [
        { network: THERE, rpc: "http://127.0.0.1:8" },
        { network: HERE, rpc: "http://127.0.0.1:9" },
      ],
      tokens: [token(HERE!, DOLLAR!), { ...token(THERE!, EURO!.toLowerCase()), perDayAtomic: 30_000_000 }],
      treasury: { key: keyFile, perDevicePerDayAtomic: 5_000_000 },
      ...patch,
    };
  };

  test("each seller has its chain, and each token its own limits or the usual ones", () => {
    const { chains, tokens, sellers } = checkConfig(both(), "f");
    expect(chains).toEqual([
      { network: HERE, rpc: "http://127.0.0.1:9", member: "chains.1.rpc" },
      { network: THERE, rpc: "http://127.0.0.1:8", member: "chains.0.rpc" },
    ]);
    expect(tokens).toMatchObject([
      { network: HERE, asset: DOLLAR, perDayAtomic: 1_000_000_000, newcomersPerDayAtomic: 100_000_000 },
      { network: THERE, asset: EURO, perDayAtomic: 30_000_000, newcomersPerDayAtomic: 3_000_000 },
    ]);
    expect(tokens.map(({ perDevicePerDayAtomic }) => perDevicePerDayAtomic)).toEqual([5_000_000, 5_000_000]);
    expect(sellers.map(({ tokens: taken }) => taken)).toEqual([
      [{ network: HERE, asset: DOLLAR }],
      [{ network: THERE, asset: EURO }],
    ]);
  });

  test("a seller may take several, in its order of preference", () => {
    const several = { ...seller("one", HERE!, DOLLAR!), network: undefined, asset: undefined };
    const tokens = [token(THERE!, EURO!), token(HERE!, DOLLAR!)].map(({ network, asset }) => ({
      network,
      asset,
    }));
    const config = checkConfig(both({ sellers: [{ ...several, tokens }] }), "f");
    expect(config.sellers[0]!.tokens).toEqual(tokens);
    expect(config.tokens.map(({ network }) => network)).toEqual([THERE, HERE]);
    const twice = both({ sellers: [{ ...seller("one", HERE!, DOLLAR!), tokens }] });
    expect(() => checkConfig(twice, "f")).toThrow(
      "config f: sellers.0: expected network and asset, or tokens in their place, found both",
    );
  });

  test.each<[Record<string, unknown>, string]>([
    [{ chain: { rpc: "http://x" } }, "chain: expected either [chain] or [[chains]], found both"],
    [{ chains: [] }, "chain: expected either [chain] or [[chains]], found neither"],
    [
      { chains: [], chain: { rpc: "http://x" } },
      "chain: expected the node of one network, found sellers on eip155:31337 and eip155:31338; name each in [[chains]]",
    ],
    [
      { chains: [{ network: HERE, rpc: "http://x" }] },
      "chains: expected a node of eip155:31338, on which a seller is paid, found none",
    ],
    [
      { tokens: [token(HERE!, DOLLAR!)] },
      "tokens: expected symbol, decimals and limits of each of the sellers' 2 tokens in [[tokens]], found none for " +
        `eip155:31338/erc20:${EURO!.toLowerCase()}`,
    ],
    [
      { tokens: [token(HERE!, DOLLAR!), token(THERE!, EURO!), token(THERE!, EURO!.toLowerCase())] },
      `tokens.2: expected each token once, found eip155:31338/erc20:${EURO!.toLowerCase()} again`,
    ],
    [
      { tokens: [token(HERE!, DOLLAR!), { ...token(THERE!, EURO!), perDayAtomic: 4_000_000 }] },
      "tokens.1.perDevicePerDayAtomic: expected at most tokens.1.perDayAtomic (4000000), found 5000000",
    ],
    [
      { market: { choose: "cheapest" } },
      'market.choose: expected "order", as prices in 2 tokens cannot be compared, found "cheapest"',
    ],
  ])("%j is refused by name", (patch, expected) => {
    expect(() => checkConfig(both(patch), "f")).toThrow(`config f: ${expected}`);
  });
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
