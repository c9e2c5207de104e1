/**
 * The ledger that a configuration names: a file in the data folder, or a PostgreSQL.
 */

import { mkdirSync } from "node:fs";
import { Watt402Error } from "#payment/watt402-error";
import type { Config } from "../config/config.ts";
import { shownUrl } from "../config/layers.ts";
import { readSecret } from "../config/secret.ts";
import type { Logger } from "../purchase/ports.ts";
import { openPostgresLedger } from "./postgres/postgres-ledger.ts";
import { fencingCheckOf, type MemberIdentity } from "./postgres/postgres-membership.ts";
import type { PostgresOptions } from "./postgres/postgres-pool.ts";
import { openSqliteLedger } from "./sqlite/sqlite-ledger.ts";
import type { LedgerStore } from "./store.ts";

/**
 * Opens the ledger for the gateway, which records payments, and brings its schema up to date. Rejects with one line
 * that names the member.
 * @param identity among several gateways: it writes for the devices that it holds; null: for all
 */
export async function openGatewayLedger(
  config: Config,
  note: Logger,
  identity: MemberIdentity | null,
): Promise<LedgerStore> {
  return openStore(config, note, identity, true);
}

/** Opens the ledger for everybody else, beside a gateway that runs or without one: to read, or to move deposits. */
export async function openLedger(config: Config, note: Logger): Promise<LedgerStore> {
  return openStore(config, note, null, false);
}

async function openStore(
  { ledger, gateway }: Config,
  note: Logger,
  identity: MemberIdentity | null,
  isGateway: boolean,
): Promise<LedgerStore> {
  if (ledger.kind === "sqlite") {
    makeFolder(gateway.data);
    const onTrouble = (reason: string) =>
      note("warn", "payments wait in the journal: they could not be brought into the ledger's tables", {
        reason,
      });
    return openSqliteLedger(gateway.data, { isGateway, onTrouble });
  }
  return openPostgresLedger(postgresOf(ledger, note), identity === null ? null : fencingCheckOf(identity));
}

/** How the PostgreSQL of a configuration is reached. */
export function postgresOf(
  { url, passwordFile }: Extract<Config["ledger"], { kind: "postgres" }>,
  note: Logger,
): PostgresOptions {
  return {
    url,
    password: passwordFile === undefined ? null : readSecret("ledger.passwordFile", passwordFile),
    onTrouble: (reason) => note("warn", "a connection to the ledger broke", { url: shownUrl(url), reason }),
  };
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `gateway.data: expected a folder to write to, found ${path} (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}
