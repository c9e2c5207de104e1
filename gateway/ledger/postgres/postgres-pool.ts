/**
 * Connections to the PostgreSQL that several gateways share.
 *
 * Promise: commits are durable (synchronous_commit on); a wait for connection or answer has an end; a
 * gateway that stalls in the middle of a transaction loses it, and its locks, so that others go on.
 */
import { Pool, type PoolClient, types } from "pg";
import { STALLED_WRITE_MS } from "../../cluster/cluster.ts";

export interface PostgresOptions {
  /** "postgres://user@host:5432/database", without a password. */
  readonly url: string;
  readonly password: string | null;
  /** Called when a connection breaks; the next use makes a new one. */
  readonly onTrouble: (reason: string) => void;
}

interface PoolBounds {
  readonly connectionsMax: number;
  readonly connectTimeoutMs: number;
  /** Longer than this a statement is given up. */
  readonly statementTimeoutMs: number;
}

const INT8_OID = 20;

export function openPool({ url, password, onTrouble }: PostgresOptions, bounds: PoolBounds): Pool {
  const pool = new Pool({
    connectionString: withPassword(url, password),
    max: bounds.connectionsMax,
    connectionTimeoutMillis: bounds.connectTimeoutMs,
    statement_timeout: bounds.statementTimeoutMs,
    // The server's own limit says nothing to a client that is cut off from it.
    query_timeout: bounds.statementTimeoutMs,
    idle_in_transaction_session_timeout: STALLED_WRITE_MS,
    application_name: "watt402-gateway",
    options: "-c synchronous_commit=on",
    types: {
      // All our integers are counters below 2^53; the driver would give them as text.
      getTypeParser: (oid, format) => (oid === INT8_OID ? Number : types.getTypeParser(oid, format)),
    },
  });
  // A connection that breaks emits the error itself, idle or in use; the pool repeats it for idle ones.
  pool.on("connect", (client) => client.on("error", (error) => onTrouble(error.message)));
  pool.on("error", () => undefined);
  return pool;
}

/** Runs work alone among all who take the same advisory lock; what throws undoes everything. */
export async function inTransaction<Result>(
  pool: Pool,
  lock: number,
  work: (client: PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await client.query("SELECT pg_advisory_xact_lock($1)", [lock]);
    const result = await work(client);
    await client.query("COMMIT");
    client.release();
    return result;
  } catch (error) {
    // The connection is in an unknown state: closed, it rolls back.
    client.release(true);
    throw error;
  }
}

export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0]);
  return error instanceof Error ? error.message : String(error);
}

/** The driver takes the password of its URL over any other. */
function withPassword(url: string, password: string | null): string {
  const complete = new URL(url);
  if (password !== null) complete.password = encodeURIComponent(password);
  return complete.href;
}
