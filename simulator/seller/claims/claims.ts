// Turning vouchers into money: which channels to claim, when, and how one bad channel is kept from stopping
// the others. Channels are read from the chain just before a claim; what a channel can no longer pay is left
// out, and a batch the contract refuses is halved until the failing claim is alone.

import { Watt402Error } from "#payment/watt402-error";
import type { AccountStore, Chain, Channel, ChannelOnChain, ClaimEntry } from "../ports.ts";

/** Channels in one claim transaction: about 2.2 M gas and 43 kB of calldata. */
export const MAX_CLAIMS_PER_BATCH = 90;

export interface ClaimRound {
  readonly transactions: number;
  readonly channels: number;
  readonly gas: number;
  readonly settledAtomic: number;
  /** Channels charged more than they can pay or refused by the contract, and why. */
  readonly excluded: readonly { readonly channelId: string; readonly reason: string }[];
  /** Set when the chain could not be asked; the next round takes up what is left. */
  readonly interrupted: string | undefined;
}

interface Selection {
  readonly due: ClaimEntry[];
  readonly excluded: { channelId: string; reason: string }[];
}

/**
 * What to claim: min(charged, balance) where that is more than already claimed. The part charged beyond the
 * balance cannot be claimed by anyone and is named in `excluded`.
 */
export function selectClaims(
  channels: readonly Channel[],
  onChain: ReadonlyMap<string, ChannelOnChain>,
): Selection {
  const due: ClaimEntry[] = [];
  const excluded: Selection["excluded"] = [];
  for (const channel of channels) {
    const state = onChain.get(channel.channelId);
    if (state === undefined) continue;
    const charged = BigInt(channel.chargedCumulativeAmount);
    const payable = charged < state.balance ? charged : state.balance;
    if (charged > state.balance) {
      const reason = `charged ${charged}, balance ${state.balance}: ${charged - state.balance} cannot be claimed`;
      excluded.push({ channelId: channel.channelId, reason });
    }
    if (payable > state.totalClaimed) {
      due.push({ channel, totalClaimedAtomic: payable, claimedBeforeAtomic: state.totalClaimed });
    }
  }
  // Channels with a withdrawal come first.
  due.sort((a, b) => leaving(onChain, b) - leaving(onChain, a));
  return { due, excluded };
}

export class Claims {
  readonly #store: AccountStore;
  readonly #chain: Chain;
  readonly #nowMs: () => number;
  #running: Promise<unknown> = Promise.resolve();
  #watchedThroughBlock: bigint | undefined;

  constructor(store: AccountStore, chain: Chain, nowMs: () => number) {
    this.#store = store;
    this.#chain = chain;
    this.#nowMs = nowMs;
  }

  /** Reads every known channel once: withdrawals requested while no seller ran are seen before serving. */
  async catchUp(): Promise<void> {
    this.#watchedThroughBlock = await this.#chain.latestBlock();
    await this.#refresh(this.#store.channels().map((channel) => channel.channelId));
  }

  /** Claims all that is due (or, when given, only `channelIds`), then settles. Rounds never overlap. */
  round(channelIds?: ReadonlySet<string>): Promise<ClaimRound> {
    const next = this.#running.then(() => this.#round(channelIds));
    this.#running = next.catch(() => undefined);
    return next;
  }

  /**
   * Looks for `WithdrawInitiated` since the last look. A channel found is marked, so it is served no more,
   * and claimed at once. A withdrawal is therefore noticed at most one watch interval after its block, and
   * the claim follows in the same step, long before withdrawDelay (at least 900 s) has passed.
   * Returns the ids found among our channels.
   */
  async watch(): Promise<string[]> {
    const latest = await this.#chain.latestBlock();
    const from = (this.#watchedThroughBlock ?? latest) + 1n;
    if (from > latest) return [];
    const initiated = await this.#chain.withdrawalsInitiated(from, latest);
    const ours = [...new Set(initiated)].filter((id) => this.#store.channel(id) !== undefined);
    if (ours.length > 0) {
      await this.#refresh(ours);
      await this.round(new Set(ours));
    }
    // Only now: a look that failed half way is taken again from the same block.
    this.#watchedThroughBlock = latest;
    return ours;
  }

  async #refresh(channelIds: readonly string[]): Promise<Map<string, ChannelOnChain>> {
    const readAtMs = this.#nowMs();
    const states = await this.#chain.readChannels(channelIds);
    await this.#store.refreshChannels(states, readAtMs);
    return states;
  }

  async #round(channelIds: ReadonlySet<string> | undefined): Promise<ClaimRound> {
    const total = { transactions: 0, channels: 0, gas: 0, settledAtomic: 0 };
    const excluded: Selection["excluded"] = [];
    try {
      const channels = this.#store
        .channels()
        .filter((channel) => channelIds?.has(channel.channelId) ?? true)
        .filter(needsLook);
      const states = await this.#refresh(channels.map((channel) => channel.channelId));
      const selection = selectClaims(channels, states);
      excluded.push(...selection.excluded);
      for (let start = 0; start < selection.due.length; start += MAX_CLAIMS_PER_BATCH) {
        await this.#claim(selection.due.slice(start, start + MAX_CLAIMS_PER_BATCH), total, excluded);
      }
      if ((await this.#chain.unsettledAtomic()) > 0n) {
        const settled = await this.#chain.settle();
        total.settledAtomic = settled.amountAtomic;
        await this.#store.recordTransaction({
          hash: settled.transaction,
          kind: "settle",
          channels: 1,
          amountAtomic: settled.amountAtomic,
          gas: settled.gas,
        });
      }
      return { ...total, excluded, interrupted: undefined };
    } catch (error) {
      return { ...total, excluded, interrupted: (error as Error).message.split("\n")[0] ?? "unknown" };
    }
  }

  async #claim(
    entries: readonly ClaimEntry[],
    total: { transactions: number; channels: number; gas: number },
    excluded: Selection["excluded"],
  ): Promise<void> {
    const outcome = await this.#chain.claim(entries);
    if (outcome.kind === "unavailable")
      throw new Watt402Error("unexpected-answer", `claim: ${outcome.reason}`);
    if (outcome.kind === "claimed") {
      total.transactions += 1;
      total.channels += entries.length;
      total.gas += outcome.gas;
      const amountAtomic = entries.reduce(
        (sum, entry) => sum + entry.totalClaimedAtomic - entry.claimedBeforeAtomic,
        0n,
      );
      await this.#store.recordTransaction({
        hash: outcome.transaction,
        kind: "claim",
        channels: entries.length,
        amountAtomic: Number(amountAtomic),
        gas: outcome.gas,
      });
      return;
    }
    if (entries.length === 1) {
      excluded.push({ channelId: entries[0]!.channel.channelId, reason: outcome.reason });
      return;
    }
    const middle = Math.ceil(entries.length / 2);
    await this.#claim(entries.slice(0, middle), total, excluded);
    await this.#claim(entries.slice(middle), total, excluded);
  }
}

function needsLook(channel: Channel): boolean {
  return (
    BigInt(channel.chargedCumulativeAmount) > BigInt(channel.totalClaimed) ||
    channel.withdrawRequestedAt !== 0
  );
}

function leaving(onChain: ReadonlyMap<string, ChannelOnChain>, entry: ClaimEntry): number {
  return onChain.get(entry.channel.channelId)?.withdrawRequestedAt === 0 ? 0 : 1;
}
