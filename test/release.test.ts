// What release 0.1.0 wrote, and the options it took, still work.

import { execFile } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import Libsql from "libsql";
import { afterEach, expect, test } from "vitest";
import { loadConfig as loadGatewayConfig } from "#gateway/config/layers";
import { openSqliteLedger } from "#gateway/ledger/sqlite/sqlite-ledger";
import { loadConfig as loadDeviceConfig } from "#node/config/device-config";
import { openJournal } from "#node/journal/journal";
import { loadKey } from "#node/key/keystore";
import { tokenName } from "#protocol/payment-token";
import { SqliteAccounts } from "#simulator/seller/accounts/sqlite-accounts";

const RELEASE = fileURLToPath(new URL("./fixtures/0.1.0", import.meta.url));
const HELP = join(RELEASE, "help");
/** Payments of two lights, 50 atomic units each; the last of them only in the journal. */
const FOLDED = 106;
const QUANTUM = 50;

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** The release's files whose names begin so, where they may be written. */
function copyOf(...names: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "watt402-release-"));
  folders.push(folder);
  const wanted = readdirSync(RELEASE).filter((file) => names.some((name) => file.startsWith(name)));
  for (const file of wanted) {
    copyFileSync(join(RELEASE, file), join(folder, file));
    chmodSync(join(folder, file), 0o600);
  }
  return folder;
}

test("its ledger opens with every payment, those in the journal included", async () => {
  const ledger = openSqliteLedger(copyOf("ledger.sqlite", "payments-"));
  let payments = 0;
  for await (const payment of ledger.payments({})) {
    expect(payment.amountAtomic).toBe(QUANTUM);
    payments += 1;
  }
  expect(payments).toBeGreaterThan(FOLDED);
  expect(ledger.channels().map(({ charged }) => charged)).toEqual([expect.any(Number), expect.any(Number)]);
  expect(ledger.channels().reduce((sum, { charged }) => sum + charged, 0)).toBe(payments * QUANTUM);
  await ledger.close();
});

test("its ledger's deposits are in the token of their channels, and count in no other", async () => {
  const ledger = openSqliteLedger(copyOf("ledger.sqlite", "payments-"));
  const channels = ledger.channels();
  for (const channel of channels) {
    const [deposit] = ledger.deposits(channel.id);
    expect(deposit!.token).toBe(tokenName(channel.requirements));
    const { channelAtomic, fleetAtomic } = ledger.depositTotals(channel, 0);
    expect(channelAtomic).toBe(deposit!.amountAtomic);
    expect(fleetAtomic).toBe(channels.length * deposit!.amountAtomic);
    const other = { ...channel, requirements: { ...channel.requirements, network: "eip155:1" } };
    expect(ledger.depositTotals(other, 0)).toMatchObject({ fleetAtomic: 0, deviceDayAtomic: 0 });
  }
  await ledger.close();
});

test("its seller's accounts open with what its gateway's ledger says was charged", async () => {
  const folder = copyOf("accounts.db", "charges-", "ledger.sqlite", "payments-");
  const ledger = openSqliteLedger(folder);
  const charged = ledger.channels().map(({ id, charged }) => [id, charged] as const);
  await ledger.close();
  const db = new Libsql(join(folder, "accounts.db"), { readonly: true });
  const identity = db.prepare("SELECT network, token, receiver FROM seller").get() as {
    readonly network: `${string}:${string}`;
    readonly token: `0x${string}`;
    readonly receiver: `0x${string}`;
  };
  db.close();
  const quote = () => ({ pricePerMillionUnits: 200_000, validUntilSeconds: 0 });
  const accounts = new SqliteAccounts({ directory: folder, identity, quote: quote as never });
  // The seller was killed a moment before or after the gateway.
  for (const [id, atomic] of charged) {
    expect(Math.abs((accounts.account(id)?.charged ?? 0) - atomic)).toBeLessThanOrEqual(QUANTUM);
  }
  await accounts.close();
});

test("its configurations are read, and its light's key and journal open", () => {
  const folder = copyOf("device.", "gateway.toml");
  expect(loadDeviceConfig(join(folder, "device.toml")).model).toBe("fixture light");
  const { config } = loadGatewayConfig({ file: join(folder, "gateway.toml"), environment: {}, settings: [] });
  expect(config.broker.kind).toBe("embedded");
  expect(loadKey(join(folder, "device.key"), null).address).toMatch(/^0x[0-9a-f]{40}$/i);
  const journal = openJournal(join(folder, "device.journal"));
  expect(journal.load()).not.toBeNull();
});

/** Flags and sub-commands that a help text lists. */
function listedIn(text: string): string[] {
  const flags = [...text.matchAll(/^\s+(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag]) => flag!);
  const [, commands = ""] = /^Commands:\n((?: .*\n)*)/m.exec(text) ?? [];
  const names = [...commands.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, name]) => name!);
  return [...flags, ...names];
}

test("each of its flags and sub-commands is there, or what took its place is known by both names", async () => {
  const files = readdirSync(HELP).map((file) => file.replace(".txt", ""));
  const commands = files.filter((name) => !name.startsWith("watt402-device"));
  const script = fileURLToPath(new URL("./fixtures/help-process.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", script, ...commands]);
  const lines = stdout.trim().split("\n");
  expect(lines.length).toBe(commands.length);
  for (const line of lines) {
    const { command, said } = JSON.parse(line) as { readonly command: string; readonly said: string };
    const before = listedIn(readFileSync(join(HELP, `${command}.txt`), "utf8"));
    expect(before.length, command).toBeGreaterThan(0);
    const now = listedIn(said);
    expect(
      before.filter((name) => !now.includes(name)),
      command,
    ).toEqual([]);
  }
});
