/**
 * The cluster's membership in the ledger's PostgreSQL, and the fencing check of the ledger's writes.
 *
 * Promise: one turn at a time among all members (an advisory lock), by the database's clock alone; a slot
 * changes its holder only here, and never while a write that passed the check is under way: the check holds a
 * shared lock on the slots' rows until its transaction ends.
 *
 * The tables hold nothing that outlives a minute, so they are made where they are missing and need no
 * migrations.
 */
import type { PoolClient } from "pg";
import { LEASE_MS } from "../../cluster/cluster.ts";
import {
  type Delivery,
  type Member,
  type Membership,
  type MembershipView,
  SLOTS,
  slotOf,
} from "../../cluster/membership.ts";
import { inTransaction, openPool, type PostgresOptions } from "./postgres-pool.ts";

/** One gateway among several: all with one key, each start of a program another member. */
export interface MemberIdentity {
  /** The gateway key's address: gateways with another key have another membership. */
  readonly gateway: string;
  readonly member: string;
  readonly name: string;
}

/** A turn is a handful of statements; one that waits longer is given up, and the next one tries. */
const BOUNDS = { connectionsMax: 2, connectTimeoutMs: 2_500, statementTimeoutMs: 2_500 };

/** A member that vanished is shown for so long. */
const REMEMBERED_MS = 3_600_000;

/** Key of the transaction-scoped advisory lock. */
const LOCK_MEMBERSHIP = 4_020_003;

const NOW_MS = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

const TABLES = `
CREATE TABLE IF NOT EXISTS duty_member (
  gateway TEXT NOT NULL, member TEXT NOT NULL, name TEXT NOT NULL, delivery TEXT NOT NULL,
  hears BOOLEAN NOT NULL, until_ms BIGINT NOT NULL, PRIMARY KEY (gateway, member)
);
CREATE TABLE IF NOT EXISTS duty_slot (
  gateway TEXT NOT NULL, slot INTEGER NOT NULL, holder TEXT, PRIMARY KEY (gateway, slot)
);`;

const RENEW = `
INSERT INTO duty_member (gateway, member, name, delivery, hears, until_ms)
VALUES ($1, $2, $3, $4, $5, ${NOW_MS} + $6)
ON CONFLICT (gateway, member) DO UPDATE
SET delivery = excluded.delivery, hears = excluded.hears, until_ms = excluded.until_ms`;

const RELEASE =
  "UPDATE duty_slot SET holder = NULL WHERE gateway = $1 AND holder = $2 AND slot = ANY($3::int[])";
const RELEASE_ALL = "UPDATE duty_slot SET holder = NULL WHERE gateway = $1 AND holder = $2";
const CLAIM = "UPDATE duty_slot SET holder = $2 WHERE gateway = $1 AND slot = ANY($3::int[])";
const FORGET = `DELETE FROM duty_member WHERE gateway = $1 AND until_ms < ${NOW_MS} - $2`;
const SLOT_ROWS = "SELECT holder FROM duty_slot WHERE gateway = $1 ORDER BY slot";
const MEMBER_ROWS = `
SELECT member, name, delivery, hears, greatest(0, until_ms - ${NOW_MS}) AS left_ms
FROM duty_member WHERE gateway = $1 ORDER BY name, member`;

const HELD = `
SELECT duty_slot.slot FROM duty_slot
JOIN duty_member ON duty_member.gateway = duty_slot.gateway AND duty_member.member = duty_slot.holder
WHERE duty_slot.gateway = $1 AND duty_slot.holder = $2 AND duty_slot.slot = ANY($3::int[])
AND duty_member.until_ms > ${NOW_MS}
ORDER BY duty_slot.slot FOR SHARE OF duty_slot`;

interface MemberRow {
  readonly member: string;
  readonly name: string;
  readonly delivery: Delivery;
  readonly hears: boolean;
  readonly left_ms: number;
}

/** Which of these devices a write may be for, asked inside its transaction: theirs stay so until it ends. */
export type FencingCheck = (client: PoolClient, devices: readonly string[]) => Promise<ReadonlySet<string>>;

export function fencingCheckOf({ gateway, member }: MemberIdentity): FencingCheck {
  return async (client, devices) => {
    const slots = [...new Set(devices.map(slotOf))];
    const { rows } = await client.query<{ slot: number }>(HELD, [gateway, member, slots]);
    const mine = new Set(rows.map(({ slot }) => slot));
    return new Set(devices.filter((device) => mine.has(slotOf(device))));
  };
}

/** Opens the membership. Rejects while the database cannot be reached. */
export async function openPostgresMembership(
  options: PostgresOptions,
  identity: MemberIdentity,
): Promise<Membership> {
  const { gateway, member, name } = identity;
  // Connections of its own: a ledger that is busy must not keep the lease from being renewed.
  const pool = openPool(options, BOUNDS);
  try {
    await inTransaction(pool, LOCK_MEMBERSHIP, async (client) => {
      await client.query(TABLES);
      await client.query(
        "INSERT INTO duty_slot (gateway, slot) SELECT $1, generate_series(0, $2::int - 1) ON CONFLICT DO NOTHING",
        [gateway, SLOTS],
      );
    });
  } catch (error) {
    await pool.end();
    throw error;
  }

  async function look(client: PoolClient): Promise<MembershipView> {
    const members = await client.query<MemberRow>(MEMBER_ROWS, [gateway]);
    const slots = await client.query<{ holder: string | null }>(SLOT_ROWS, [gateway]);
    return { members: members.rows.map(memberIn), holders: slots.rows.map(({ holder }) => holder) };
  }

  return {
    turn: ({ delivery, hears, releases }, claim) =>
      inTransaction(pool, LOCK_MEMBERSHIP, async (client) => {
        await client.query(RENEW, [gateway, member, name, delivery, hears, LEASE_MS]);
        await client.query(FORGET, [gateway, REMEMBERED_MS]);
        if (releases.length > 0) await client.query(RELEASE, [gateway, member, releases]);
        const view = await look(client);
        const claims = claim(view);
        if (claims.length === 0) return view;
        await client.query(CLAIM, [gateway, member, claims]);
        const holders = view.holders.map((holder, slot) => (claims.includes(slot) ? member : holder));
        return { ...view, holders };
      }),
    leave: () =>
      inTransaction(pool, LOCK_MEMBERSHIP, async (client) => {
        await client.query(RELEASE_ALL, [gateway, member]);
        await client.query("DELETE FROM duty_member WHERE gateway = $1 AND member = $2", [gateway, member]);
      }),
    close: () => pool.end(),
  };
}

function memberIn({ member, name, delivery, hears, left_ms }: MemberRow): Member {
  return { member, name, delivery, hears, isLive: left_ms > 0, leaseLeftMs: left_ms };
}
