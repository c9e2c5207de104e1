// What `watt402-gateway ledger reconcile` finds, run as an operator would, beside no gateway.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "smol-toml";
import type { Difference, SellerTotals } from "#gateway/ledger/statements/differences";
import type { Ground } from "../fixtures.ts";
import { spawnGateway } from "./gateway-process.ts";

export interface Reconciled {
  readonly differences: readonly Difference[];
  readonly unasked: readonly string[];
  readonly sellers: readonly SellerTotals[];
}

/** @param program a bundle of GATEWAY_PROCESS */
export async function reconciled(
  ground: Pick<Ground, "directory">,
  program: string,
  config: Record<string, unknown>,
): Promise<Reconciled> {
  const file = join(ground.directory(), "gateway.toml");
  writeFileSync(file, stringify(config));
  const { stdout } = await spawnGateway(["ledger", "reconcile", "--json", "--config", file], program).ended;
  return JSON.parse(stdout) as Reconciled;
}
