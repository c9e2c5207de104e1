// What lights, ledger and seller must agree on after anything that a test did to them.

import { createServer } from "node:net";
import { join } from "node:path";
import Libsql from "libsql";
import { expect } from "vitest";
import { readJournal } from "#gateway/ledger/journal/append-journal";
import { rowIn } from "#gateway/ledger/journal/payment-journal";
import { COLUMNS } from "#gateway/ledger/rows";
import { flatTariff } from "#simulator/seller/sale/tariff";
import { startSeller as openSeller, type SellerOptions, type SellerService } from "#simulator/seller/seller";
import type { Ground, Light } from "../fixtures.ts";

export const PRICE = 200_000;
export const QUANTUM = 100;
export const UNITS = 500;

/** A seller of electricity in this process, paid to the first development account. */
export function startSeller(ground: Ground, options: Partial<SellerOptions> = {}): Promise<SellerService> {
  return openSeller({
    rpcUrl: ground.anvil.rpcUrl,
    dataDirectory: ground.directory(),
    receiverKey: ground.anvil.accounts[0]!.privateKey,
    token: ground.contracts.token,
    tariff: flatTariff(PRICE),
    minDepositAtomic: 2_000,
    log: () => {},
    ...options,
  });
}

interface Row {
  readonly id: string;
  readonly charged: number;
  readonly granted: number;
}

export interface LedgerRows {
  readonly channels: readonly Row[];
  /** By channel, lowest first. */
  readonly payments: readonly {
    readonly channel_id: string;
    readonly max_claimable: number;
    readonly amount: number;
  }[];
  /** How many, confirmed or under way. */
  readonly deposits: number;
}

/** What the ledger's file says, read as an auditor would. */
export function ledgerRows(data: string): LedgerRows {
  // What was paid lately is in the journal beside the file; read before it, because it is folded into it meanwhile.
  const latest = readJournal(data, "payments").entries.map(({ bytes }) => rowIn(bytes));
  const db = new Libsql(join(data, "ledger.sqlite"), { readonly: true });
  const channels = db.prepare("SELECT id, charged, granted FROM channel").all() as Row[];
  const payments = db
    .prepare("SELECT channel_id, max_claimable, amount FROM payment")
    .all() as LedgerRows["payments"][number][];
  const { deposits } = db.prepare("SELECT COUNT(*) AS deposits FROM deposit").get() as { deposits: number };
  db.close();
  const [idAt, rungAt, amountAt] = ["channel_id", "max_claimable", "amount"].map((name) =>
    (COLUMNS.payment as readonly string[]).indexOf(name),
  ) as [number, number, number];
  const [chargedAt, grantedAt] = [COLUMNS.payment.length + 1, COLUMNS.payment.length + 2];
  for (const row of latest) {
    const [id, rung] = [row[idAt] as string, row[rungAt] as number];
    const isKnown = payments.some((paid) => paid.channel_id === id && paid.max_claimable === rung);
    if (!isKnown) payments.push({ channel_id: id, max_claimable: rung, amount: row[amountAt] as number });
  }
  const counted = channels.map((channel) => {
    const rows = latest.filter((row) => row[idAt] === channel.id);
    const most = (before: number, at: number) => Math.max(before, ...rows.map((row) => row[at] as number));
    return {
      ...channel,
      charged: most(channel.charged, chargedAt),
      granted: most(channel.granted, grantedAt),
    };
  });
  return {
    channels: counted.filter(({ charged }) => charged > 0),
    payments: payments.sort((left, right) =>
      left.channel_id === right.channel_id
        ? left.max_claimable - right.max_claimable
        : left.channel_id < right.channel_id
          ? -1
          : 1,
    ),
    deposits,
  };
}

interface Account {
  readonly charged: number;
  readonly granted: number;
}

async function accountOf(sellerUrl: string, id: string): Promise<Account> {
  return (await (await fetch(`${sellerUrl}/v1/accounts/${id}`)).json()) as Account;
}

/** Lights, ledger and seller agree: nothing charged twice, lost or granted for nothing. */
export function expectAgreement(lights: readonly Light[], data: string, sellerUrl: string): Promise<number> {
  return expectRowsAgree(lights, ledgerRows(data), sellerUrl);
}

/** The same of rows read elsewhere. Resolves with what the seller charged in all, atomic units. */
export async function expectRowsAgree(
  lights: readonly Light[],
  { channels, payments }: Pick<LedgerRows, "channels" | "payments">,
  sellerUrl: string,
): Promise<number> {
  expect(channels).toHaveLength(lights.length);
  let total = 0;
  for (const { id, charged, granted } of channels) {
    const rungs = payments.filter((payment) => payment.channel_id === id);
    expect(rungs.map((rung) => rung.max_claimable)).toEqual(rungs.map((_, index) => (index + 1) * QUANTUM));
    expect(rungs.reduce((sum, rung) => sum + rung.amount, 0)).toBe(charged);
    const account = await accountOf(sellerUrl, id);
    const light = lights.find((candidate) => candidate.host.state().channel?.id === id)!;
    const heard = light.host.state().channel!;
    expect(heard.charged).toBeLessThanOrEqual(charged);
    expect(charged).toBeLessThanOrEqual(account.charged);
    expect(account.charged).toBeLessThanOrEqual(light.maxSigned());
    expect(account.charged - heard.charged).toBeLessThanOrEqual(QUANTUM);
    expect(granted).toBe((charged / QUANTUM) * UNITS);
    expect(account.granted).toBe((account.charged / QUANTUM) * UNITS);
    total += account.charged;
  }
  return total;
}

export const dataOf = (config: Record<string, unknown>) => (config.gateway as { data: string }).data;

/** Below the ports that outgoing connections are given: it stays free between two starts of a program. */
export function freePort(): Promise<number> {
  const port = 12_000 + Math.floor(Math.random() * 18_000);
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(freePort()));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(port)));
  });
}
