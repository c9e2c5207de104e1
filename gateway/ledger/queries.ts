/**
 * The ledger's reads and its writes of enrolments, in the SQL that both databases understand.
 *
 * Promise: a channel's balance, and what was signed on it, are derived, never stored; revisions of enrolments rise with every change, provided
 * that one is written after the other; `?` marks each parameter, in order.
 */

const SUM = (table: string, where: string) => `(SELECT coalesce(sum(amount), 0) FROM ${table} ${where})`;

/** Confirmed deposits less withdrawals: money on its way out is no longer for vouchers. */
const BALANCE_OF = (channel: string) =>
  `${SUM("deposit d", `WHERE d.channel_id = ${channel} AND d.state = 'confirmed'`)}` +
  ` - ${SUM("withdrawal w", `WHERE w.channel_id = ${channel}`)}`;

/** The highest amount of a payment: above what was charged where a seller charged in part. */
const SIGNED = "(SELECT max(p.max_claimable) FROM payment p WHERE p.channel_id = c.id)";

const CHANNELS =
  `SELECT c.*, CAST(${BALANCE_OF("c.id")} AS BIGINT) AS balance, ${SIGNED} AS signed,` +
  " u.max_claimable AS unknown_claim, u.since_seconds AS unknown_since" +
  " FROM channel c LEFT JOIN unknown_outcome u ON u.channel_id = c.id";

const OF_DEVICE = "(channel_id = ? OR channel_id IN (SELECT id FROM channel WHERE device = ?))";

/** One whose authorization ended unused moves nothing any more. */
const COUNTS = "state <> 'expired'";

/** Rows of before there were several tokens that have no channel count in each. */
const OF_TOKEN = "token IN (?, '')";

/** Of a device that had bought nothing when it was signed, and has bought nothing since. */
const OF_NEWCOMER =
  "(d.newcomer = 1 AND NOT EXISTS (SELECT 1 FROM channel c JOIN channel b ON b.device = c.device" +
  " WHERE c.id = d.channel_id AND b.charged > 0))";

export const READS = {
  device: "SELECT * FROM device WHERE device = ?",
  devices: "SELECT * FROM device ORDER BY device",
  channelsOf: `${CHANNELS} WHERE c.device = ?`,
  channels: `${CHANNELS} ORDER BY c.device, c.id`,
  payment: "SELECT * FROM payment WHERE channel_id = ? AND max_claimable = ?",
  paymentsAfter:
    "SELECT * FROM payment WHERE channel_id = ? AND max_claimable > ? ORDER BY max_claimable LIMIT ?",
  paymentPage:
    "SELECT * FROM payment WHERE (channel_id, max_claimable) > (?, ?)" +
    " AND at_seconds BETWEEN ? AND ? ORDER BY channel_id, max_claimable LIMIT ?",
  paymentPageOfChannel:
    "SELECT * FROM payment WHERE channel_id = ? AND max_claimable > ?" +
    " AND at_seconds BETWEEN ? AND ? ORDER BY max_claimable LIMIT ?",
  deposits: "SELECT * FROM deposit WHERE channel_id = ? ORDER BY idx",
  withdrawals: "SELECT * FROM withdrawal WHERE channel_id = ? ORDER BY idx",
  balance: `SELECT CAST(${BALANCE_OF("c.id")} AS BIGINT) AS balance FROM (SELECT CAST(? AS TEXT) AS id) c`,
  overdue:
    "SELECT d.*, c.device, c.requirements FROM deposit d JOIN channel c ON c.id = d.channel_id" +
    ` WHERE d.state = 'intended' AND d.${OF_TOKEN} AND d.valid_before <= ? ORDER BY d.valid_before LIMIT ?`,
  /** Parameters: channel, token, since, token, channel, device, since, token, token, since, token. */
  totals: `SELECT CAST(${SUM("deposit", `WHERE channel_id = ? AND ${OF_TOKEN} AND ${COUNTS}`)} AS BIGINT) AS channel,
    CAST(${SUM("deposit", `WHERE at_seconds >= ? AND ${OF_TOKEN} AND ${OF_DEVICE} AND ${COUNTS}`)} AS BIGINT) AS device_day,
    CAST(${SUM("deposit d", `WHERE at_seconds >= ? AND ${OF_TOKEN} AND ${COUNTS} AND NOT ${OF_NEWCOMER}`)} AS BIGINT) AS fleet_day,
    CAST(${SUM("deposit d", `WHERE ${OF_TOKEN} AND ${COUNTS} AND NOT ${OF_NEWCOMER}`)} AS BIGINT) AS fleet,
    CAST(${SUM("deposit d", `WHERE at_seconds >= ? AND ${OF_TOKEN} AND ${COUNTS} AND ${OF_NEWCOMER}`)} AS BIGINT) AS newcomers_day`,
  paymentCount: "SELECT count(*) AS payments FROM payment",
} as const;

const NEXT_REVISION = "(SELECT coalesce(max(revision), 0) + 1 FROM enrolment)";

export const UNKNOWN_OUTCOMES = {
  one: "SELECT * FROM unknown_outcome WHERE channel_id = ?",
  save:
    "INSERT INTO unknown_outcome (channel_id, max_claimable, since_seconds) VALUES (?, ?, ?)" +
    " ON CONFLICT (channel_id) DO UPDATE SET max_claimable = excluded.max_claimable," +
    " since_seconds = excluded.since_seconds",
  end: "DELETE FROM unknown_outcome WHERE channel_id = ?",
} as const;

export const DOCUMENTS = {
  one: "SELECT text FROM document WHERE kind = ? AND name = ?",
  save:
    "INSERT INTO document (kind, name, channel_id, charged, text) VALUES (?, ?, ?, ?, ?)" +
    " ON CONFLICT (kind, name) DO NOTHING",
  replace:
    "INSERT INTO document (kind, name, channel_id, charged, text) VALUES (?, ?, ?, ?, ?)" +
    " ON CONFLICT (kind, name) DO UPDATE SET text = excluded.text",
  terms: "SELECT text FROM document WHERE kind = 'terms' ORDER BY name",
  receipts:
    "SELECT d.text FROM document d JOIN channel c ON c.id = d.channel_id" +
    " WHERE d.kind = 'receipt' AND c.device = ? ORDER BY d.channel_id, d.charged",
  /** Channels under signed terms on which more was charged than their newest receipt says. */
  due:
    "SELECT p.channel_id, c.device, c.requirements, c.seller, max(p.register) AS register" +
    " FROM channel c JOIN payment p ON p.channel_id = c.id" +
    " WHERE c.config IS NOT NULL AND c.resource LIKE '%terms=0x%' AND c.charged >" +
    " coalesce((SELECT max(d.charged) FROM document d WHERE d.channel_id = c.id AND d.kind = 'receipt'), 0)" +
    " GROUP BY p.channel_id, c.device, c.requirements, c.seller ORDER BY p.channel_id LIMIT ?",
} as const;

export const ENROLMENTS = {
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
