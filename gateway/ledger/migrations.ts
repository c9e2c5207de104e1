/**
 * The ledger's tables, as the steps that made them.
 *
 * Promise: steps are numbered, each is taken once, forward only, all that are missing in one transaction;
 * the table `schema_version` says which were taken. A step that was released is never edited.
 */

import { Watt402Error } from "#payment/watt402-error";

/** What databases call differently. */
interface Dialect {
  /** A whole number of 63 bits. */
  readonly integer: string;
  /** After a table's closing bracket. */
  readonly strict: string;
  readonly keyed: string;
  /** Payments waited in a table of this database, before they had a file of their own. */
  readonly journal: boolean;
  /** A text member of a column of JSON text. */
  readonly member: (column: string, name: string) => string;
}

export const SQLITE: Dialect = {
  integer: "INTEGER",
  strict: " STRICT",
  keyed: " STRICT, WITHOUT ROWID",
  journal: true,
  member: (column, name) => `json_extract(${column}, '$.${name}')`,
};
export const POSTGRES: Dialect = {
  integer: "BIGINT",
  strict: "",
  keyed: "",
  journal: false,
  member: (column, name) => `(${column}::json ->> '${name}')`,
};

/** Numbers of the steps a database took, kept in its own table. */
export const VERSION_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)";

const STEPS: readonly ((dialect: Dialect) => string)[] = [
  ({ integer, strict, keyed }) => `
CREATE TABLE device (
  device TEXT PRIMARY KEY, public_key TEXT NOT NULL, model TEXT NOT NULL, firmware TEXT NOT NULL,
  meter TEXT NOT NULL, unit TEXT NOT NULL, wanted_units ${integer} NOT NULL
)${strict};
CREATE TABLE channel (
  id TEXT PRIMARY KEY, device TEXT NOT NULL, resource TEXT NOT NULL, requirements TEXT NOT NULL, config TEXT,
  promised ${integer} NOT NULL, charged ${integer} NOT NULL, granted ${integer} NOT NULL, revision ${integer} NOT NULL
)${strict};
CREATE INDEX channel_by_device ON channel (device);
-- The key is the money, not the message: a rung presented again finds its row.
CREATE TABLE payment (
  channel_id TEXT NOT NULL, max_claimable ${integer} NOT NULL, amount ${integer} NOT NULL,
  charged ${integer} NOT NULL, granted ${integer} NOT NULL, price ${integer} NOT NULL,
  register ${integer} NOT NULL, signature TEXT NOT NULL, tx TEXT NOT NULL, at_seconds ${integer} NOT NULL,
  PRIMARY KEY (channel_id, max_claimable)
)${keyed};
-- The index is the deposit's nonce on chain: one row, at most one transfer.
CREATE TABLE deposit (
  channel_id TEXT NOT NULL, idx ${integer} NOT NULL, amount ${integer} NOT NULL, valid_before ${integer} NOT NULL,
  signature TEXT NOT NULL, state TEXT NOT NULL, at_seconds ${integer} NOT NULL, PRIMARY KEY (channel_id, idx)
)${keyed};
CREATE INDEX deposit_by_time ON deposit (at_seconds);`,
  ({ integer, keyed }) => `
CREATE TABLE withdrawal (
  channel_id TEXT NOT NULL, idx ${integer} NOT NULL, kind TEXT NOT NULL, amount ${integer} NOT NULL,
  state TEXT NOT NULL, tx TEXT NOT NULL, at_seconds ${integer} NOT NULL, PRIMARY KEY (channel_id, idx)
)${keyed};`,
  () => `
-- Rows of before there were several sellers belong to the first one of the configuration.
ALTER TABLE channel ADD COLUMN seller TEXT NOT NULL DEFAULT '';`,
  ({ integer, keyed }) => `
CREATE TABLE enrolment (
  device TEXT PRIMARY KEY, state TEXT NOT NULL, asked_at ${integer} NOT NULL, decided_at ${integer} NOT NULL,
  revision ${integer} NOT NULL
)${keyed};
CREATE UNIQUE INDEX enrolment_by_revision ON enrolment (revision);
CREATE INDEX enrolment_by_state ON enrolment (state, device);`,
  ({ journal }) =>
    journal
      ? `
-- Payments of one commit, as a JSON array of their rows with the channel's counters behind each.
CREATE TABLE payment_journal (id INTEGER PRIMARY KEY, payments TEXT NOT NULL) STRICT;`
      : "",
  ({ journal }) =>
    journal
      ? `
-- The journal is a file of its own since: what waited here comes into its tables.
INSERT OR IGNORE INTO payment
  SELECT ${cells(0, 10)} FROM payment_journal j, json_each(j.payments) p ORDER BY 1, 2, j.id, p.key;
UPDATE channel SET promised = max(channel.promised, f.promised), charged = max(channel.charged, f.charged),
  granted = max(channel.granted, f.granted), revision = max(channel.revision, f.revision)
  FROM (SELECT id, max(promised) AS promised, max(charged) AS charged, max(granted) AS granted,
      max(revision) AS revision
    FROM (SELECT ${cells(0, 1)} AS id, ${cells(10, 11)} AS promised, ${cells(11, 12)} AS charged,
        ${cells(12, 13)} AS granted, ${cells(13, 14)} AS revision
      FROM payment_journal j, json_each(j.payments) p) GROUP BY id) AS f
  WHERE channel.id = f.id;
DROP TABLE payment_journal;`
      : "",
  ({ integer }) => `
-- Deposits of before there was a newcomers' budget count as those of known devices.
ALTER TABLE deposit ADD COLUMN newcomer ${integer} NOT NULL DEFAULT 0;`,
  ({ member }) => `
-- Limits are a token's: its CAIP-19 name, as payment-token.ts writes it. A deposit without a channel counts in each token.
ALTER TABLE deposit ADD COLUMN token TEXT NOT NULL DEFAULT '';
UPDATE deposit SET token = coalesce((
  SELECT ${member("c.requirements", "network")} || '/erc20:' || lower(${member("c.requirements", "asset")})
  FROM channel c WHERE c.id = deposit.channel_id), '');`,
  () => `
-- CAIP-19 names of what a device may pay with, as its hello says it; empty: it does not say.
ALTER TABLE device ADD COLUMN pays TEXT NOT NULL DEFAULT '';`,
  ({ integer, keyed }) => `
-- Payments that were presented and are neither paid nor unpaid, as far as is known: at most one of a channel.
CREATE TABLE unknown_outcome (
  channel_id TEXT PRIMARY KEY, max_claimable ${integer} NOT NULL, since_seconds ${integer} NOT NULL
)${keyed};`,
  () => `
-- The seller that a device buys from now, by the address that is paid; empty: it buys from any.
ALTER TABLE device ADD COLUMN payee TEXT NOT NULL DEFAULT '';`,
  ({ integer, keyed }) => `
-- What sellers have signed, as JSON: terms by their hash, receipts of use by channel and what was charged.
CREATE TABLE document (
  kind TEXT NOT NULL, name TEXT NOT NULL, channel_id TEXT NOT NULL, charged ${integer} NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (kind, name)
)${keyed};
CREATE INDEX document_of_channel ON document (channel_id, charged);`,
];

/** Members of an entry of the journal that was a table, from one index up to another. */
function cells(from: number, to: number): string {
  const indexes = Array.from({ length: to - from }, (_, offset) => from + offset);
  return indexes.map((index) => `json_extract(p.value, '$[${index}]')`).join(", ");
}

export const SCHEMA_VERSION = STEPS.length;

/** The steps a database lacks. Throws when a later program made it. */
export function stepsAfter(version: number, dialect: Dialect): string[] {
  if (version > SCHEMA_VERSION) {
    throw new Watt402Error(
      "data-newer",
      `expected schema version ${SCHEMA_VERSION} or older, found ${version}; use the program that wrote it`,
    );
  }
  return STEPS.slice(version).map(
    (step, index) =>
      `${step(dialect)}\nINSERT INTO schema_version (version) VALUES (${version + index + 1});`,
  );
}
