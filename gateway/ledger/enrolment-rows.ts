/**
 * Enrolments in the ledger, in the SQL that both databases understand.
 *
 * Promise: revisions rise with every change and are seen in their order, because writes happen one after
 * the other; `?` stands for each parameter, in order.
 */
import type { EnrolmentRecord, Enrolments } from "../enrolment/enrolment.ts";
import type { Read } from "../purchase/ports.ts";
import type { Cell, Row } from "./rows.ts";

const NEXT_REVISION = "(SELECT coalesce(max(revision), 0) + 1 FROM enrolment)";

const SQL = {
  one: "SELECT * FROM enrolment WHERE device = ?",
  all: "SELECT * FROM enrolment WHERE device > ? ORDER BY device LIMIT ?",
  inState: "SELECT * FROM enrolment WHERE state = ? AND device > ? ORDER BY device LIMIT ?",
  since: "SELECT * FROM enrolment WHERE revision > ? ORDER BY revision LIMIT ?",
  pending: "SELECT count(*) AS waiting FROM enrolment WHERE state = 'pending'",
  ask:
    "INSERT INTO enrolment (device, state, asked_at, decided_at, revision)" +
    ` SELECT CAST(? AS TEXT), 'pending', CAST(? AS BIGINT), 0, ${NEXT_REVISION}` +
    " WHERE (SELECT count(*) FROM enrolment WHERE state = 'pending') < CAST(? AS BIGINT)" +
    " ON CONFLICT (device) DO NOTHING",
  decide:
    "INSERT INTO enrolment (device, state, asked_at, decided_at, revision)" +
    ` VALUES (?, ?, 0, ?, ${NEXT_REVISION}) ON CONFLICT (device) DO UPDATE SET` +
    " state = excluded.state, decided_at = excluded.decided_at, revision = excluded.revision",
} as const;

export type Select = (sql: string, ...cells: Cell[]) => Read<readonly Row[]>;

/** What a database does for enrolments: reads, and one write at a time followed by its reads. */
export interface EnrolmentDatabase {
  readonly select: Select;
  /** Runs a write and then a read as one transaction, alone among all who write enrolments. */
  write(
    sql: string,
    cells: readonly Cell[],
    readSql: string,
    readCells: readonly Cell[],
  ): Promise<readonly Row[]>;
}

export function enrolmentsIn({ select, write }: EnrolmentDatabase): Enrolments {
  const records = (rows: Read<readonly Row[]>) => after(rows, (found) => found.map(enrolmentIn));
  return {
    enrolment: (device) => after(select(SQL.one, device), ([row]) => (row ? enrolmentIn(row) : null)),
    enrolments: (state, beyond, limit) =>
      records(state === null ? select(SQL.all, beyond, limit) : select(SQL.inState, state, beyond, limit)),
    enrolmentsSince: (revision, limit) => records(select(SQL.since, revision, limit)),
    pendingCount: () => after(select(SQL.pending), ([row]) => Number(row!.waiting)),
    async awaitApproval(device, atSeconds, pendingMax) {
      const [row] = await write(SQL.ask, [device, atSeconds, pendingMax], SQL.one, [device]);
      return row ? enrolmentIn(row) : null;
    },
    async decideEnrolment(device, decision, atSeconds) {
      const [row] = await write(SQL.decide, [device, decision, Math.floor(atSeconds)], SQL.one, [device]);
      return enrolmentIn(row!);
    },
  };
}

function enrolmentIn(row: Row): EnrolmentRecord {
  return {
    device: row.device as string,
    state: row.state as EnrolmentRecord["state"],
    askedSeconds: row.asked_at as number,
    decidedSeconds: row.decided_at as number,
    revision: row.revision as number,
  };
}

/** Goes on at once with what is there, later with what comes later. */
function after<From, To>(value: Read<From>, then: (value: From) => To): Read<To> {
  return value instanceof Promise ? value.then(then) : then(value);
}
