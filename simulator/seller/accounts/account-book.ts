// The seller's accounts, answers and channel records, whatever keeps their rows. It is also the SDK's channel
// storage, and there it is the step where money is committed: the commit that raises a channel's charged
// amount also grants the energy and keeps the answer, so after a crash there is either all of a purchase or
// nothing of it.
//
// Reservations (one request in flight per channel) live in memory: a crash must free them.

import type { ChannelStorage, ChannelUpdateResult } from "@x402/evm/batch-settlement/server";
import type {
  AccountStore,
  Channel,
  ChannelOnChain,
  KindTotals,
  SellerTransaction,
  SettleResponse,
  StoredAnswer,
  TransactionKind,
  TransferPurchase,
} from "../ports.ts";
import type { Quote } from "../sale/tariff.ts";
import type { ChargedVoucher, VoucherStore } from "../scheme/voucher-service.ts";
import { type Account, newAccount, purchase } from "./accounts.ts";
import { type Charge, storedAnswer } from "./charge.ts";

/** Signature of a channel whose newest voucher this seller never saw, or lost. */
export const NO_VOUCHER = "";

/** An account with the channel it is drawn on; null for exact. */
export interface AccountRecord {
  readonly account: Account;
  readonly channel: Channel | null;
}

/** Where the rows are. Reads see what is committed; writes belong inside `commit`. */
export interface AccountRows {
  record(id: string): AccountRecord | undefined;
  channels(): Channel[];
  putRecord(record: AccountRecord): void;
  answer(account: string, reference: string): StoredAnswer | undefined;
  /** Kept for good. */
  putAnswer(account: string, reference: string, stored: StoredAnswer): void;
  /** The record after a charge and its answer; of a channel's answers the newest is kept. */
  putCharge(charge: Charge): void;
  putReceipt(account: string, reference: string, receipt: SettleResponse): void;
  putTransaction(transaction: SellerTransaction): void;
  transactionsWithoutGas(): SellerTransaction[];
  totals(): Record<TransactionKind, KindTotals>;
  /**
   * All of the work's writes or none; resolves when they would survive a power cut. Until then they are not read: what
   * another work would decide on them has to wait for it.
   */
  commit<T>(work: () => T): Promise<T>;
  /** True while the disk does not keep up: refuse new work before doing it. */
  readonly isFull: boolean;
}

export class AccountBook implements AccountStore, ChannelStorage, VoucherStore {
  readonly #rows: AccountRows;
  readonly #quote: () => Quote;
  readonly #sold: (units: number) => void;
  readonly #network: SettleResponse["network"];
  readonly #reservations = new Map<string, Channel>();
  readonly #turns = new Map<string, Promise<unknown>>();

  /**
   * @param quote the price at the moment of charging
   * @param sold called with the units of each purchase when it is charged
   */
  constructor(
    rows: AccountRows,
    network: SettleResponse["network"],
    quote: () => Quote,
    sold: (units: number) => void = () => {},
  ) {
    this.#rows = rows;
    this.#network = network;
    this.#quote = quote;
    this.#sold = sold;
  }

  get isFull(): boolean {
    return this.#rows.isFull;
  }

  account(id: string): Account | undefined {
    return this.#rows.record(id)?.account;
  }

  channel(id: string): Channel | undefined {
    return this.#rows.record(id)?.channel ?? undefined;
  }

  channels(): Channel[] {
    return this.#rows.channels();
  }

  answer(account: string, reference: string): StoredAnswer | undefined {
    return this.#rows.answer(account, reference);
  }

  chargeTransfer(sale: TransferPurchase): Promise<StoredAnswer> {
    const before = this.#turns.get(sale.payer) ?? Promise.resolve();
    return this.#inTurn(
      sale.payer,
      before.then(() => this.#chargeTransfer(sale)),
    );
  }

  #chargeTransfer(sale: TransferPurchase): Promise<StoredAnswer> {
    return this.#rows.commit(() => {
      const { payer, reference, identifier } = sale;
      const known = this.answer(payer, reference);
      if (known !== undefined) return known;
      const before = this.account(payer) ?? newAccount(payer, sale.scheme);
      const { account, answer } = purchase(before, sale.amountAtomic, this.#quote());
      this.#sold(account.granted - before.granted);
      const stored = { answer, signature: sale.signature, receipt: sale.receipt };
      this.#rows.putRecord({ account, channel: null });
      // A forgotten nonce could be charged anew from the same transfer, so these are kept for good.
      this.#rows.putAnswer(payer, reference, stored);
      if (identifier !== undefined) this.#rows.putAnswer(payer, identifier, stored);
      this.#rows.putTransaction({
        hash: sale.receipt.transaction,
        kind: "exact",
        channels: 1,
        amountAtomic: sale.amountAtomic,
        gas: undefined,
      });
      return stored;
    });
  }

  recordDeposit(account: string, reference: string, receipt: SettleResponse): Promise<void> {
    return this.#rows.commit(() => {
      this.#rows.putReceipt(account, reference, receipt);
      this.#rows.putTransaction({
        hash: receipt.transaction,
        kind: "deposit",
        channels: 1,
        amountAtomic: Number(receipt.amount ?? 0),
        gas: undefined,
      });
    });
  }

  recordTransaction(transaction: SellerTransaction): Promise<void> {
    return this.#rows.commit(() => this.#rows.putTransaction(transaction));
  }

  transactionsWithoutGas(): SellerTransaction[] {
    return this.#rows.transactionsWithoutGas();
  }

  totals(): Record<TransactionKind, KindTotals> {
    return this.#rows.totals();
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

  chargeVoucher(channel: Channel, voucher: ChargedVoucher): Promise<StoredAnswer> | undefined {
    const id = channel.channelId;
    if (this.#turns.has(id) || this.#reservations.has(id)) return undefined;
    const next: Channel = {
      ...channel,
      chargedCumulativeAmount: String(Number(channel.chargedCumulativeAmount) + voucher.amountAtomic),
      signedMaxClaimable: voucher.maxClaimable,
      signature: voucher.signature,
      lastRequestTimestamp: voucher.atMs,
    };
    const charging = this.#rows.commit(() => {
      const charge = this.#charge(channel, next, voucher.amountAtomic);
      this.#rows.putCharge(charge);
      return charge;
    });
    return this.#inTurn(
      id,
      charging.then((charge) => storedAnswer(charge, this.#network)),
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
  updateChannel(
    channelId: string,
    update: (current: Channel | undefined) => Channel | undefined,
  ): Promise<ChannelUpdateResult> {
    const id = channelId.toLowerCase();
    const before = this.#turns.get(id) ?? Promise.resolve();
    return this.#inTurn(
      id,
      before.then(() => this.#update(id, update)),
    );
  }

  /** Until `turn` is over, other changes of this channel wait behind it. */
  #inTurn<T>(id: string, turn: Promise<T>): Promise<T> {
    const settled: Promise<unknown> = turn.then(
      () => this.#isOver(id, settled),
      () => this.#isOver(id, settled),
    );
    this.#turns.set(id, settled);
    return turn;
  }

  #isOver(id: string, turn: Promise<unknown>): void {
    if (this.#turns.get(id) === turn) this.#turns.delete(id);
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
      await this.#rows.commit(() => this.#putChannel(id, emptied));
      this.#reservations.delete(id);
      return { channel: undefined, status: "deleted" };
    }
    const { pendingRequest, ...rest } = next;
    const durable: Channel = { ...rest, channelId: id };
    const charged = BigInt((current ?? next).chargedCumulativeAmount);
    const amountAtomic = Number(BigInt(next.chargedCumulativeAmount) - charged);
    if (amountAtomic > 0) {
      await this.#rows.commit(() => this.#rows.putCharge(this.#charge(current!, durable, amountAtomic)));
    } else if (stored !== undefined && !sameOnChain(stored, next)) {
      await this.#rows.commit(() => this.#putChannel(id, { ...stored, ...onChainOf(next) }));
    }
    if (pendingRequest === undefined) this.#reservations.delete(id);
    else this.#reservations.set(id, next);
    return { channel: next, status: "updated" };
  }

  #charge(previous: Channel, next: Channel, amountAtomic: number): Charge {
    const id = next.channelId;
    const before = this.account(id) ?? newAccount(id, "batch-settlement");
    const quote = this.#quote();
    const { account } = purchase(before, amountAtomic, quote, Number(next.chargedCumulativeAmount));
    this.#sold(account.granted - before.granted);
    return { account, channel: next, quote, amountAtomic, onChain: previous };
  }

  /**
   * What the chain says was claimed was charged: a store from before a loss counts on from there. The voucher
   * of that count is the chain's, not this store's.
   */
  #putChannel(id: string, channel: Channel): void {
    const record = this.#rows.record(id);
    if (record === undefined) return;
    const { account } = record;
    const claimed = Number(channel.totalClaimed);
    if (claimed <= account.charged) {
      this.#rows.putRecord({ account, channel });
      return;
    }
    const count = { chargedCumulativeAmount: channel.totalClaimed, signedMaxClaimable: channel.totalClaimed };
    this.#rows.putRecord({
      account: { ...account, charged: claimed },
      channel: { ...channel, ...count, signature: NO_VOUCHER },
    });
  }
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
