// Accounts, answers and channel records in one SQLite file, written by group commit with synchronous=FULL:
// what was answered is on disk. It is also the SDK's channel storage, and there it is the step where money
// is committed: the transaction that raises a channel's charged amount also grants the energy and keeps the
// answer, so after a crash there is either all of a purchase or nothing of it.
//
// Reservations (one request in flight per channel) live in memory: a crash must free them.

import type { ChannelStorage, ChannelUpdateResult } from "@x402/evm/batch-settlement/server";
import { GroupCommit } from "#gateway/ledger/group-commit";
import { type Account, newAccount, purchase } from "./accounts.ts";
import type {
  AccountStore,
  Channel,
  ChannelOnChain,
  ExactPurchase,
  KindTotals,
  SellerTransaction,
  SettleResponse,
  StoredAnswer,
  TransactionKind,
} from "./ports.ts";
import { closeDatabase, openDatabase, type SellerIdentity } from "./sqlite-file.ts";
import type { Quote } from "./tariff.ts";

/** Answers kept per channel: a buyer repeats its newest payments, older ones are refused uncharged. */
export const KEPT_ANSWERS = 64;

interface AccountRow {
  account: string;
  scheme: Account["scheme"];
  charged: number;
  granted: number;
  remainder: number;
  purchases: number;
  channel: string | null;
}

interface AnswerRow {
  signature: string;
  answer: string;
  receipt: string;
}

export interface SqliteAccountsOptions {
  readonly directory: string;
  readonly identity: SellerIdentity;
  /** The price at the moment of charging. */
  readonly quote: () => Quote;
  readonly maxQueued?: number;
}

export class SqliteAccounts implements AccountStore, ChannelStorage {
  readonly #db;
  readonly #commit: GroupCommit;
  readonly #quote: () => Quote;
  readonly #network: SettleResponse["network"];
  readonly #statements;
  readonly #reservations = new Map<string, Channel>();
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(options: SqliteAccountsOptions) {
    this.#db = openDatabase(options.directory, options.identity);
    this.#quote = options.quote;
    this.#network = options.identity.network;
    this.#commit = new GroupCommit(this.#db, { maxQueued: options.maxQueued ?? 10_000 });
    const db = this.#db;
    this.#statements = {
      account: db.prepare("SELECT * FROM accounts WHERE account = ?"),
      channels: db.prepare("SELECT channel FROM accounts WHERE channel IS NOT NULL"),
      putAccount: db.prepare("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?)"),
      answer: db.prepare(
        "SELECT signature, answer, receipt FROM answers WHERE account = ? AND reference = ?",
      ),
      putAnswer: db.prepare("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)"),
      putReceipt: db.prepare("UPDATE answers SET receipt = ? WHERE account = ? AND reference = ?"),
      putTransaction: db.prepare("INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?)"),
      withoutGas: db.prepare("SELECT * FROM transactions WHERE gas IS NULL"),
      totals: db.prepare(
        `SELECT kind, count(*) AS transactions, sum(channels) AS channels, sum(ifnull(gas, 0)) AS gas,
          sum(amount) AS amountAtomic FROM transactions GROUP BY kind`,
      ),
    };
  }

  /** True while the disk does not keep up: refuse new work before doing it. */
  get isFull(): boolean {
    return this.#commit.isFull;
  }

  account(id: string): Account | undefined {
    const row = this.#row(id);
    return row === undefined ? undefined : accountOf(row);
  }

  channel(id: string): Channel | undefined {
    return channelOf(this.#row(id));
  }

  channels(): Channel[] {
    return this.#statements.channels
      .all()
      .map((row) => JSON.parse((row as { channel: string }).channel) as Channel);
  }

  answer(account: string, reference: string): StoredAnswer | undefined {
    const row = this.#statements.answer.get(account, reference) as AnswerRow | undefined;
    if (row === undefined) return undefined;
    return { answer: JSON.parse(row.answer), signature: row.signature, receipt: JSON.parse(row.receipt) };
  }

  chargeExact(sale: ExactPurchase): Promise<StoredAnswer> {
    return this.#commit.run(() => {
      const known = this.answer(sale.payer, sale.nonce);
      if (known !== undefined) return known;
      const row = this.#row(sale.payer);
      const before = row === undefined ? newAccount(sale.payer, "exact") : accountOf(row);
      const { account, answer } = purchase(before, sale.quantumAtomic, this.#quote());
      const stored = { answer, signature: sale.signature, receipt: sale.receipt };
      this.#putAccount(account, null);
      // No slot: a forgotten nonce could be charged anew from the same transfer, so these are kept for good.
      this.#putAnswer(sale.payer, sale.nonce, null, stored);
      this.#putTransaction({
        hash: sale.receipt.transaction,
        kind: "exact",
        channels: 1,
        amountAtomic: sale.quantumAtomic,
        gas: undefined,
      });
      return stored;
    });
  }

  recordDeposit(account: string, reference: string, receipt: SettleResponse): Promise<void> {
    return this.#commit.run(() => {
      this.#statements.putReceipt.run(JSON.stringify(receipt), account, reference);
      this.#putTransaction({
        hash: receipt.transaction,
        kind: "deposit",
        channels: 1,
        amountAtomic: Number(receipt.amount ?? 0),
        gas: undefined,
      });
    });
  }

  recordTransaction(transaction: SellerTransaction): Promise<void> {
    return this.#commit.run(() => this.#putTransaction(transaction));
  }

  transactionsWithoutGas(): SellerTransaction[] {
    const rows = this.#statements.withoutGas.all() as {
      hash: string;
      kind: TransactionKind;
      channels: number;
      amount: number;
    }[];
    return rows.map((row) => ({ ...row, amountAtomic: row.amount, gas: undefined }));
  }

  totals(): Record<TransactionKind, KindTotals> {
    const none = { transactions: 0, channels: 0, gas: 0, amountAtomic: 0 };
    const totals = { deposit: none, claim: none, settle: none, exact: none };
    for (const row of this.#statements.totals.all() as ({ kind: TransactionKind } & KindTotals)[]) {
      const { kind, ...sums } = row;
      totals[kind] = sums;
    }
    return totals;
  }

  async refreshChannels(states: ReadonlyMap<string, ChannelOnChain>, readAtMs: number): Promise<void> {
    await Promise.all(
      [...states].map(([id, state]) =>
        this.updateChannel(id, (current) => {
          if (current === undefined) return current;
          const { withdrawRequestedAt } = state;
          // A deposit in flight, or one settled since, knows the balance better than this reading.
          if (current.pendingRequest !== undefined || (current.onchainSyncedAt ?? 0) > readAtMs) {
            return current.withdrawRequestedAt === withdrawRequestedAt
              ? current
              : { ...current, withdrawRequestedAt };
          }
          return {
            ...current,
            balance: state.balance.toString(),
            totalClaimed: state.totalClaimed.toString(),
            withdrawRequestedAt,
            refundNonce: Number(state.refundNonce),
            onchainSyncedAt: readAtMs,
          };
        }),
      ),
    );
  }

  // The SDK's ChannelStorage.

  async get(channelId: string): Promise<Channel | undefined> {
    const id = channelId.toLowerCase();
    return this.#reservations.get(id) ?? this.channel(id);
  }

  async list(): Promise<Channel[]> {
    return this.channels();
  }

  /**
   * Compare and set, one at a time per channel. A reservation stays in memory; whatever changes money or
   * chain state resolves after its commit. A channel the SDK deletes (emptied by a refund) keeps its record,
   * so that the buyer's counter goes on where it stood.
   */
  async updateChannel(
    channelId: string,
    update: (current: Channel | undefined) => Channel | undefined,
  ): Promise<ChannelUpdateResult> {
    const id = channelId.toLowerCase();
    const turn = (this.#turns.get(id) ?? Promise.resolve()).then(() => this.#update(id, update));
    const settled = turn.catch(() => undefined);
    this.#turns.set(id, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(id) === settled) this.#turns.delete(id);
    }
  }

  /** Writes what waits and closes the file. */
  close(): void {
    this.#commit.close();
    closeDatabase(this.#db);
  }

  async #update(
    id: string,
    update: (current: Channel | undefined) => Channel | undefined,
  ): Promise<ChannelUpdateResult> {
    const stored = this.channel(id);
    const current = this.#reservations.get(id) ?? stored;
    const next = update(current);
    if (next === current) return { channel: current, status: "unchanged" };
    if (next === undefined) {
      const { pendingRequest: _, onchainSyncedAt: __, ...emptied } = current!;
      await this.#commit.run(() => this.#putChannel(id, emptied));
      this.#reservations.delete(id);
      return { channel: undefined, status: "deleted" };
    }
    const { pendingRequest, ...rest } = next;
    const durable: Channel = { ...rest, channelId: id };
    const chargeAtomic =
      BigInt(next.chargedCumulativeAmount) - BigInt((current ?? next).chargedCumulativeAmount);
    if (chargeAtomic > 0n) await this.#commit.run(() => this.#charge(id, current!, durable, chargeAtomic));
    else if (stored !== undefined && !sameOnChain(stored, next)) {
      await this.#commit.run(() => this.#putChannel(id, { ...stored, ...onChainOf(next) }));
    }
    if (pendingRequest === undefined) this.#reservations.delete(id);
    else this.#reservations.set(id, next);
    return { channel: next, status: "updated" };
  }

  #charge(id: string, previous: Channel, next: Channel, chargeAtomic: bigint): void {
    const row = this.#row(id);
    const before = row === undefined ? newAccount(id, "batch-settlement") : accountOf(row);
    const charged = Number(next.chargedCumulativeAmount);
    const { account, answer } = purchase(before, Number(chargeAtomic), this.#quote(), charged);
    const receipt: SettleResponse = {
      success: true,
      payer: next.channelConfig.payer.toLowerCase(),
      transaction: "",
      network: this.#network,
      amount: "",
      extra: {
        channelState: {
          channelId: previous.channelId,
          balance: previous.balance,
          totalClaimed: previous.totalClaimed,
          withdrawRequestedAt: previous.withdrawRequestedAt,
          refundNonce: String(previous.refundNonce),
          chargedCumulativeAmount: next.chargedCumulativeAmount,
        },
        chargedAmount: chargeAtomic.toString(),
      },
    };
    this.#putAccount(account, next);
    this.#putAnswer(id, next.signedMaxClaimable, account.purchases % KEPT_ANSWERS, {
      answer,
      signature: next.signature.toLowerCase(),
      receipt,
    });
  }

  #row(id: string): AccountRow | undefined {
    return this.#statements.account.get(id) as AccountRow | undefined;
  }

  #putChannel(id: string, channel: Channel): void {
    const row = this.#row(id);
    if (row !== undefined) this.#putAccount(accountOf(row), channel);
  }

  #putAccount(account: Account, channel: Channel | null): void {
    this.#statements.putAccount.run(
      account.account,
      account.scheme,
      account.charged,
      account.granted,
      account.remainderMicroAtomic,
      account.purchases,
      channel === null ? null : JSON.stringify(channel),
    );
  }

  #putAnswer(account: string, reference: string, slot: number | null, stored: StoredAnswer): void {
    this.#statements.putAnswer.run(
      account,
      reference,
      slot,
      stored.signature,
      JSON.stringify(stored.answer),
      JSON.stringify(stored.receipt),
    );
  }

  #putTransaction(transaction: SellerTransaction): void {
    this.#statements.putTransaction.run(
      transaction.hash,
      transaction.kind,
      transaction.channels,
      transaction.amountAtomic,
      transaction.gas ?? null,
    );
  }
}

function accountOf(row: AccountRow): Account {
  return {
    account: row.account,
    scheme: row.scheme,
    charged: row.charged,
    granted: row.granted,
    remainderMicroAtomic: row.remainder,
    purchases: row.purchases,
  };
}

function channelOf(row: AccountRow | undefined): Channel | undefined {
  return row?.channel == null ? undefined : (JSON.parse(row.channel) as Channel);
}

type OnChainFields = "balance" | "totalClaimed" | "withdrawRequestedAt" | "refundNonce" | "onchainSyncedAt";

function onChainOf(channel: Channel): Pick<Channel, OnChainFields> {
  const { balance, totalClaimed, withdrawRequestedAt, refundNonce, onchainSyncedAt } = channel;
  return {
    balance,
    totalClaimed,
    withdrawRequestedAt,
    refundNonce,
    ...(onchainSyncedAt === undefined ? {} : { onchainSyncedAt }),
  };
}

function sameOnChain(a: Channel, b: Channel): boolean {
  return (
    a.balance === b.balance &&
    a.totalClaimed === b.totalClaimed &&
    a.withdrawRequestedAt === b.withdrawRequestedAt &&
    a.refundNonce === b.refundNonce &&
    a.onchainSyncedAt === b.onchainSyncedAt
  );
}
