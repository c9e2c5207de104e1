// An operator's evening with the ledger: export, statement, reconciliation, top-up, refund, withdrawal; by the
// commands as typed, on what real lights bought from a real seller on a real chain.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Libsql from "libsql";
import { stringify } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isEscrowed, withdraw } from "#gateway/commands/withdrawal";
import { checkConfig } from "#gateway/config/config";
import { openSqliteLedger } from "#gateway/ledger/sqlite/sqlite-ledger";
import type { Difference } from "#gateway/ledger/statements/differences";
import type { Statement } from "#gateway/ledger/statements/statement";
import { type Escrow, escrowOn } from "#gateway/treasury/escrow";
import { chainOn } from "#gateway/treasury/evm-chain";
import { connectEvm } from "#gateway/treasury/evm-client";
import { keyTreasury } from "#gateway/treasury/open-treasury";
import type { SellerService } from "#simulator/seller/seller";
import { type Ground, type Light, prepareGround } from "../fixtures.ts";
import { bundleOf } from "../processes/bundle.ts";
import { GATEWAY_PROCESS, spawnGateway } from "../processes/gateway-process.ts";
import { startSeller } from "../purchase/agreement.ts";
import { cutAt, PowerCut } from "../purchase/power-cut.ts";

const QUANTUM = 100;
const DEPOSIT = 5_000;
const WITHDRAW_DELAY_SECONDS = 900;

let ground: Ground;
let utility: SellerService;
let config: Record<string, unknown>;
let configFile: string;
let program: string;
let lights: Light[];

beforeAll(async () => {
  ground = await prepareGround();
  utility = await startSeller(ground, { withdrawDelaySeconds: WITHDRAW_DELAY_SECONDS });
  config = ground.config(utility.url, { treasury: { depositAtomic: DEPOSIT } });
  configFile = join(ground.directory(), "gateway.toml");
  writeFileSync(configFile, stringify(config));
  program = await bundleOf(GATEWAY_PROCESS, ground.directory());
  lights = await buy(12);
});
afterAll(async () => {
  await utility.stop().catch(() => undefined);
  await ground.stop();
});

/** Two lights, new ones or those of before, buy from a gateway that is stopped afterwards. */
async function buy(rungs: number, before: readonly Light[] = []): Promise<Light[]> {
  const gateway = await ground.gateway(config);
  const found = [0, 1].map((index) => {
    const { key, memory } = before[index] ?? {};
    return ground.light(gateway.brokerUrl, key && memory ? { key, memory } : {});
  });
  await Promise.all(found.map((light) => light.untilCharged(rungs * QUANTUM)));
  await Promise.all(found.map((light) => light.stop()));
  await gateway.stop();
  return found;
}

async function run(...args: string[]) {
  const { code, stdout, stderr } = await spawnGateway([...args, "--config", configFile], program).ended;
  return { code, stdout, stderr };
}

const dataFolder = () => (config.gateway as { data: string }).data;

function inFile(sql: string): void {
  const db = new Libsql(join(dataFolder(), "ledger.sqlite"));
  db.exec(sql);
  db.close();
}

async function differences(): Promise<readonly Difference[]> {
  const { stdout, code } = await run("ledger", "reconcile", "--json");
  const found = JSON.parse(stdout) as { differences: Difference[]; unasked: string[] };
  expect(found.unasked).toEqual([]);
  expect(code).toBe(found.differences.length > 0 ? 1 : 0);
  return found.differences;
}

test("ledger, seller and chain agree after an honest evening, with exit code 0", async () => {
  const { code, stdout, stderr } = await run("ledger", "reconcile");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(
    /^seller seller: charged (\d+), took 0 on chain, \1 to come\n2 channels, \d+ payments: 0 differences\n$/,
  );
});

test.each<[string, string, RegExp, RegExp]>([
  ["an amount", "amount = amount + 1", /ledger row 600$/, /row was changed/],
  ["what was charged", "charged = charged - 1", /ledger row 600$/, /row was changed/],
  ["a grant", "granted = granted + 7", /ledger row 600$/, /price or grant/],
  ["a price", "price = price * 2", /ledger row 600$/, /price or grant/],
  ["a register", "register = 0", /ledger row 600$/, /register never falls/],
  [
    "a signature",
    "signature = (SELECT signature FROM payment WHERE max_claimable = 500 LIMIT 1)",
    /ledger row 600$/,
    /device signed something else/,
  ],
  ["the money itself", "max_claimable = 650", /ledger row 650$/, /device signed something else/],
])("a row in which %s was falsified is found and named", async (_, change, where, meaning) => {
  const device = lights[0]!.device;
  const row = `max_claimable = 600 AND channel_id = (SELECT id FROM channel WHERE device = '${device}')`;
  inFile(
    `CREATE TABLE kept AS SELECT * FROM payment WHERE ${row}; UPDATE payment SET ${change} WHERE ${row}`,
  );
  const found = await differences();
  inFile(`DELETE FROM payment WHERE channel_id IN (SELECT channel_id FROM kept) AND max_claimable IN (600, 650);
    INSERT INTO payment SELECT * FROM kept; DROP TABLE kept`);
  expect(found.length).toBeGreaterThan(0);
  expect(found.every((difference) => difference.device === device)).toBe(true);
  expect(found.some((difference) => where.test(difference.where) && meaning.test(difference.meaning))).toBe(
    true,
  );
});

test("a payment that was removed, a deposit that never was and a counter set by hand are found, too", async () => {
  const device = lights[1]!.device;
  const channel = `(SELECT id FROM channel WHERE device = '${device}')`;
  inFile(`CREATE TABLE kept AS SELECT * FROM payment WHERE channel_id = ${channel} AND max_claimable = 300;
    DELETE FROM payment WHERE channel_id = ${channel} AND max_claimable = 300;
    INSERT INTO deposit VALUES (${channel}, 1, 777, 1, '0x', 'confirmed', 1, 0, '');
    UPDATE channel SET granted = granted + 1 WHERE device = '${device}'`);
  const found = await differences();
  inFile(`INSERT INTO payment SELECT * FROM kept; DROP TABLE kept;
    DELETE FROM deposit WHERE idx = 1; UPDATE channel SET granted = granted - 1 WHERE device = '${device}'`);
  expect(found.map(({ where }) => where)).toEqual([
    "ledger row 400",
    "ledger channel",
    "ledger and seller",
    "deposit 1 and chain",
    "ledger and chain",
  ]);
  expect(found[4]!.meaning).toMatch(new RegExp(`Deposited ${DEPOSIT} in 0x`));
  expect(await differences()).toEqual([]);
});

test("a seller or a node that does not answer is reported, never taken for agreement", async () => {
  const args = ["ledger", "reconcile", "--set", "seller.url=http://127.0.0.1:9"];
  const { code, stdout } = await run(...args, "--set", "chain.rpc=http://127.0.0.1:9");
  expect(code).toBe(1);
  expect(stdout).toContain("not compared: seller: ");
  expect(stdout).toContain("not compared: chain: chain.rpc http://127.0.0.1:9: expected a node, found none");
});

test("an export has every payment once, as CSV and as JSON, of all devices or one, of all days or some", async () => {
  const csv = (await run("ledger", "export", "--csv")).stdout.trim().split("\n");
  const jsonl = (await run("ledger", "export", "--jsonl")).stdout.trim().split("\n");
  expect(csv.length - 1).toBe(jsonl.length);
  expect(jsonl.length).toBeGreaterThanOrEqual(24);
  const names = csv[0]!.split(",");
  const first = Object.fromEntries(csv[1]!.split(",").map((cell, index) => [names[index]!, cell]));
  const line = JSON.parse(jsonl[0]!) as Record<string, unknown>;
  expect(first).toEqual(
    Object.fromEntries(Object.entries(line).map(([name, value]) => [name, String(value)])),
  );
  expect(line).toMatchObject({ amountAtomic: QUANTUM, unit: "mWh", pricePerMillionUnits: 200_000 });
  const { device } = lights[0]!;
  const own = (await run("ledger", "export", "--jsonl", "--device", `0x${device.toUpperCase()}`)).stdout;
  for (const text of own.trim().split("\n")) expect(JSON.parse(text)).toMatchObject({ device });
  const today = new Date().toISOString().slice(0, 10);
  expect((await run("ledger", "export", "--from", "2020-01-01", "--to", "2020-12-31")).stdout).toBe(
    `${csv[0]}\n`,
  );
  expect(
    (await run("ledger", "export", "--jsonl", "--from", today)).stdout.split("\n").length,
  ).toBeGreaterThan(10);
  expect(await run("ledger", "export", "--from", "yesterday")).toEqual({
    code: 1,
    stdout: "",
    stderr: 'watt402-gateway: --from: expected a date like 2026-11-22, found "yesterday"\n',
  });
});

test("a statement lists a month's purchases, prices, energy and counters, for people and for programs", async () => {
  const { device } = lights[0]!;
  const month = new Date().toISOString().slice(0, 7);
  const { stdout: json } = await run("ledger", "statement", device, "--month", month, "--json");
  const statement = JSON.parse(json) as Statement;
  const [channel] = statement.channels;
  expect(statement.spentAtomic).toBe(statement.purchases * QUANTUM);
  expect(statement.grantedUnits).toBe(statement.purchases * 500);
  // The meter ran on what was granted: less than that, and most of it.
  expect(statement.consumedUnits).toBeGreaterThan(statement.grantedUnits / 2);
  expect(statement.consumedUnits).toBeLessThanOrEqual(statement.grantedUnits);
  expect(channel).toMatchObject({
    opening: null,
    closing: { charged: statement.spentAtomic, granted: statement.grantedUnits },
    depositedAtomic: DEPOSIT,
    prices: [{ pricePerMillionUnits: 200_000, purchases: statement.purchases }],
  });
  const { stdout: text } = await run("ledger", "statement", device, "--month", month);
  expect(text).toContain(`Statement for device ${device} (test light), ${month} (UTC)`);
  expect(text).toContain(`${statement.purchases} purchases at $0.200000/kWh`);
  const before = JSON.parse(
    (await run("ledger", "statement", device, "--month", "2020-02", "--json")).stdout,
  );
  expect(before).toMatchObject({ purchases: 0, spentAtomic: 0, consumedUnits: 0 });
  expect((await run("ledger", "statement", "ab".repeat(20), "--month", month)).stderr).toMatch(
    /expected one that the ledger knows, found none\n$/,
  );
  expect((await run("ledger", "statement", device, "--month", "2026-13")).stderr).toContain(
    "expected YYYY-MM",
  );
});

interface Listed {
  readonly device: string;
  readonly balance: number;
  readonly promised: number;
  readonly charged: number;
  readonly left: number;
  readonly withdrawing: number;
}

async function listed(device: string): Promise<Listed> {
  const all = JSON.parse((await run("channels", "list", "--json")).stdout) as Listed[];
  return all.find((channel) => channel.device === device)!;
}

const treasuryBalance = () =>
  chainOn(connection()).tokenBalance(ground.contracts.token, ground.treasuryKey.address);

const connection = () =>
  connectEvm(ground.anvil.rpcUrl, ground.contracts.chainId, keyTreasury(ground.treasuryKey));

test("a top-up promises the next deposit once, and the table shows it", async () => {
  const { device } = lights[0]!;
  expect((await run("channels", "top-up", `0x${device}`)).stdout).toMatch(/promised up to 10000/);
  expect((await run("channels", "top-up", device)).stdout).toMatch(/10000 is promised already/);
  expect(await listed(device)).toMatchObject({ balance: DEPOSIT, promised: 2 * DEPOSIT, withdrawing: 0 });
  const { stdout: table } = await run("channels", "list");
  expect(table.split("\n")[0]).toMatch(/^device +channel +seller +scheme +balance +promised +charged +left/);
  expect(table).toContain(device);
});

test("closing asks the seller: what was not spent is back, all still agree, and the light buys on by a new deposit", async () => {
  const { device } = lights[1]!;
  const { charged } = await listed(device);
  const before = await treasuryBalance();
  const { stdout, code } = await run("channels", "close", device);
  expect(stdout).toContain(`${DEPOSIT - charged} atomic units are back in the treasury`);
  expect(code).toBe(0);
  expect(await treasuryBalance()).toBe(before + DEPOSIT - charged);
  expect(await listed(device)).toMatchObject({ balance: charged, left: 0, withdrawing: 0 });
  expect(await run("channels", "close", device)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining("nothing was taken back: "),
  });
  expect(await differences()).toEqual([]);
  lights = await buy(charged / QUANTUM + 8, lights);
  expect((await listed(device)).balance).toBe(charged + DEPOSIT);
  expect(await differences()).toEqual([]);
});

async function travel(seconds: number): Promise<void> {
  for (const [method, params] of [
    ["evm_increaseTime", [seconds]],
    ["evm_mine", []],
  ] as const) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    await fetch(ground.anvil.rpcUrl, {
      method: "POST",
      body,
      headers: { "content-type": "application/json" },
    });
  }
}

// The chain's clock only goes forward: this is the last test.
test("a seller that vanished keeps nothing unspent: the withdrawal begins, waits, survives every cut, and ends", async () => {
  await utility.stop();
  const before = await treasuryBalance();
  const held: number[] = [];
  const { tokens } = checkConfig(config, "test");
  expect(tokens[0]!.depositAtomic).toBe(DEPOSIT);
  for (const light of lights) {
    const ledger = openSqliteLedger(dataFolder());
    const channel = ledger.channelsOf(light.device).find(isEscrowed)!;
    held.push(channel.balance - channel.charged);
    const escrow = escrowOn(connection());
    // Power fails at every call to chain or ledger, before it is carried out or with its answer lost.
    const step = async () => {
      for (let at = 0; ; at += 1) {
        for (const when of ["before", "after"] as const) {
          const calls = { count: 0 };
          const parts = {
            ledger: cutAt(ledger, calls, at, when),
            escrow: cutAt<Escrow>(escrow, calls, at, when),
            now: () => Date.now() / 1000,
          };
          try {
            return { done: await withdraw(parts, channel), cuts: at };
          } catch (error) {
            if (!(error instanceof PowerCut)) throw error;
          }
        }
      }
    };
    const { done, cuts } = await step();
    expect(done).toMatchObject({ kind: "waiting", amountAtomic: held.at(-1)! });
    expect(cuts).toBeGreaterThan(2);
    expect(await withdraw({ ledger, escrow, now: () => Date.now() / 1000 }, channel)).toMatchObject({
      kind: "waiting",
    });
    expect(await treasuryBalance()).toBe(before);
    // No deposit follows money that leaves.
    expect(await ledger.intendDeposit(channel, 9, 0, () => ledger.deposits(channel.id)[0]!)).toBeNull();
    await ledger.close();
  }
  const [first, second] = lights;
  expect((await run("channels", "withdraw", first!.device)).stdout).toMatch(
    /on their way; run this again after/,
  );
  expect(await listed(first!.device)).toMatchObject({ left: 0, withdrawing: held[0] });
  await travel(WITHDRAW_DELAY_SECONDS + 1);
  expect((await run("channels", "withdraw", first!.device)).stdout).toContain(
    `${held[0]} atomic units are back`,
  );

  const ledger = openSqliteLedger(dataFolder());
  const channel = ledger.channelsOf(second!.device).find(isEscrowed)!;
  const calls = { count: 0 };
  const lossy: Escrow = {
    ...escrowOn(connection()),
    async finalizeWithdraw(channelConfig) {
      await escrowOn(connection()).finalizeWithdraw(channelConfig);
      calls.count += 1;
      throw new PowerCut();
    },
  };
  const now = () => Date.now() / 1000;
  await expect(withdraw({ ledger, escrow: lossy, now }, channel)).rejects.toThrow(PowerCut);
  expect(calls.count).toBe(1);
  expect(await withdraw({ ledger, escrow: escrowOn(connection()), now }, channel)).toMatchObject({
    kind: "finalized",
    amountAtomic: held[1],
  });
  await ledger.close();
  expect(await treasuryBalance()).toBe(before + held[0]! + held[1]!);
  expect((await run("channels", "withdraw", second!.device)).stdout).toContain("nothing was taken back");
});
