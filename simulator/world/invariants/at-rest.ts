/**
 * A world's books when nothing moves any more: chain, seller and ledger held against each other.
 *
 * Promise: everything charged that its channel can pay is claimed, everything claimed is settled, and the
 * ledger's payments add up to what it says was charged; every difference is reported.
 */
import type { ChannelRecord, PaymentRecord } from "#gateway/purchase/ports";
import type { AccountRecord } from "../../seller/accounts/account-book.ts";
import type { ChainModel } from "../actors/chain.ts";
import type { Tables } from "../engine/tables.ts";

interface ViolationAtRest {
  readonly invariant: "M2" | "M3" | "M4";
  readonly text: string;
}

/** @param chargedMax the most that the oracle saw charged, by account */
export function brokenAtRest(
  chain: ChainModel,
  seller: Tables,
  ledger: Tables,
  chargedMax: ReadonlyMap<string, number>,
): ViolationAtRest[] {
  return [...moneyBreaches(chain, seller, chargedMax), ...ledgerBreaches(ledger)];
}

function moneyBreaches(
  chain: ChainModel,
  seller: Tables,
  chargedMax: ReadonlyMap<string, number>,
): ViolationAtRest[] {
  const found: ViolationAtRest[] = [];
  const violate = (text: string) => found.push({ invariant: "M2", text });
  if (chain.settled !== chain.claimed) {
    violate(`at rest ${chain.settled} settled of ${chain.claimed} claimed`);
  }
  for (const { account, channel } of seller.rows<AccountRecord>("account")) {
    const onChain = chain.channelOf(account.account);
    const due = Math.min(Number(channel?.chargedCumulativeAmount ?? 0), onChain.balance);
    if (onChain.claimed < due) {
      violate(`at rest ${onChain.claimed} claimed on ${account.account}, ${due} due`);
    }
  }
  for (const [id, { claimed }] of chain.channels) {
    const charged = chargedMax.get(id) ?? 0;
    if (claimed > charged) violate(`${claimed} claimed on ${id}, ${charged} charged`);
  }
  return found;
}

function ledgerBreaches(ledger: Tables): ViolationAtRest[] {
  const found: ViolationAtRest[] = [];
  const sums = new Map<string, number>();
  // A rung that was charged in part is kept by what was signed, and states what was charged.
  const counters = new Set<string>();
  for (const { channelId, amountAtomic, charged } of ledger.rows<PaymentRecord>("payment")) {
    sums.set(channelId, (sums.get(channelId) ?? 0) + amountAtomic);
    counters.add(`${channelId} ${charged}`);
  }
  for (const channel of ledger.rows<ChannelRecord>("channel")) {
    const sum = sums.get(channel.id) ?? 0;
    if (sum > channel.charged) {
      found.push({ invariant: "M3", text: `ledger: payments of ${sum} for ${channel.charged} charged` });
    }
    if (channel.charged > 0 && !counters.has(`${channel.id} ${channel.charged}`)) {
      found.push({ invariant: "M4", text: `ledger: ${channel.charged} charged without its payment` });
    }
  }
  return found;
}
