// A real gateway, open to every key, and strangers by the thousand: what it weighs after each crowd of them.

import { type ChildProcess, fork } from "node:child_process";
import { on, once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Libsql from "libsql";
import { stringify } from "smol-toml";
import { expect } from "vitest";
import type { Server } from "#gateway/config/broker-section";
import { toHex } from "#payment/bytes";
import type { Ground } from "../fixtures.ts";
import { bundleOf } from "../processes/bundle.ts";
import { spawnGateway } from "../processes/gateway-process.ts";
import { dataOf, QUANTUM, startSeller } from "../purchase/agreement.ts";

export interface Weighed {
  readonly strangers: number;
  readonly heapBytes: number;
  /** Outside V8's heap: buffers. */
  readonly externalBytes: number;
  readonly rows: Readonly<Record<(typeof TABLES)[number], number>>;
}

const TABLES = ["device", "channel", "deposit", "payment", "enrolment"] as const;
const STRANGERS_PROCESS = fileURLToPath(new URL("./strangers-process.ts", import.meta.url));
const PRELOAD = new URL("../faults/heap-preload.mjs", import.meta.url).href;

/**
 * Lets strangers come, up to each of the counts, and weighs the gateway after each, while a light that buys stays.
 * @param devicesMax the gateway's limit: what it may remember of them
 */
export async function weighStrangers(
  ground: Ground,
  server: Server,
  counts: readonly number[],
  devicesMax: number,
): Promise<Weighed[]> {
  const seller = await startSeller(ground);
  const config = ground.config(seller.url, {
    broker: { server, connections: devicesMax },
    limits: { devices: devicesMax },
    forward: { origins: [seller.url], allowPrivate: true },
    http: { port: 0 },
  });
  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  const programs = ground.directory();
  const gateway = spawnGateway(["--config", file, "--quiet"], undefined, {
    NODE_OPTIONS: `--import ${PRELOAD}`,
  });
  const brokerUrl = await gateway.ready;
  const resource = `${seller.url}/v1/energy?quantum=${QUANTUM}`;
  const { address, publicKey } = ground.gatewayKey;
  const reported = [new URL(brokerUrl).port, address, toHex(publicKey), resource];
  const strangers = fork(await bundleOf(STRANGERS_PROCESS, programs), reported);
  await once(strangers, "message");
  const light = ground.light(brokerUrl);
  await light.untilCharged(QUANTUM);

  const weighed: Weighed[] = [];
  let come = 0;
  for (const count of counts) {
    strangers.send(count - come);
    const [ends] = (await once(strangers, "message")) as [object];
    expect(ends).toEqual({ refused: count - come, "turned-away": 0 });
    come = count;
    weighed.push({ strangers: come, ...(await weigh(gateway.child)), rows: rowsIn(dataOf(config)) });
  }
  // Who bought before them buys on.
  await light.untilCharged(light.charged() + 2 * QUANTUM);
  await light.stop();
  strangers.disconnect();
  gateway.child.kill("SIGTERM");
  const { code, stderr } = await gateway.ended;
  expect([code, stderr]).toEqual([0, ""]);
  await seller.stop();
  return weighed;
}

async function weigh(child: ChildProcess): Promise<Pick<Weighed, "heapBytes" | "externalBytes">> {
  child.send("weigh");
  for await (const [said] of on(child, "message")) {
    const { heapUsed, external } = said as { readonly heapUsed?: number; readonly external: number };
    if (heapUsed !== undefined) return { heapBytes: heapUsed, externalBytes: external };
  }
  throw new Error("the gateway ended before it was weighed");
}

function rowsIn(data: string): Weighed["rows"] {
  const db = new Libsql(join(data, "ledger.sqlite"), { readonly: true });
  const count = (table: string) =>
    (db.prepare(`SELECT count(*) AS found FROM ${table}`).get() as { found: number }).found;
  const rows = Object.fromEntries(TABLES.map((table) => [table, count(table)])) as Weighed["rows"];
  db.close();
  return rows;
}
