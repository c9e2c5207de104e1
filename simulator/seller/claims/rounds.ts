/**
 * What the seller does on the chain from time to time: claim and settle, look for withdrawals, look at the node.
 *
 * Promise: no job runs twice at once; a failure is logged and the next run comes as scheduled; a node that does not
 * answer is logged once, by its watch.
 */
import type { AccountStore, Chain } from "../ports.ts";
import { type ChainWatch, LOOK_EVERY_MS } from "./chain-watch.ts";
import type { Claims } from "./claims.ts";

interface RoundsParts {
  readonly claims: Claims;
  readonly chain: Chain;
  readonly watch: ChainWatch;
  readonly store: AccountStore;
  readonly log: (line: string) => void;
  readonly claimIntervalSeconds: number;
  readonly watchIntervalSeconds: number;
}

export interface Job {
  /** Resolves when a run under way has ended. */
  stop(): Promise<void>;
}

type Report = (line: string) => Promise<void>;

export function startRounds(parts: RoundsParts): readonly Job[] {
  const { claims, chain, watch, store, log } = parts;
  const report: Report = async (line) => {
    if ((await watch.look()) === undefined) log(line);
  };
  const claimAndSettle = async () => {
    const { excluded, interrupted } = await claims.round();
    for (const { channelId, reason } of excluded) log(`channel ${channelId}: ${reason}`);
    if (interrupted !== undefined) await report(`claims: ${interrupted}; the next round goes on`);
  };
  const findWithdrawals = async () => {
    const leaving = await claims.watch();
    for (const id of leaving) log(`channel ${id}: its payer withdraws; claimed and no longer served`);
    await learnGas(store, chain);
  };
  const lookAtNode = async () => {
    await watch.look();
  };
  return [
    repeat(parts.claimIntervalSeconds, claimAndSettle, report),
    repeat(parts.watchIntervalSeconds, findWithdrawals, report),
    repeat(LOOK_EVERY_MS / 1_000, lookAtNode, report),
  ];
}

export async function learnGas(store: AccountStore, chain: Chain): Promise<void> {
  for (const transaction of store.transactionsWithoutGas()) {
    await store.recordTransaction({ ...transaction, gas: await chain.gasUsed(transaction.hash) });
  }
}

function repeat(seconds: number, run: () => Promise<void>, report: Report): Job {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  const arm = () => {
    timer = setTimeout(() => {
      running = run()
        .catch((error: Error) => report(`seller: ${error.message.split("\n")[0]}`))
        .finally(() => {
          if (!stopped) arm();
        });
    }, seconds * 1000);
  };
  arm();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      return running;
    },
  };
}
