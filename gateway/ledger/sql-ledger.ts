/**
 * What a ledger is in either database: reads of its records, enrolments, and the decision on a deposit.
 *
 * Promise: where `select` answers at once, so does every read here. A deposit is decided on all rows that the
 * limits are about, which the database keeps unchanged until the deposit is stored.
 */

import type { ReceiptDue, StoredDocument } from "#market/documents";
import { type PaymentToken, tokenName } from "#protocol/payment-token";
import type { Decision, EnrolmentRecord, Enrolments } from "../enrolment/enrolment.ts";
import type {
  ChannelKey,
  DecideDeposit,
  DepositRecord,
  DepositTotals,
  DeviceRecord,
  OverdueDeposit,
  Read,
  UnknownOutcome,
} from "../purchase/ports.ts";
import { DOCUMENTS, ENROLMENTS, READS, UNKNOWN_OUTCOMES } from "./queries.ts";
import {
  type Cell,
  depositIn,
  deviceIn,
  enrolmentIn,
  overdueIn,
  type Row,
  receiptDueIn,
  totalsCells,
  totalsIn,
  withdrawalIn,
} from "./rows.ts";
import { PAYMENTS_PER_PAGE, type PaymentFilter, type WithdrawalRecord } from "./store.ts";

export interface Query {
  readonly sql: string;
  readonly cells: readonly Cell[];
}

export abstract class SqlLedger implements Enrolments {
  protected abstract select(sql: string, ...cells: readonly Cell[]): Read<readonly Row[]>;
  /** Runs a write and then a read as one transaction; no other write of enrolments runs meanwhile. */
  protected abstract writeThenRead(write: Query, read: Query): Promise<readonly Row[]>;

  device(device: string): Read<DeviceRecord | null> {
    return after(this.select(READS.device, device), ([row]) => (row ? deviceIn(row) : null));
  }

  devices(): Read<readonly DeviceRecord[]> {
    return after(this.select(READS.devices), (rows) => rows.map(deviceIn));
  }

  deposits(channelId: string): Read<readonly DepositRecord[]> {
    return after(this.select(READS.deposits, channelId), (rows) => rows.map(depositIn));
  }

  withdrawals(channelId: string): Read<readonly WithdrawalRecord[]> {
    return after(this.select(READS.withdrawals, channelId), (rows) => rows.map(withdrawalIn));
  }

  balanceOf(channelId: string): Read<number> {
    return after(this.select(READS.balance, channelId), ([row]) => row!.balance as number);
  }

  depositTotals(channel: ChannelKey, daySinceSeconds: number): Read<DepositTotals> {
    const cells = totalsCells(channel, daySinceSeconds);
    return after(this.select(READS.totals, ...cells), ([row]) => totalsIn(row!));
  }

  overdueDeposits(token: PaymentToken, nowSeconds: number, limit: number): Read<readonly OverdueDeposit[]> {
    const cells = [tokenName(token), Math.floor(nowSeconds), limit];
    return after(this.select(READS.overdue, ...cells), (rows) => rows.map(overdueIn));
  }

  async saveUnknown(channelId: string, unknown: UnknownOutcome | null): Promise<void> {
    const write =
      unknown === null
        ? { sql: UNKNOWN_OUTCOMES.end, cells: [channelId] }
        : {
            sql: UNKNOWN_OUTCOMES.save,
            cells: [channelId, unknown.maxClaimable, unknown.sinceSeconds],
          };
    await this.writeThenRead(write, { sql: UNKNOWN_OUTCOMES.one, cells: [channelId] });
  }

  async saveDocument(document: StoredDocument): Promise<void> {
    const { kind, name, channelId, charged, isCountersigned, text } = document;
    const sql = isCountersigned ? DOCUMENTS.replace : DOCUMENTS.save;
    const write = { sql, cells: [kind, name, channelId, charged, text] };
    await this.writeThenRead(write, { sql: DOCUMENTS.one, cells: [kind, name] });
  }

  document(kind: StoredDocument["kind"], name: string): Read<string | null> {
    return after(this.select(DOCUMENTS.one, kind, name), ([row]) => (row ? String(row.text) : null));
  }

  terms(): Read<readonly string[]> {
    return after(this.select(DOCUMENTS.terms), (rows) => rows.map(({ text }) => String(text)));
  }

  receiptsOf(device: string): Read<readonly string[]> {
    return after(this.select(DOCUMENTS.receipts, device), (rows) => rows.map(({ text }) => String(text)));
  }

  receiptsDue(limit: number): Read<readonly ReceiptDue[]> {
    return after(this.select(DOCUMENTS.due, limit), (rows) => rows.map(receiptDueIn));
  }

  enrolment(device: string): Read<EnrolmentRecord | null> {
    return after(this.select(ENROLMENTS.one, device), ([row]) => (row ? enrolmentIn(row) : null));
  }

  enrolments(
    state: EnrolmentRecord["state"] | null,
    beyond: string,
    limit: number,
  ): Read<readonly EnrolmentRecord[]> {
    const rows =
      state === null
        ? this.select(ENROLMENTS.all, beyond, limit)
        : this.select(ENROLMENTS.inState, state, beyond, limit);
    return after(rows, (found) => found.map(enrolmentIn));
  }

  enrolmentsSince(revision: number, limit: number): Read<readonly EnrolmentRecord[]> {
    return after(this.select(ENROLMENTS.since, revision, limit), (rows) => rows.map(enrolmentIn));
  }

  pendingCount(): Read<number> {
    return after(this.select(ENROLMENTS.pending), ([row]) => Number(row!.waiting));
  }

  async awaitApproval(
    device: string,
    atSeconds: number,
    pendingMax: number,
  ): Promise<EnrolmentRecord | null> {
    const write = { sql: ENROLMENTS.ask, cells: [device, atSeconds, pendingMax] };
    const [row] = await this.writeThenRead(write, { sql: ENROLMENTS.one, cells: [device] });
    return row ? enrolmentIn(row) : null;
  }

  async decideEnrolment(device: string, decision: Decision, atSeconds: number): Promise<EnrolmentRecord> {
    const write = { sql: ENROLMENTS.decide, cells: [device, decision, Math.floor(atSeconds)] };
    const [row] = await this.writeThenRead(write, { sql: ENROLMENTS.one, cells: [device] });
    return enrolmentIn(row!);
  }

  /** Rows of the payments beyond a key, in the order of (channel, amount). */
  protected paymentRows(
    { channelId, fromSeconds = 0, toSeconds = Number.MAX_SAFE_INTEGER }: PaymentFilter,
    afterChannel: string,
    afterAmount: number,
  ): Read<readonly Row[]> {
    const rest = [afterAmount, fromSeconds, toSeconds, PAYMENTS_PER_PAGE];
    if (channelId !== undefined) return this.select(READS.paymentPageOfChannel, channelId, ...rest);
    return this.select(READS.paymentPage, afterChannel, ...rest);
  }
}

/** The rows that a deposit is decided on. */
export function depositQueries(channel: ChannelKey, daySinceSeconds: number): readonly Query[] {
  return [
    { sql: READS.withdrawals, cells: [channel.id] },
    { sql: READS.deposits, cells: [channel.id] },
    { sql: READS.totals, cells: totalsCells(channel, daySinceSeconds) },
  ];
}

/**
 * @param rows of `depositQueries`
 * @returns the deposit in force, null for none, and whether it has to be stored first
 */
export function decideOn(
  rows: readonly (readonly Row[])[],
  index: number,
  decide: DecideDeposit,
): { readonly decided: DepositRecord | null; readonly isNew: boolean } {
  const [withdrawals = [], deposits = [], totals = []] = rows;
  if (withdrawals.map(withdrawalIn).some(({ state }) => state === "initiated")) {
    return { decided: null, isNew: false };
  }
  const known = deposits.map(depositIn).find((deposit) => deposit.index === index) ?? null;
  const decided = decide(known, totalsIn(totals[0]!));
  return { decided, isNew: decided !== null && decided !== known };
}

/** Goes on at once with a value that is there, later with one that is promised. */
function after<From, To>(value: Read<From>, then: (value: From) => To): Read<To> {
  return value instanceof Promise ? value.then(then) : then(value);
}
