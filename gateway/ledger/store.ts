/**
 * A ledger as its operator sees it: the rules' port, and reading it whole.
 *
 * Promise: nothing here changes a payment; one is recorded once and stays.
 */
import type { ReceiptDue, StoredDocument } from "#market/documents";
import type { Enrolments } from "../enrolment/enrolment.ts";
import type { ChannelRecord, DeviceRecord, Ledger, PaymentRecord, Read } from "../purchase/ports.ts";

/** Money that left a channel, back to the treasury. */
export interface WithdrawalRecord {
  readonly channelId: string;
  /** 0, 1, 2, ... within its channel. */
  readonly index: number;
  /** "refund": the seller gave it back; "withdraw": the payer took it, without the seller. */
  readonly kind: "refund" | "withdraw";
  readonly amountAtomic: number;
  /** "initiated": the chain's delay runs, no deposits meanwhile; "finalized": it arrived. */
  readonly state: "initiated" | "finalized";
  /** Of the transaction that made the state; empty before the first one. */
  readonly transaction: string;
  readonly atSeconds: number;
}

/** Which payments: all members are bounds, both ends included. */
export interface PaymentFilter {
  readonly channelId?: string;
  readonly fromSeconds?: number;
  readonly toSeconds?: number;
}

/** Payments that are durable in the journal and not in the tables yet; a PostgreSQL has none. */
export interface WaitingPayments {
  readonly payments: number;
  /** Of the journal's files. */
  readonly bytes: number;
  /** When the first of them was paid, Unix time; null while none waits. */
  readonly sinceSeconds: number | null;
}

export const NONE_WAITING: WaitingPayments = { payments: 0, bytes: 0, sinceSeconds: null };

export interface LedgerStore extends Ledger, Enrolments {
  devices(): Read<readonly DeviceRecord[]>;
  /** All channels, by device. */
  channels(): Read<readonly ChannelRecord[]>;
  /** By channel, then by amount; read page by page, so a ledger of years fits. */
  payments(filter: PaymentFilter): AsyncIterable<PaymentRecord>;
  /** In the order of their index. */
  withdrawals(channelId: string): Read<readonly WithdrawalRecord[]>;
  /** JSON of one, by its name; null for an unknown one. */
  document(kind: StoredDocument["kind"], name: string): Read<string | null>;
  /** JSON of all terms that sellers have signed; of a device's receipts, by channel and what was charged. */
  terms(): Read<readonly string[]>;
  receiptsOf(device: string): Read<readonly string[]>;
  receiptsDue(limit: number): Read<readonly ReceiptDue[]>;
  saveWithdrawal(record: WithdrawalRecord): Promise<void>;
  /** Payments at start and since; transactions since. */
  readonly counts: { readonly payments: number; readonly commits: number };
  readonly waiting: WaitingPayments;
  /** Commits what waits, then takes no more. */
  close(): Promise<void>;
}

/** Payments read at once. */
export const PAYMENTS_PER_PAGE = 1_000;

/** Payments page by page: `readPage` gives those beyond a key, in the order of (channel, amount). */
export async function* paged(
  readPage: (afterChannel: string, afterAmount: number) => Read<readonly PaymentRecord[]>,
): AsyncIterable<PaymentRecord> {
  let page = await readPage("", -1);
  while (page.length > 0) {
    yield* page;
    const last = page[page.length - 1]!;
    page = page.length < PAYMENTS_PER_PAGE ? [] : await readPage(last.channelId, last.maxClaimable);
  }
}
