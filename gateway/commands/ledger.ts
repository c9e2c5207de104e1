/**
 * `watt402-gateway ledger`: what was paid, for accountants, owners and auditors.
 *
 * Promise: reads only; what is asked for goes to standard output, everything else to standard error.
 */

import { once } from "node:events";
import { Command } from "commander";
import { type Documents, documentsText } from "#market/documents";
import type { OfferedTerms } from "#market/judge";
import { contradictionIn } from "#market/signed-offer";
import type { SignedReceipt } from "#market/usage-receipt";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import type { LoadedConfig } from "../config/layers.ts";
import { openLedger } from "../ledger/open-ledger.ts";
import type { Reconciliation } from "../ledger/statements/differences.ts";
import { exportLines } from "../ledger/statements/export.ts";
import { reconcile } from "../ledger/statements/reconcile.ts";
import { statementOf, statementText } from "../ledger/statements/statement.ts";
import type { LedgerStore } from "../ledger/store.ts";
import { clientOf, openSellerHttp, readAuthorities, sellerOf } from "../sellers/open-router.ts";
import { escrowOn } from "../treasury/escrow.ts";
import { chainOn } from "../treasury/evm-chain.ts";
import { connectChains } from "../treasury/open-chains.ts";
import { openTreasury } from "../treasury/open-treasury.ts";
import { receiptsOn } from "../treasury/receipts.ts";

interface ExportOptions {
  readonly jsonl?: true;
  readonly from?: string;
  readonly to?: string;
  readonly device?: string;
}

export function ledgerCommand(load: () => LoadedConfig): Command {
  const ledger = new Command("ledger");
  ledger
    .command("export")
    .description("every payment, one a line")
    .option("--csv", "comma-separated, with a line of names (the default)")
    .option("--jsonl", "one JSON object a line")
    .option("--from <date>", "first day or moment, ISO 8601, UTC")
    .option("--to <date>", "last day or moment, ISO 8601, UTC")
    .option("--device <address>", "of one device")
    .action((options: ExportOptions) =>
      withLedger(load, async (store) => {
        const lines = exportLines(store, options.jsonl ? "jsonl" : "csv", {
          device: options.device === undefined ? null : deviceIn(options.device),
          fromSeconds: secondsIn("--from", options.from, "start") ?? 0,
          toSeconds: secondsIn("--to", options.to, "end") ?? Number.MAX_SAFE_INTEGER,
        });
        for await (const line of lines) {
          if (!process.stdout.write(`${line}\n`)) await once(process.stdout, "drain");
        }
      }),
    );
  ledger
    .command("statement")
    .description("what a device bought in a month")
    .argument("<device>", "its address")
    .requiredOption("--month <YYYY-MM>", "in UTC")
    .option("--json", "as one JSON document")
    .action((device: string, options: { month: string; json?: true }) =>
      withLedger(load, async (store, { config }) => {
        const statement = await statementOf(store, deviceIn(device), options.month);
        process.stdout.write(
          options.json ? `${JSON.stringify(statement, null, 2)}\n` : statementText(statement, config.tokens),
        );
      }),
    );
  ledger
    .command("documents")
    .description(
      "what a device's sellers have signed: terms and receipts of use, for `watt402-gateway verify`",
    )
    .argument("<device>", "its address")
    .action((device: string) =>
      withLedger(load, async (store) => {
        process.stdout.write(documentsText(await documentsOf(store, deviceIn(device))));
      }),
    );
  ledger
    .command("reconcile")
    .description("hold ledger, seller and chain against each other; exit code 1 when they differ")
    .option("--json", "as one JSON document")
    .action((options: { json?: true }) =>
      withLedger(load, async (store, loaded) => {
        const found = await reconcileAll(store, loaded);
        process.stdout.write(
          options.json ? `${JSON.stringify(found, null, 2)}\n` : reconciliationText(found),
        );
        if (found.differences.length > 0 || found.unasked.length > 0) process.exitCode = 1;
      }),
    );
  return ledger;
}

/** Runs work on the configured ledger and closes it. */
export async function withLedger(
  load: () => LoadedConfig,
  work: (store: LedgerStore, loaded: LoadedConfig) => Promise<void>,
): Promise<void> {
  const loaded = load();
  const store = await openLedger(loaded.config, (_level, text, fields) =>
    process.stderr.write(`${text} ${JSON.stringify(fields)}\n`),
  );
  try {
    await work(store, loaded);
  } finally {
    await store.close();
  }
}

/**
 * A device's receipts, the terms that their sellers have signed, and the channels that they are of; also each offer by
 * which a seller contradicts its terms, for nobody is offered a channel by it.
 */
async function documentsOf(store: LedgerStore, device: string): Promise<Documents> {
  const receipts = (await store.receiptsOf(device)).map((text) => parseJson(text) as SignedReceipt);
  const channels = await store.channelsOf(device);
  const payees = new Set(channels.map(({ requirements }) => requirements.payTo.toLowerCase()));
  const all = (await store.terms()).map((text) => parseJson(text) as OfferedTerms);
  return {
    offered: all.filter(
      ({ terms, offer }) => payees.has(terms.payTo) || contradictionIn(offer, terms) !== null,
    ),
    receipts,
    channels: channels.flatMap(({ config }) => (config === null ? [] : [config])),
  };
}

async function reconcileAll(ledger: LedgerStore, { config }: LoadedConfig): Promise<Reconciliation> {
  const { sellers, limits, chains } = config;
  const treasury = await openTreasury(config.treasury, false);
  const nodes = new Map(
    [...connectChains(chains, treasury)].map(([network, connection]) => [
      network,
      { chain: chainOn(connection), receipts: receiptsOn(connection), escrow: escrowOn(connection) },
    ]),
  );
  const authorities = readAuthorities(sellers);
  const asked = new Map(
    sellers.map((seller) => {
      const http = openSellerHttp(seller, limits, authorities);
      return [seller, { http, client: clientOf(seller, http) }];
    }),
  );
  try {
    return await reconcile({
      ledger,
      async sellerCounters(channel) {
        const seller = sellerOf(sellers, channel);
        if (seller === undefined) return null;
        return seller.kind === "fixed"
          ? "none"
          : asked.get(seller)!.client.recover(channel, channel.charged, Number(channel.requirements.amount));
      },
      nodeOf: (network) => nodes.get(network) ?? null,
      treasury: treasury.address,
    });
  } finally {
    await Promise.all([...asked.values()].map(({ http }) => http.close()));
  }
}

function reconciliationText(found: Reconciliation): string {
  const { channels, payments, sellers, differences, unasked } = found;
  const lines = differences.flatMap(({ device, channel, where, expected, found, meaning }) => [
    `device ${device} channel ${channel}, ${where}:`,
    `  expected ${expected}`,
    `  found    ${found}`,
    `  meaning  ${meaning}`,
  ]);
  for (const reason of unasked) lines.push(`not compared: ${reason}`);
  const isOneToken = new Set(sellers.map(({ token }) => token)).size <= 1;
  for (const { seller, token, chargedAtomic, takenAtomic } of sellers) {
    lines.push(
      `seller ${seller || "(unnamed)"}${isOneToken ? "" : ` in ${token}`}: charged ${chargedAtomic}, ` +
        `took ${takenAtomic} on chain, ${chargedAtomic - takenAtomic} to come`,
    );
  }
  const count = differences.length === 1 ? "1 difference" : `${differences.length} differences`;
  lines.push(`${channels} channels, ${payments} payments: ${count}`);
  return `${lines.join("\n")}\n`;
}

/** 40 lower-case hex digits. */
export function deviceIn(text: string): string {
  const [, digits] = /^(?:0x)?([0-9a-f]{40})$/i.exec(text) ?? [];
  if (digits === undefined) {
    throw new Watt402Error(
      "value-invalid",
      `device: expected an address, 40 hex digits, found "${text.slice(0, 60)}"`,
    );
  }
  return digits.toLowerCase();
}

const DAY_SECONDS = 86_400;

/** A day without a time is the whole day: its first or its last second. */
function secondsIn(option: string, text: string | undefined, edge: "start" | "end"): number | null {
  if (text === undefined) return null;
  const isDay = /^\d{4}-\d{2}-\d{2}$/.test(text);
  const ms = Date.parse(text);
  if (Number.isNaN(ms))
    throw new Watt402Error(
      "value-invalid",
      `${option}: expected a date like 2026-11-22, found "${text.slice(0, 40)}"`,
    );
  return Math.floor(ms / 1000) + (isDay && edge === "end" ? DAY_SECONDS - 1 : 0);
}
