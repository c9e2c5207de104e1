/**
 * The seller's end: no more payments, the last claims, the books closed.
 *
 * Promise: while the node answers, charged vouchers are claimed and settled, for `stopTimeoutMs` at most; once it does
 * not, all is over within four seconds of the word to stop, whatever hangs: what is missing stays in the database.
 */

import type { FastifyInstance } from "fastify";
import { within } from "#node/deadline";
import type { ChainWatch } from "../claims/chain-watch.ts";
import type { ClaimRound, Claims } from "../claims/claims.ts";
import { type Job, learnGas } from "../claims/rounds.ts";
import type { AccountStore, Chain } from "../ports.ts";
import type { EnergySale } from "../sale/energy-sale.ts";

/** For requests whose sender does not finish them. */
const CLOSE_GRACE_MS = 500;
const LAST_ROUND_PAUSE_MS = 1_000;

export interface StopReport {
  readonly claims: { readonly transactions: number; readonly channels: number; readonly gas: number };
  readonly settles: { readonly transactions: number; readonly gas: number; readonly amountAtomic: number };
  readonly deposits: { readonly transactions: number; readonly gas: number };
  readonly exact: { readonly transactions: number; readonly gas: number; readonly amountAtomic: number };
  /** Channels that could not be claimed in full, and why. */
  readonly excluded: ClaimRound["excluded"];
  /** Set when the last claims could not be made in time; what is missing stays in the database. */
  readonly interrupted: string | undefined;
}

interface StopParts {
  readonly app: FastifyInstance;
  readonly sale: EnergySale;
  readonly jobs: readonly Job[];
  readonly claims: Claims;
  readonly chain: Chain;
  readonly watch: ChainWatch;
  readonly store: AccountStore & { close(): Promise<void> };
  readonly stopTimeoutMs: number;
}

export async function stopInOrder(parts: StopParts): Promise<StopReport> {
  const { app, sale, jobs, claims, chain, watch, store, stopTimeoutMs } = parts;
  const deadlineMs = Date.now() + stopTimeoutMs;
  const closing = app.close();
  const inTime = <T>(work: Promise<T>) => until(deadlineMs, watch.whileItAnswers(work));
  const ending = [...jobs.map((job) => job.stop()), sale.idle()];
  const isQuiet = (await inTime(Promise.all(ending).then(() => true))) === true;
  await closed(app, closing);
  const last = isQuiet ? await lastRound(claims, inTime, deadlineMs) : undefined;
  if (watch.trouble === undefined) await inTime(learnGas(store, chain)).catch(() => undefined);
  const { claim, settle, deposit, exact } = store.totals();
  // What a disk does not take in time stays in the journal.
  await until(watch.trouble === undefined ? deadlineMs : Date.now() + CLOSE_GRACE_MS, store.close());
  return {
    claims: { transactions: claim.transactions, channels: claim.channels, gas: claim.gas },
    settles: { transactions: settle.transactions, gas: settle.gas, amountAtomic: settle.amountAtomic },
    deposits: { transactions: deposit.transactions, gas: deposit.gas },
    exact: { transactions: exact.transactions, gas: exact.gas, amountAtomic: exact.amountAtomic },
    excluded: last?.excluded ?? [],
    interrupted:
      last === undefined || last.interrupted !== undefined
        ? (watch.trouble ?? last?.interrupted ?? `no end within ${stopTimeoutMs} ms`)
        : undefined,
  };
}

/** Requests under way are answered; connections still open after that are closed. */
async function closed(app: FastifyInstance, closing: PromiseLike<unknown>): Promise<void> {
  await until(Date.now() + CLOSE_GRACE_MS, closing);
  app.server.closeAllConnections();
  await until(Date.now() + CLOSE_GRACE_MS, closing);
}

/** The last claims and settlement, tried again while they are refused for now and time is left. */
async function lastRound(
  claims: Claims,
  inTime: <T>(work: Promise<T>) => Promise<T | undefined>,
  deadlineMs: number,
): Promise<ClaimRound | undefined> {
  for (;;) {
    const round = await inTime(claims.round());
    if (round === undefined || round.interrupted === undefined) return round;
    if (Date.now() + LAST_ROUND_PAUSE_MS >= deadlineMs) return round;
    const pause = new Promise<true>((resolve) => setTimeout(() => resolve(true), LAST_ROUND_PAUSE_MS));
    // A round that failed because the node is away is not tried again.
    if ((await inTime(pause)) === undefined) return round;
  }
}

/** What `work` resolves with, or undefined when the deadline comes first. @param deadlineMs Unix milliseconds */
function until<Value>(deadlineMs: number, work: PromiseLike<Value>): Promise<Value | undefined> {
  return within(deadlineMs - Date.now(), work, () => undefined);
}
