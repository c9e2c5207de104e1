/**
 * Exact payments in the ledger held against the chain: every one is a transfer of its own.
 *
 * Promise: a row without its transfer, a transfer without its row, and a wallet that holds other than what was
 * sent to it less what it paid, are each named.
 */
import { purchaseNonce } from "#payment/authorization";
import type { Hex } from "#payment/bytes";
import { transferMethodOf, verifierOf } from "#payment/offer/offer";
import { tokenName } from "#protocol/payment-token";
import type { ChannelRecord } from "../../purchase/ports.ts";
import type { ChainNode, Differ, ReconcileParts } from "./differences.ts";

/** Exact accounts that share a wallet: those of one device in one token. */
export function exactAccounts(channels: readonly ChannelRecord[]): readonly (readonly ChannelRecord[])[] {
  const wallets = new Map<string, ChannelRecord[]>();
  for (const channel of channels) {
    if (channel.config !== null || verifierOf(channel.requirements) !== null) continue;
    const wallet = `${channel.device} ${tokenName(channel.requirements)}`;
    const accounts = wallets.get(wallet) ?? [];
    wallets.set(wallet, accounts);
    accounts.push(channel);
  }
  return [...wallets.values()];
}

/**
 * Each row is one transfer from the device's wallet, by the nonce of its rung, to whom it bought from.
 * @param lacking what it means when the seller took one that the ledger lacks
 * @returns what the seller took, atomic units
 */
export async function compareTransfers(
  { ledger, chain, receipts }: Pick<ReconcileParts, "ledger"> & ChainNode,
  channel: ChannelRecord,
  lacking: string,
  differ: Differ,
): Promise<number> {
  const { id, device, charged, requirements } = channel;
  const { asset, payTo } = requirements;
  const from = `0x${device}`;
  const isByPermit2 = transferMethodOf(requirements) === "permit2";
  const nonceAt = (chargedAtomic: number) => purchaseNonce(id as Hex, chargedAtomic);
  const permitNonces = new Set<string>(isByPermit2 ? [nonceAt(charged)] : []);
  if (isByPermit2) {
    for await (const payment of ledger.payments({ channelId: id })) {
      permitNonces.add(nonceAt(payment.charged - payment.amountAtomic));
    }
  }
  const { transfers, reachesBack } = await receipts.transfers(asset, from, payTo, permitNonces);
  const byNonce = new Map(transfers.map((transfer) => [transfer.nonce, transfer]));
  let takenAtomic = 0;
  for await (const payment of ledger.payments({ channelId: id })) {
    const { maxClaimable, amountAtomic } = payment;
    const nonce = nonceAt(payment.charged - amountAtomic);
    const transfer = byNonce.get(nonce);
    // What is older than the node's events can still be asked for by its nonce.
    const isOld =
      transfer === undefined &&
      !reachesBack &&
      (await (isByPermit2 ? chain.permit2.isUsed(from, nonce) : chain.authorizationUsed(asset, from, nonce)));
    takenAtomic += isOld ? amountAtomic : (transfer?.amountAtomic ?? 0);
    if (isOld || transfer?.amountAtomic === amountAtomic) continue;
    differ(
      `ledger row ${maxClaimable} and chain`,
      `a transfer of ${amountAtomic} to ${payTo}`,
      transfer === undefined ? "none" : `${transfer.amountAtomic} in ${transfer.transaction}`,
      "the row was changed, or the seller said that it was paid and was not",
    );
  }
  const next = byNonce.get(nonceAt(charged));
  if (next !== undefined) {
    differ(
      "ledger and chain",
      `nothing paid beyond ${charged}`,
      `${next.amountAtomic} to ${payTo} in ${next.transaction}`,
      `the seller took a payment that the ledger lacks: ${lacking}`,
    );
  }
  return takenAtomic + (next?.amountAtomic ?? 0);
}

/** What was sent to a device's wallet is there, or was paid to one of its sellers. */
export async function compareWallets(
  { ledger, chain }: Pick<ReconcileParts, "ledger"> & ChainNode,
  channels: readonly ChannelRecord[],
  differ: Differ,
): Promise<void> {
  const { device, requirements } = channels[0]!;
  let deposited = 0;
  let charged = 0;
  for (const channel of channels) {
    charged += channel.charged;
    for (const { state, amountAtomic } of await ledger.deposits(channel.id)) {
      if (state === "confirmed") deposited += amountAtomic;
    }
  }
  const balance = await chain.tokenBalance(requirements.asset, `0x${device}`);
  if (balance === deposited - charged) return;
  differ(
    "ledger and wallet",
    `${deposited - charged}: deposits ${deposited} less payments ${charged}`,
    `${balance} in the wallet of 0x${device}`,
    "the wallet was filled or emptied by others, or payments are missing",
  );
}
