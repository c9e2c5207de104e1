/**
 * What keeps a run from starting: one line that says what was expected and found, exit code 1, nothing on
 * standard output and nothing left running.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Anvil, startAnvil } from "#simulator/chain/anvil";
import { DEVELOPMENT_DOLLAR_ADDRESS, deployContracts, mint } from "#simulator/chain/deploy";
import { main } from "#simulator/main";
import { freePort } from "#simulator/services/free-port";
import { descendantsOf, isRunning, simulate, until } from "./process.ts";

const REFUSAL_MS = 90_000;

/** What an installation without its optional packages looks like to the program. */
const WITHOUT_ANVIL = `data:text/javascript,${encodeURIComponent(`
  import Module from "node:module";
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function (name, ...rest) {
    if (name.startsWith("@foundry-rs/anvil-")) throw new Error("not installed");
    return resolve.call(this, name, ...rest);
  };`)}`;

let directory: string;
let bare: Anvil;
let unfunded: Anvil;
let deadPort: number;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "refusals-"));
  writeFileSync(
    join(directory, "bad.csv"),
    "start,price\n2026-01-15T00:00:00Z,80.5\n2026-01-15T01:00:00Z,cheap\n",
  );
  bare = await startAnvil();
  unfunded = await startAnvil();
  await deployContracts(unfunded);
  deadPort = await freePort();
});
afterAll(async () => {
  await bare.stop();
  await unfunded.stop();
  rmSync(directory, { recursive: true });
});

/** The line with which the command refuses, run in this process; what it was doing until then left out. */
async function refusal(args: readonly string[]): Promise<string> {
  const before = new Set(descendantsOf(process.pid));
  const said: string[] = [];
  const take = (text: string | Uint8Array) => said.push(String(text)) > 0;
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation(take);
  const stdout = vi.spyOn(process.stdout, "write").mockImplementation((text) => take(`on stdout: ${text}`));
  // Another process's parent is not this command's: main would part from the one that runs the tests.
  const disconnect = vi.spyOn(process, "disconnect").mockImplementation(() => undefined);
  const exitCodeBefore = process.exitCode;
  try {
    await main(args);
    expect(process.exitCode).toBe(1);
  } finally {
    process.exitCode = exitCodeBefore;
    for (const spy of [stderr, stdout, disconnect]) spy.mockRestore();
  }
  const started = descendantsOf(process.pid).filter((pid) => !before.has(pid));
  await until("all that it started is gone", () => !started.some(isRunning));
  return oneLine(said.join(""));
}

/** The same of a process of its own. */
async function refusalOfProcess(args: readonly string[], nodeArgs: readonly string[] = []): Promise<string> {
  const run = simulate(args, { nodeArgs });
  expect(await run.ended).toBe(1);
  expect(run.stdout()).toBe("");
  return oneLine(run.stderr());
}

function oneLine(reported: string): string {
  const lines = reported.trim().split("\n");
  const [line, ...more] = lines.filter((text) => !text.startsWith("starting "));
  const isUsage = line?.startsWith("error: ") === true;
  expect(more).toEqual(isUsage ? ["(watt402-simulate --help lists the options)"] : []);
  return line!;
}

describe("on the command line", () => {
  test.each([
    [["--bogus"], "error: unknown option '--bogus'"],
    [["street"], "too many arguments"],
    [["--lights", "0"], "argument '0' is invalid. expected a whole number from 1 to 100000"],
    [["--lights", "x"], "argument 'x' is invalid. expected a whole number from 1 to 100000"],
    [["--lights"], "error: option '--lights <number>' argument missing"],
    [["--minutes", "-1"], "argument '-1' is invalid. expected a number above 0"],
    [["--speed", "NaN"], "argument 'NaN' is invalid. expected a number above 0"],
    [["--scheme", "barter"], "Allowed choices are batch-settlement, exact"],
    [["--broker", "http://127.0.0.1"], "expected mqtt://host:port or mqtts://host:port"],
    [["--rpc", "127.0.0.1:8545"], "expected an http or https URL"],
    [["--token", "0x12"], "argument '0x12' is invalid. expected 0x and 40 hex digits"],
  ])(
    "%j",
    async (args, line) => {
      expect(await refusal(args)).toContain(line);
    },
    REFUSAL_MS,
  );
});

describe("in the surroundings", () => {
  const cases: Record<string, [() => string[], () => string | RegExp]> = {
    "a tariff of no kind": [
      () => ["--tariff", "cheap"],
      () => 'tariff: expected flat:PRICE, tou:FILE or csv:FILE, found "cheap"',
    ],
    "a tariff file that is not there": [
      () => ["--tariff", `tou:${directory}/none.toml`],
      () => `tariff ${directory}/none.toml: expected a readable file, found ENOENT`,
    ],
    "a line of a price list that is no price": [
      () => ["--tariff", `csv:${directory}/bad.csv`],
      () => /cheap/,
    ],
    "a chain that does not answer": [
      () => ["--rpc", `http://127.0.0.1:${deadPort}`],
      () => /^watt402-simulate: chain http:.*: no answer to eth_chainId .*; is the node running there\?$/,
    ],
    "a chain without x402's contracts": [
      () => ["--rpc", bare.rpcUrl],
      () => /no code at 0x\w{40} \(batchSettlement\) on chain 31337; use a chain that x402 is deployed on/,
    ],
    "a treasury without money": [
      () => ["--rpc", unfunded.rpcUrl],
      () =>
        `expected tokens of ${DEVELOPMENT_DOLLAR_ADDRESS.toLowerCase()}, found a balance of 0; fund it first`,
    ],
    "a token without code": [
      () => ["--rpc", unfunded.rpcUrl, "--token", `0x${"12".repeat(20)}`],
      () => `expected an ERC-20 token at 0x${"12".repeat(20)}, found none; check --token`,
    ],
    "a seller elsewhere without its chain": [
      () => ["--seller", "http://127.0.0.1:8402"],
      () => "--seller: expected --rpc too, the chain on which that seller is paid",
    ],
    "a broker that is not there": [
      () => ["--broker", `mqtt://127.0.0.1:${deadPort}`],
      () => `broker mqtt://127.0.0.1:${deadPort}: expected an MQTT broker, found no answer (ECONNREFUSED)`,
    ],
  };
  test.each(Object.entries(cases))(
    "%s",
    async (_what, [args, line]) => {
      expect(await refusal(["--lights", "2", ...args()])).toMatch(line());
    },
    REFUSAL_MS,
  );

  test(
    "a seller that is not there, or is none",
    async () => {
      await mint(unfunded, unfunded.accounts[0]!.address, 1_000_000n);
      const at = (url: string) => refusal(["--rpc", unfunded.rpcUrl, "--seller", url]);
      expect(await at(`http://127.0.0.1:${deadPort}`)).toContain(
        `seller http://127.0.0.1:${deadPort}: no answer (ECONNREFUSED); is it running there?`,
      );
      expect(await at(bare.rpcUrl)).toContain("expected a tariff with a menu at /v1/tariff, found HTTP");
    },
    REFUSAL_MS,
  );

  test(
    "a chain's program that is not installed",
    async () => {
      const line = await refusalOfProcess(["--lights", "2"], ["--import", WITHOUT_ANVIL]);
      expect(line).toMatch(/anvil: no binary for \w+ \w+; npm install @foundry-rs\/anvil-\S+, or .* --rpc$/);
    },
    REFUSAL_MS,
  );

  test(
    "a port for the chain that is busy",
    async () => {
      const port = new URL(bare.rpcUrl).port;
      const line = await refusalOfProcess(["chain", "--port", port]);
      expect(line).toBe(
        `watt402-simulate chain: anvil: port ${port} is busy; choose another, or none for a free one`,
      );
    },
    REFUSAL_MS,
  );
});
