/**
 * The end of a run at each of its sellers: they claim and settle, then each one's chain is asked what really happened.
 *
 * Promise: what is of one seller is held against its own chain, payee and devices alone.
 */
import type { RunChain } from "../../chain/open-chain.ts";
import type { StopReport } from "../../seller/seller.ts";
import type { Services } from "../../services/services.ts";
import type { SellerShare } from "../lights/seller-share.ts";
import { type ChainMark, ChainReader, type ChainTruth } from "./chain-truth.ts";
import { type Reconciliation, reconcile } from "./reconciliation.ts";
import { readAccounts, type SellerAccount } from "./seller-accounts.ts";

/** A seller's chain as it was when the run began, and the address that is paid there. */
export interface ChainBooks {
  readonly chain: RunChain;
  readonly payee: string;
  readonly reader: ChainReader;
  readonly mark: ChainMark;
}

export interface ChainResult {
  readonly chain: RunChain;
  readonly lights: readonly SellerShare[];
  readonly reconciliation: Reconciliation;
  readonly stopReport: StopReport | null;
}

/** Longest wait for a seller elsewhere to claim by its own interval, milliseconds. */
const FOREIGN_CLAIMS_MS = 120_000;
const FOREIGN_LOOK_MS = 1_000;

export async function openBooks(chain: RunChain, payee: `0x${string}`): Promise<ChainBooks> {
  const reader = new ChainReader(chain.rpcUrl, chain.token, payee);
  return { chain, payee, reader, mark: await reader.mark() };
}

/**
 * @param books in the order of the sellers
 * @param sharesOf what devices have to do with each of them, in the same order, once no gateway pays any more
 * @param say takes what a person should know
 */
export async function settleChains(
  services: Services,
  books: readonly ChainBooks[],
  sharesOf: () => readonly (readonly SellerShare[])[],
  say: (text: string) => void,
): Promise<readonly ChainResult[]> {
  // A purchase that its light gave up may still be under way; accounts are final once no gateway pays.
  await services.stopGateway();
  const lights = sharesOf();
  const ids = lights.map((members) => members.map((light) => light.accountId()));
  const accounts = await Promise.all(services.sellerUrls.map((url, index) => readAccounts(url, ids[index]!)));
  const reports = await services.stopSellers();
  const isShared = services.sellerPids().length === 0;
  return Promise.all(
    books.map(async ({ chain, reader, mark }, index) => {
      const stopReport = reports[index] ?? null;
      tell(stopReport, say);
      const read = () => reader.read(mark, ids[index]!);
      const truth = isShared ? await untilClaimed(read, accounts[index]!) : await read();
      const reconciliation = reconcile(lights[index]!, accounts[index]!, truth, isShared);
      return { chain, lights: lights[index]!, reconciliation, stopReport };
    }),
  );
}

function tell(report: StopReport | null, say: (text: string) => void): void {
  if (report?.interrupted) say(`seller: ${report.interrupted}`);
  for (const { channelId, reason } of report?.excluded ?? []) say(`channel ${channelId}: ${reason}`);
}

async function untilClaimed(
  read: () => Promise<ChainTruth>,
  accounts: ReadonlyMap<string, SellerAccount>,
): Promise<ChainTruth> {
  const charged = [...accounts.values()].reduce((total, account) => total + BigInt(account.charged), 0n);
  const deadline = Date.now() + FOREIGN_CLAIMS_MS;
  let truth = await read();
  while ((truth.claimed < charged || truth.settled < charged) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, FOREIGN_LOOK_MS));
    truth = await read();
  }
  return truth;
}
