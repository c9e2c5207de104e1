/**
 * The gateway's ledger in one SQLite file.
 *
 * Promise (M4): a write that resolved is on disk (WAL, synchronous=FULL, one commit for all writes of a
 * turn); a payment is keyed by its money, so the same rung is recorded once, whoever presents it.
 */
import { join } from "node:path";
import Database from "libsql";
import type { ChannelRecord, DepositRecord, DeviceRecord, Ledger, PaymentRecord } from "../purchase/ports.ts";
import { GroupCommit } from "./group-commit.ts";

const SCHEMA_VERSION = 1;

const SCHEMA = `
CREATE TABLE device (
  device TEXT PRIMARY KEY, public_key TEXT NOT NULL, model TEXT NOT NULL, firmware TEXT NOT NULL,
  meter TEXT NOT NULL, unit TEXT NOT NULL, wanted_units INTEGER NOT NULL
) STRICT;
CREATE TABLE channel (
  id TEXT PRIMARY KEY, device TEXT NOT NULL, resource TEXT NOT NULL, requirements TEXT NOT NULL, config TEXT,
  promised INTEGER NOT NULL, charged INTEGER NOT NULL, granted INTEGER NOT NULL, revision INTEGER NOT NULL
) STRICT;
CREATE INDEX channel_by_device ON channel (device);
-- The key is the money, not the message: a rung presented again finds its row.
CREATE TABLE payment (
  channel_id TEXT NOT NULL, max_claimable INTEGER NOT NULL, amount INTEGER NOT NULL, charged INTEGER NOT NULL,
  granted INTEGER NOT NULL, price INTEGER NOT NULL, register INTEGER NOT NULL, signature TEXT NOT NULL,
  tx TEXT NOT NULL, at_seconds INTEGER NOT NULL, PRIMARY KEY (channel_id, max_claimable)
) STRICT, WITHOUT ROWID;
-- The index is the deposit's nonce on chain: one row, at most one transfer.
CREATE TABLE deposit (
  channel_id TEXT NOT NULL, idx INTEGER NOT NULL, amount INTEGER NOT NULL, valid_before INTEGER NOT NULL,
  signature TEXT NOT NULL, state TEXT NOT NULL, at_seconds INTEGER NOT NULL, PRIMARY KEY (channel_id, idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX deposit_by_time ON deposit (at_seconds);
`;

export interface SqliteLedger extends Ledger {
  readonly counts: { readonly payments: number; readonly commits: number };
  close(): void;
}

/** Opens or creates `ledger.sqlite` in a directory. Throws one clear line when the file is none of ours. */
export function openSqliteLedger(directory: string): SqliteLedger {
  const file = join(directory, "ledger.sqlite");
  const db = openFile(file);
  const commits = new GroupCommit(db);
  const select = {
    device: db.prepare("SELECT * FROM device WHERE device = ?"),
    channels: db.prepare(
      "SELECT c.*, (SELECT coalesce(sum(amount), 0) FROM deposit d WHERE d.channel_id = c.id AND d.state = 'confirmed') AS balance FROM channel c WHERE device = ?",
    ),
    payment: db.prepare("SELECT * FROM payment WHERE channel_id = ? AND max_claimable = ?"),
    paymentsAfter: db.prepare(
      "SELECT * FROM payment WHERE channel_id = ? AND max_claimable > ? ORDER BY max_claimable LIMIT ?",
    ),
    deposits: db.prepare("SELECT * FROM deposit WHERE channel_id = ? ORDER BY idx"),
    since: db.prepare("SELECT coalesce(sum(amount), 0) AS amount FROM deposit WHERE at_seconds >= ?"),
    payments: db.prepare("SELECT count(*) AS payments FROM payment"),
  };
  const write = {
    device: db.prepare("INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?, ?, ?, ?)"),
    channel: db.prepare(
      "INSERT INTO channel VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET resource = excluded.resource, requirements = excluded.requirements, promised = max(promised, excluded.promised), charged = max(charged, excluded.charged), granted = max(granted, excluded.granted), revision = max(revision, excluded.revision)",
    ),
    payment: db.prepare("INSERT OR IGNORE INTO payment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    deposit: db.prepare("INSERT OR REPLACE INTO deposit VALUES (?, ?, ?, ?, ?, ?, ?)"),
  };

  let payments = (select.payments.get() as Row).payments as number;

  function putChannel(record: ChannelRecord): void {
    const { id, device, resource, requirements, config, promised, charged, granted, revision } = record;
    write.channel.run(
      id,
      device,
      resource,
      JSON.stringify(requirements),
      config && JSON.stringify(config),
      promised,
      charged,
      granted,
      revision,
    );
  }

  return {
    device(device) {
      const row = select.device.get(device) as Row | undefined;
      return row ? deviceIn(row) : null;
    },
    saveDevice(record) {
      const { device, publicKey, model, firmware, meter, unit, wantedUnits } = record;
      return commits.run(() => {
        write.device.run(device, publicKey, model, firmware, meter, unit, wantedUnits);
      });
    },
    channelsOf: (device) => (select.channels.all(device) as Row[]).map(channelIn),
    saveChannel: (record) => commits.run(() => putChannel(record)),
    payment(channelId, maxClaimable) {
      const row = select.payment.get(channelId, maxClaimable) as Row | undefined;
      return row ? paymentIn(row) : null;
    },
    paymentsAfter: (channelId, charged, limit) =>
      (select.paymentsAfter.all(channelId, charged, limit) as Row[]).map(paymentIn),
    recordPayment(payment, channel) {
      const { channelId, maxClaimable, amountAtomic, charged, granted, pricePerMillionUnits } = payment;
      const { register, signature, transaction, atSeconds } = payment;
      return commits.run(() => {
        const { changes } = write.payment.run(
          channelId,
          maxClaimable,
          amountAtomic,
          charged,
          granted,
          pricePerMillionUnits,
          register,
          signature,
          transaction,
          atSeconds,
        );
        putChannel(channel);
        payments += changes;
      });
    },
    deposits: (channelId) => (select.deposits.all(channelId) as Row[]).map(depositIn),
    saveDeposit(record) {
      const { channelId, index, amountAtomic, validBeforeSeconds, signature, state, atSeconds } = record;
      return commits.run(() => {
        write.deposit.run(channelId, index, amountAtomic, validBeforeSeconds, signature, state, atSeconds);
      });
    },
    depositedSince: (atSeconds) => (select.since.get(Math.floor(atSeconds)) as Row).amount as number,
    get counts() {
      return { payments, commits: commits.commits };
    },
    close() {
      commits.close();
      db.close();
    },
  };
}

type Row = Readonly<Record<string, unknown>>;

function openFile(file: string): Database.Database {
  try {
    const db = new Database(file);
    db.pragma("journal_mode = WAL");
    // FULL: a commit is on disk when it returns; NORMAL would lose the last ones in a power cut.
    db.pragma("synchronous = FULL");
    const version = (db.prepare("PRAGMA user_version").get() as Row).user_version;
    if (version === 0) db.exec(`BEGIN; ${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`);
    else if (version !== SCHEMA_VERSION) {
      throw new Error(
        `expected schema version ${SCHEMA_VERSION}, found ${version}; use the program that wrote it`,
      );
    }
    return db;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`ledger ${file}: ${reason}; restore a backup, or name another gateway.data directory`);
  }
}

function deviceIn(row: Row): DeviceRecord {
  return {
    device: row.device as string,
    publicKey: row.public_key as string,
    model: row.model as string,
    firmware: row.firmware as string,
    meter: row.meter as string,
    unit: row.unit as string,
    wantedUnits: row.wanted_units as number,
  };
}

function channelIn(row: Row): ChannelRecord {
  return {
    id: row.id as string,
    device: row.device as string,
    resource: row.resource as string,
    requirements: JSON.parse(row.requirements as string),
    config: row.config === null ? null : JSON.parse(row.config as string),
    balance: row.balance as number,
    promised: row.promised as number,
    charged: row.charged as number,
    granted: row.granted as number,
    revision: row.revision as number,
  };
}

function paymentIn(row: Row): PaymentRecord {
  return {
    channelId: row.channel_id as string,
    maxClaimable: row.max_claimable as number,
    amountAtomic: row.amount as number,
    charged: row.charged as number,
    granted: row.granted as number,
    pricePerMillionUnits: row.price as number,
    register: row.register as number,
    signature: row.signature as string,
    transaction: row.tx as string,
    atSeconds: row.at_seconds as number,
  };
}

function depositIn(row: Row): DepositRecord {
  return {
    channelId: row.channel_id as string,
    index: row.idx as number,
    amountAtomic: row.amount as number,
    validBeforeSeconds: row.valid_before as number,
    signature: row.signature as string,
    state: row.state as DepositRecord["state"],
    atSeconds: row.at_seconds as number,
  };
}
