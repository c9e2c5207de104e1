/**
 * Lights that buy from a real seller through a real gateway, what the operator's ledger then holds, and who is convicted by
 * it: of one conduct, any number of lights at once.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import Libsql from "libsql";
import { stringify } from "smol-toml";
import { vi } from "vitest";
import { main } from "#gateway/main";
import { CLOCKS_APART_SECONDS, type Conviction } from "#market/judge";
import type { Conduct } from "#simulator/seller/conduct/conduct";
import type { Ground, Light } from "../fixtures.ts";
import { until } from "../fixtures.ts";
import { dataOf, PRICE, startSeller } from "../purchase/agreement.ts";

/** Purchases of a light between two receipts cost the chain nothing, its first one a deposit. */
const LOAD_MILLIWATTS = 1_000_000;
const MENU_MAX = 64;

/** One gateway's part: its configuration, and the lights that bought through it. */
interface Served {
  readonly config: Record<string, unknown>;
  readonly lights: readonly Light[];
}

export interface Dealt {
  readonly served: readonly Served[];
  /** Who was paid: lower case. */
  readonly seller: string;
}

/** A gateway leaves a seller alone that quoted nothing so often: what else it would have said is not heard. */
const QUOTES_MAX = 4;

/**
 * Buys until there are documents to judge by, and stops all of it.
 * @param account the development account of the chain that is paid, and pays the gas
 */
export async function deal(
  ground: Ground,
  conduct: Conduct,
  lights: number,
  account: number,
): Promise<Dealt> {
  const menu = Array.from({ length: MENU_MAX }, (_, at) => 100 + 10 * at);
  // By the judge's rule: a claim is before a receipt only where the clocks cannot have been wrong about it.
  const ahead = conduct === "claimed-above-charged" ? CLOCKS_APART_SECONDS + 1 : 0;
  const seller = await startSeller(ground, {
    ...{ signsTerms: true, conduct, menu, schemes: ["batch-settlement"] },
    receiverKey: ground.anvil.accounts[account]!.privateKey,
    clock: { nowSeconds: () => Math.floor(Date.now() / 1000) + ahead },
    claimIntervalSeconds: conduct === "claimed-above-charged" ? 0.5 : 3_600,
    minDepositAtomic: 100_000,
  });
  const share = conduct === "offer-contradicts-terms" ? QUOTES_MAX : lights;
  const firsts = Array.from({ length: Math.ceil(lights / share) }, (_, nth) => nth * share);
  const served = await Promise.all(
    firsts.map(async (first): Promise<Served> => {
      const config = ground.config(seller.url, { market: { receiptsEverySeconds: 1 } });
      const { brokerUrl, stop } = await ground.gateway(config);
      const buyers = Array.from({ length: Math.min(share, lights - first) }, (_, at) => {
        const wantedUnits = (menu[(first + at) % MENU_MAX]! * 1_000_000) / PRICE;
        return ground.light(brokerUrl, { loadMilliwatts: LOAD_MILLIWATTS, wantedUnits });
      });
      await proven(conduct, dataOf(config), buyers.length, seller.url);
      await Promise.all(buyers.map((light) => light.stop()));
      await stop();
      return { config, lights: buyers };
    }),
  );
  await seller.stop();
  return { served, seller: seller.receiver.toLowerCase() };
}

/** Resolves once there are documents to judge each dealing by. */
async function proven(conduct: Conduct, data: string, dealings: number, sellerUrl: string): Promise<void> {
  const limitMs = 60_000 + 1_000 * dealings;
  const reach = (read: () => number) =>
    until(
      () => read() >= dealings,
      limitMs,
      () => `documents of ${dealings} dealings with a ${conduct} seller, found ${read()}`,
    );
  // Of an offer that contradicts its terms nothing is bought: the offer is the document.
  if (conduct === "offer-contradicts-terms") return reach(() => count(data, OFFERS));
  // One that states more than will ever be charged is followed by no other.
  await reach(() => count(data, receiptsFrom(conduct === "charged-above-deposit" ? 1 : 2, 0)));
  if (conduct !== "claimed-above-charged") return;
  for (const { id } of rows(data, "SELECT id FROM channel") as { id: string }[]) await claimed(sellerUrl, id);
  const now = Math.floor(Date.now() / 1000) + CLOCKS_APART_SECONDS + 1;
  await reach(() => count(data, receiptsFrom(1, now)));
}

async function claimed(sellerUrl: string, id: string): Promise<void> {
  for (;;) {
    const account = (await (await fetch(`${sellerUrl}/v1/accounts/${id}`)).json()) as { claimed: number };
    if (account.claimed > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export function rows(data: string, sql: string): unknown[] {
  const db = new Libsql(join(data, "ledger.sqlite"), { readonly: true });
  try {
    return db.prepare(sql).all();
  } finally {
    db.close();
  }
}

const count = (data: string, sql: string) => rows(data, sql).length;

const OFFERS = "SELECT name FROM document WHERE kind = 'terms' AND name LIKE '% %'";

/** Channels with so many receipts of a second or later; each is asked for once more was charged. */
const receiptsFrom = (receipts: number, seconds: number) =>
  "SELECT channel_id FROM document WHERE kind = 'receipt'" +
  ` AND CAST(substr(name, 68, 10) AS INTEGER) >= ${seconds}` +
  ` GROUP BY channel_id HAVING count(*) >= ${receipts}`;

/** What an operator's command prints. */
export async function said(...argv: readonly string[]): Promise<string> {
  let text = "";
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((piece) => {
    text += String(piece);
    return true;
  });
  try {
    await main(argv);
    return text;
  } finally {
    process.exitCode = 0;
    spy.mockRestore();
  }
}

/** By nothing but the documents that `ledger documents` writes of each light, and the chain. */
export async function convicted(
  ground: Ground,
  { served }: Dealt,
): Promise<{ readonly convictions: readonly Conviction[]; readonly channels: number }> {
  const directory = ground.directory();
  const files: string[] = [];
  const channels = new Set<string>();
  for (const { config, lights } of served) {
    const file = join(directory, "gateway.toml");
    writeFileSync(file, stringify(config));
    for (const { device } of lights) {
      const text = await said("ledger", "documents", device, "--config", file);
      for (const { receipt } of JSON.parse(text).receipts) channels.add(receipt.channelId);
      files.push(join(directory, `${device}.json`));
      writeFileSync(files.at(-1)!, text);
    }
  }
  const judged = await said("verify", ...files, "--rpc", ground.anvil.rpcUrl, "--json");
  return { convictions: JSON.parse(judged).convictions, channels: channels.size };
}
