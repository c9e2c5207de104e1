// Several gateways as their operator runs them: programs of their own on one PostgreSQL and one broker, to be
// killed, stalled and started again while lights buy.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { expect } from "vitest";
import type { ClusterStatus } from "#gateway/cluster/cluster-status";
import type { SellerService } from "#simulator/seller/seller";
import type { Ground, Light } from "../fixtures.ts";
import type { Postgres } from "../ledger/postgres/postgres.ts";
import { type GatewayProcess, spawnGateway } from "../processes/gateway-process.ts";
import { expectRowsAgree, freePort, type LedgerRows } from "../purchase/agreement.ts";

/** Small, so that many deposits are made while gateways die. */
export const DEPOSIT = 2_000;

export interface Node {
  readonly name: string;
  readonly httpUrl: string;
  start(): Promise<void>;
  /** Without a word. */
  kill(): Promise<void>;
  stall(): void;
  wake(): void;
  /** As an operator stops it: resolves with its exit code and what it said on standard error. */
  stop(): Promise<{ readonly code: number | null; readonly stderr: string }>;
  duty(): Promise<ClusterStatus>;
  isReady(): Promise<boolean>;
  metric(name: string): Promise<number>;
  /** Memory it has, bytes. */
  residentBytes(): Promise<number>;
}

export interface Cluster {
  readonly nodes: readonly Node[];
  /** Resolves once these serve the whole fleet, with the seconds it took. */
  untilServed(by: readonly Node[], limitMs?: number): Promise<number>;
}

export async function openCluster(
  ground: Ground,
  postgres: Postgres,
  brokerUrl: string,
  sellerUrl: string,
  names: readonly string[],
): Promise<Cluster> {
  const folder = ground.directory();
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, postgres.password, { mode: 0o600 });
  const nodes: Node[] = [];
  for (const name of names) {
    const port = await freePort();
    const config = {
      ...ground.config(sellerUrl, {
        gateway: { name },
        broker: { kind: "external", url: brokerUrl },
        treasury: { depositAtomic: DEPOSIT },
        http: { port },
      }),
      ledger: { kind: "postgres", url: postgres.url, passwordFile },
    };
    const file = join(folder, `${name}.toml`);
    writeFileSync(file, stringify({ ...config, broker: { kind: "external", url: brokerUrl } }));
    nodes.push(nodeOf(name, `http://127.0.0.1:${port}`, ["--config", file, "--quiet"]));
  }
  return {
    nodes,
    async untilServed(by, limitMs = 40_000) {
      const since = performance.now();
      const isServed = async () => {
        const status = await Promise.all(by.map((node) => node.duty().catch(() => null)));
        const slots = status.reduce((sum, one) => sum + (one?.slots ?? 0), 0);
        return status.every((one) => one !== null && one.slots > 0) && slots === 64;
      };
      while (!(await isServed())) {
        if (performance.now() - since > limitMs) {
          const shown = await Promise.all(by.map((node) => node.duty().catch(String)));
          throw new Error(`expected the fleet served within ${limitMs} ms, found ${JSON.stringify(shown)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return (performance.now() - since) / 1000;
    },
  };
}

function nodeOf(name: string, httpUrl: string, args: readonly string[]): Node {
  let running: GatewayProcess | null = null;
  const answer = async (path: string) => fetch(`${httpUrl}${path}`, { signal: AbortSignal.timeout(2_000) });
  return {
    name,
    httpUrl,
    async start() {
      running = spawnGateway(args);
      await running.ready;
    },
    async kill() {
      running!.child.kill("SIGKILL");
      await running!.ended;
    },
    stall: () => void running!.child.kill("SIGSTOP"),
    wake: () => void running!.child.kill("SIGCONT"),
    async stop() {
      running!.child.kill("SIGTERM");
      return running!.ended;
    },
    duty: async () => (await (await answer("/api/v1/duty")).json()) as ClusterStatus,
    isReady: async () => (await answer("/readyz")).ok,
    async metric(wanted) {
      const text = await (await answer("/metrics")).text();
      const line = text.split("\n").find((row) => row.startsWith(`${wanted} `));
      return Number(line?.slice(wanted.length + 1));
    },
    async residentBytes() {
      return this.metric("process_resident_memory_bytes");
    },
  };
}

/** Resolves with the seconds until every one of these lights was granted something new. */
export async function untilAllBuy(lights: readonly Light[], limitMs = 60_000): Promise<number> {
  const since = performance.now();
  const before = lights.map((light) => light.charged());
  await Promise.all(lights.map((light, index) => light.untilCharged(before[index]! + 1, limitMs)));
  return (performance.now() - since) / 1000;
}

async function ledgerRows(postgres: Postgres): Promise<LedgerRows & { readonly depositedAtomic: number }> {
  const integers = (rows: readonly Record<string, unknown>[]) =>
    rows.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([key, value]) => [key, /id$/.test(key) ? value : Number(value)]),
      ),
    );
  const channels = await postgres.query("SELECT id, charged, granted FROM channel WHERE charged > 0");
  const payments = await postgres.query(
    "SELECT channel_id, max_claimable, amount FROM payment ORDER BY channel_id, max_claimable",
  );
  const [sums] = integers(
    await postgres.query("SELECT count(*) AS deposits, coalesce(sum(amount), 0) AS deposited FROM deposit"),
  );
  const open = await postgres.query("SELECT 1 FROM deposit WHERE state = 'intended'");
  expect(open).toEqual([]);
  return {
    channels: integers(channels) as unknown as LedgerRows["channels"],
    payments: integers(payments) as unknown as LedgerRows["payments"],
    deposits: Number(sums!.deposits),
    depositedAtomic: Number(sums!.deposited),
  };
}

/** Tokens of an address, atomic units. */
export async function tokensOf(ground: Ground, owner: string): Promise<number> {
  const data = `0x70a08231${owner.slice(2).toLowerCase().padStart(64, "0")}`;
  const params = [{ to: ground.contracts.token, data }, "latest"];
  const answer = await fetch(ground.anvil.rpcUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_call", params }),
  });
  return Number(((await answer.json()) as { result: string }).result);
}

/**
 * Lights, ledger, seller and chain agree when all is still: every rung charged once, every deposit moved once,
 * none made that was not needed. Stops the seller.
 * @param treasuryBefore the treasury's tokens before the first deposit
 */
export async function expectAllAgree(
  ground: Ground,
  postgres: Postgres,
  utility: SellerService,
  lights: readonly Light[],
  treasuryBefore: number,
): Promise<{ readonly payments: number; readonly deposits: number }> {
  const rows = await ledgerRows(postgres);
  const total = await expectRowsAgree(lights, rows, utility.url);
  // One deposit covers twenty rungs: as many as were begun, and one that was promised ahead at most.
  const needed = rows.channels.map(({ charged }) => Math.ceil(charged / DEPOSIT));
  const neededMin = needed.reduce((sum, count) => sum + count, 0);
  expect(rows.deposits).toBeGreaterThanOrEqual(neededMin);
  expect(rows.deposits).toBeLessThanOrEqual(neededMin + lights.length);
  expect(treasuryBefore - (await tokensOf(ground, ground.treasuryKey.address))).toBe(rows.depositedAtomic);
  const { settles, deposits } = await utility.stop();
  expect(settles.amountAtomic).toBe(total);
  expect(deposits.transactions).toBe(rows.deposits);
  return { payments: rows.payments.length, deposits: rows.deposits };
}
