/**
 * The electricity seller as a process of the world: the utility's own sale, account book and claims, on
 * simulated tables, chain and clock.
 *
 * Promise: killed and started again it knows what its tables know; it answers HTTP only while it lives.
 */
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import type { Answer } from "#gateway/sellers/client/seller-http";
import { AccountBook, type AccountRecord, type AccountRows } from "../../seller/accounts/account-book.ts";
import { storedAnswer } from "../../seller/accounts/charge.ts";
import { Claims } from "../../seller/claims/claims.ts";
import type { KindTotals, SellerTransaction, StoredAnswer, TransactionKind } from "../../seller/ports.ts";
import { type ChargedShare, WHOLE } from "../../seller/sale/charged-share.ts";
import { EnergySale } from "../../seller/sale/energy-sale.ts";
import { type Quote, quoting, type Tariff } from "../../seller/sale/tariff.ts";
import type { Faults } from "../engine/faults.ts";
import { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { Signing } from "../engine/signing.ts";
import type { Tables } from "../engine/tables.ts";
import type { World } from "../engine/world.ts";
import { MENU, NETWORK, requirementsFor } from "../engine/world-terms.ts";
import type { ChainModel } from "./chain.ts";
import { sellerChain } from "./chain-ports.ts";
import { AMOUNT_MISMATCH, Settlement } from "./settlement.ts";

/** Between two rounds of claims, and two looks for withdrawals. */
const CLAIM_MS = 2 * 3_600_000;
const WATCH_MS = 5 * 60_000;
/** Until a started seller serves. */
const START_MS = 800;

/** Observes every charge the tables commit, and every answer sent. */
export interface SellerWatch {
  charged(before: AccountRecord | undefined, after: AccountRecord, reference: string): void;
  answered(account: string, reference: string, charged: number): void;
}

interface SellerParts {
  /** What is sold, as a tariff names it. */
  readonly unit: string;
  readonly world: World;
  readonly faults: Faults;
  readonly tables: Tables;
  readonly chain: ChainModel;
  readonly tariff: Tariff;
  readonly signing: Signing;
  readonly epochSeconds: number;
  readonly chargedShare: ChargedShare;
  readonly watch: SellerWatch;
}

export class Seller {
  private readonly parts: SellerParts;
  private life: ProcessLifetime;
  private sale: EnergySale | null = null;
  private book: AccountBook | null = null;
  private claims: Claims | null = null;
  private readonly quote: () => Quote;

  constructor(parts: SellerParts) {
    this.parts = parts;
    this.life = new ProcessLifetime(parts.world);
    const quoteAt = quoting(parts.tariff);
    this.quote = () => quoteAt(Math.floor(parts.epochSeconds + parts.world.nowMs / 1000));
    this.start();
  }

  /** Null while it does not run: connections are refused. */
  get serving(): ProcessLifetime | null {
    return this.sale === null ? null : this.life;
  }

  kill(): void {
    this.life.end();
    this.parts.tables.crash();
    this.sale = null;
  }

  pause(forMs: number): void {
    this.life.pause(forMs);
  }

  /** Starts a new process on the tables as they are; one that still runs is ended. */
  start(): void {
    if (this.life.isAlive) this.kill();
    const { world, tables, chain, faults, signing } = this.parts;
    const life = new ProcessLifetime(world);
    this.life = life;
    const nowMs = () => this.nowMs();
    const rows = rowsOf(tables, life, this.parts.watch);
    const book = new AccountBook(rows, NETWORK, this.quote);
    const port = sellerChain(chain, life, faults);
    const settlement = new Settlement({ life, chain, storage: book, signing, nowMs });
    this.book = book;
    this.claims = new Claims(book, port, nowMs);
    const sale = new EnergySale({
      resourceServer: settlement.asServer(),
      store: book,
      chain: port,
      chargedShare: this.parts.chargedShare,
      nowMs,
      authorizationIsSigned: () => Promise.resolve(false),
      warn: () => {},
    });
    life.after(START_MS, () => {
      world.touch();
      void this.begin(life, sale);
    });
  }

  /** One round of claims and a settlement; resolves when it is over, whatever came of it. */
  async claimRound(): Promise<void> {
    await this.claims?.round();
  }

  /** The API of the utility's server. @param quantum of the query, for a purchase */
  async handle(
    method: string,
    path: string,
    quantum: number,
    payment: PaymentPayload | null,
  ): Promise<Answer> {
    if (path === "/v1/tariff") {
      const metered = this.parts.chargedShare === WHOLE ? {} : { metered: true };
      return body({ unit: this.parts.unit, ...this.quote(), menu: MENU, ...metered });
    }
    if (path.startsWith("/v1/accounts/")) return this.accountOf(path.slice("/v1/accounts/".length));
    const offer = requirementsFor(quantum);
    if (method !== "POST" || offer === null) {
      return { kind: "refused", status: 400, body: "quantum: not on the menu", receipt: null };
    }
    if (payment === null) return required(offer, "Payment required", null);
    const outcome = await this.sale!.sell(payment, [offer]);
    switch (outcome.kind) {
      case "sold": {
        const { answer, receipt } = outcome.stored;
        const { voucher } = payment.payload as { voucher: { maxClaimableAmount: string } };
        this.parts.watch.answered(answer.account, voucher.maxClaimableAmount, answer.charged);
        return { kind: "paid", status: 200, body: JSON.stringify(answer), receipt };
      }
      case "unpaid":
        return required(
          offer,
          outcome.reason,
          outcome.reason === AMOUNT_MISMATCH ? payment : null,
          this.book!,
        );
      case "unsettled":
        return { kind: "refused", status: 402, body: "", receipt: outcome.receipt };
      case "identifier-taken":
      case "identifier-invalid":
        return { kind: "refused", status: 400, body: outcome.reason, receipt: null };
      case "unavailable":
        return { kind: "unavailable", reason: outcome.reason };
      case "acknowledged":
        return { kind: "paid", status: 200, body: "", receipt: outcome.receipt };
    }
  }

  private async begin(life: ProcessLifetime, sale: EnergySale): Promise<void> {
    const claims = this.claims!;
    try {
      await claims.catchUp();
    } catch {
      // No seller without a node: its supervisor starts it again.
      life.after(START_MS * 10, () => {
        life.world.touch();
        void this.begin(life, sale);
      });
      return;
    }
    this.sale = sale;
    this.repeat(life, CLAIM_MS, () => claims.round());
    this.repeat(life, WATCH_MS, () => claims.watch());
  }

  private repeat(life: ProcessLifetime, everyMs: number, job: () => Promise<unknown>): void {
    life.after(everyMs, () => {
      life.world.touch();
      job()
        .catch(() => undefined)
        .finally(() => this.repeat(life, everyMs, job));
    });
  }

  private accountOf(id: string): Answer {
    const account = this.book!.account(id);
    if (account === undefined) return { kind: "refused", status: 404, body: "no account", receipt: null };
    return body({ account: id, charged: account.charged, granted: account.granted });
  }

  private nowMs(): number {
    return this.parts.epochSeconds * 1000 + this.parts.world.nowMs;
  }
}

function body(value: object): Answer {
  return { kind: "paid", status: 200, body: JSON.stringify(value), receipt: null };
}

/** A 402; with a payment whose base was wrong it states what was charged on its channel. */
function required(
  offer: PaymentRequirements,
  error: string,
  payment: PaymentPayload | null,
  book?: AccountBook,
): Answer {
  const id = (payment?.payload as { voucher?: { channelId: string } } | undefined)?.voucher?.channelId;
  const channel = id === undefined ? undefined : book?.channel(id);
  const states =
    channel === undefined
      ? {}
      : {
          channelState: { chargedCumulativeAmount: channel.chargedCumulativeAmount },
          voucherState: { signedMaxClaimable: channel.signedMaxClaimable, signature: channel.signature },
        };
  const accepts = [{ ...offer, extra: { ...offer.extra, ...states } }];
  return {
    kind: "payment-required",
    required: { x402Version: 2, error, resource: { url: "" }, accepts } as Extract<
      Answer,
      { kind: "payment-required" }
    >["required"],
    error,
  };
}

const NONE: KindTotals = { transactions: 0, channels: 0, gas: 0, amountAtomic: 0 };

function rowsOf(tables: Tables, life: ProcessLifetime, watch: SellerWatch): AccountRows {
  const rows: AccountRows = {
    get isFull() {
      return tables.isFull;
    },
    commit: (work) => tables.commit(life, work),
    record: (id) => tables.get<AccountRecord>("account", id),
    channels: () => [...tables.rows<AccountRecord>("account")].flatMap(({ channel }) => channel ?? []),
    putRecord: (record) => tables.put("account", record.account.account, record),
    answer: (account, reference) => tables.get<StoredAnswer>("answer", `${account} ${reference}`),
    putAnswer: (account, reference, stored) => tables.put("answer", `${account} ${reference}`, stored),
    putCharge(charge) {
      const { account } = charge;
      const id = account.account;
      const reference = charge.channel.signedMaxClaimable;
      const before = tables.get<AccountRecord>("account", id);
      rows.putRecord({ account, channel: charge.channel });
      // The answer of the newest voucher alone is kept.
      const forgotten = tables.get<string>("newest", id);
      if (forgotten !== undefined) tables.put("answer", `${id} ${forgotten}`, undefined);
      tables.put("newest", id, reference);
      rows.putAnswer(id, reference, storedAnswer(charge, NETWORK));
      tables.onceCommitted(() => watch.charged(before, charge, reference));
    },
    putReceipt(account, reference, receipt) {
      const stored = tables.get<StoredAnswer>("answer", `${account} ${reference}`);
      if (stored !== undefined) tables.put("answer", `${account} ${reference}`, { ...stored, receipt });
    },
    putTransaction: (transaction) => tables.put("transaction", transaction.hash, transaction),
    transactionsWithoutGas: () =>
      [...tables.rows<SellerTransaction>("transaction")].filter(({ gas }) => gas === undefined),
    totals(): Record<TransactionKind, KindTotals> {
      return { deposit: NONE, claim: NONE, settle: NONE, exact: NONE };
    },
  };
  return rows;
}
