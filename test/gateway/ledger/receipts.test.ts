// A seller that keeps no books for others to read: what it took is on the chain, and the ledger is held against that.

import { join } from "node:path";
import Libsql from "libsql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSqliteLedger } from "#gateway/ledger/sqlite/sqlite-ledger";
import type { Reconciliation } from "#gateway/ledger/statements/differences";
import { reconcile } from "#gateway/ledger/statements/reconcile";
import { escrowOn } from "#gateway/treasury/escrow";
import { chainOn } from "#gateway/treasury/evm-chain";
import { connectEvm } from "#gateway/treasury/evm-client";
import { keyTreasury } from "#gateway/treasury/open-treasury";
import { receiptsOn } from "#gateway/treasury/receipts";
import { EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS } from "#payment/permit2/permit";
import type { Permit2Rules } from "#payment/permit2/permit2-offer";
import { tokenName } from "#protocol/payment-token";
import { startPermit2Seller } from "../../interop/permit2-seller.ts";
import { startStockSeller } from "../../interop/stock-seller.ts";
import { type Ground, type Light, type LightOptions, prepareGround } from "../fixtures.ts";

const QUANTUM = 100;
/** What a seller by upto charges of it. */
const CHARGED = 37;

const PERMIT2_RULES: Permit2Rules = {
  spenders: [EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS],
  facilitators: [],
  validityMaxSeconds: 600,
  approvals: ["eip2612"],
  approveAtLeastAtomic: 0,
  gasPriceMaxWei: 0,
};

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

/** What a light buys from a stock seller, and where the ledger of it lies. */
async function evening(
  scheme: "exact" | "batch-settlement",
  accounts: readonly [number, number],
  rungs: number,
) {
  const seller = await startStockSeller(ground, scheme, { amountAtomic: QUANTUM, accounts });
  return { seller, ...(await buyFrom(seller.url, rungs)) };
}

/** @param options of the light */
async function buyFrom(url: string, purchases: number, options: LightOptions = {}, quantum = QUANTUM) {
  const stock = { name: "stock", kind: "fixed", unitsPerPayment: 500, url };
  const config = ground.config("", { sellers: [stock] });
  const gateway = await ground.gateway(config);
  const light = ground.light(gateway.brokerUrl, { loadMilliwatts: 1_800_000, ...options });
  await light.untilCharged(purchases * quantum, 40_000);
  await light.stop();
  await gateway.stop();
  return { light, data: (config.gateway as { data: string }).data };
}

async function reconciled(data: string): Promise<Reconciliation> {
  const treasury = keyTreasury(ground.treasuryKey);
  const connection = connectEvm(ground.anvil.rpcUrl, ground.anvil.chainId, treasury);
  const ledger = openSqliteLedger(data);
  try {
    return await reconcile({
      ledger,
      sellerCounters: async () => "none",
      nodeOf: () => ({
        chain: chainOn(connection),
        receipts: receiptsOn(connection),
        escrow: escrowOn(connection),
      }),
      treasury: treasury.address,
    });
  } finally {
    await ledger.close();
  }
}

function inFile(data: string, sql: string): void {
  const db = new Libsql(join(data, "ledger.sqlite"));
  db.exec(sql);
  db.close();
}

const chargedOf = (light: Light) => light.host.state().channel!.charged;

test("by exact, every row is one transfer on chain, and a row without one, or one without a row, is named", async () => {
  const { seller, light, data } = await evening("exact", [1, 2], 4);
  const charged = chargedOf(light);
  const honest = await reconciled(data);
  expect(honest).toMatchObject({ differences: [], unasked: [] });
  const token = tokenName({ network: ground.network, asset: ground.contracts.token });
  expect(honest.sellers).toEqual([{ seller: "stock", token, chargedAtomic: charged, takenAtomic: charged }]);
  expect(BigInt(charged)).toBe(await seller.received());

  inFile(
    data,
    `DELETE FROM payment WHERE max_claimable = ${charged};
    UPDATE channel SET charged = charged - 100, granted = granted - 500`,
  );
  const { differences } = await reconciled(data);
  expect(differences.map(({ where }) => where)).toEqual(["ledger and chain", "ledger and wallet"]);
  expect(differences[0]).toMatchObject({
    expected: `nothing paid beyond ${charged - QUANTUM}`,
    found: expect.stringMatching(new RegExp(`^100 to ${seller.receiver} in 0x[0-9a-f]{64}$`, "i")),
    meaning: expect.stringContaining("the seller took a payment that the ledger lacks"),
  });
  inFile(data, "UPDATE payment SET amount = 90, charged = 190 WHERE max_claimable = 200");
  const changed = (await reconciled(data)).differences.map(({ where }) => where);
  expect(changed).toContain("ledger row 200 and chain");
  await seller.close();
});

test.each([
  ["exact", QUANTUM, [6, 7]],
  ["upto", CHARGED, [8, 9]],
] as const)(
  "by %s through Permit2, every row is one transfer on chain, and one without its row is named",
  async (scheme, taken, accounts) => {
    const seller = await startPermit2Seller(ground, {
      scheme,
      sponsoring: "eip2612",
      amountAtomic: QUANTUM,
      ...(scheme === "upto" ? { chargedAtomic: () => CHARGED } : {}),
      accounts,
    });
    const light = await buyFrom(seller.url, 3, { schemes: [scheme], permit2: PERMIT2_RULES }, taken);
    const charged = chargedOf(light.light);
    const honest = await reconciled(light.data);
    expect(honest).toMatchObject({ differences: [], unasked: [] });
    expect(honest.sellers).toMatchObject([{ chargedAtomic: charged, takenAtomic: charged }]);

    inFile(
      light.data,
      `DELETE FROM payment WHERE charged = ${charged}; UPDATE channel SET charged = charged - ${taken}`,
    );
    const { differences } = await reconciled(light.data);
    expect(differences.find(({ where }) => where === "ledger and chain")).toMatchObject({
      expected: `nothing paid beyond ${charged - taken}`,
      found: expect.stringMatching(new RegExp(`^${taken} to ${seller.receiver} in 0x[0-9a-f]{64}$`, "i")),
    });
    inFile(
      light.data,
      `UPDATE payment SET amount = ${taken - 1}, charged = ${2 * taken - 1} WHERE charged = ${2 * taken}`,
    );
    const changed = (await reconciled(light.data)).differences.map(({ where }) => where);
    expect(changed.some((where) => /^ledger row \d+ and chain$/.test(where))).toBe(true);
    await seller.close();
  },
);

test("by batch-settlement, what the seller claimed is what it was owed, and more than that is named with its claims", async () => {
  const { seller, light, data } = await evening("batch-settlement", [4, 5], 6);
  const charged = chargedOf(light);
  expect((await reconciled(data)).sellers).toEqual([
    expect.objectContaining({ seller: "stock", chargedAtomic: charged, takenAtomic: 0 }),
  ]);
  await seller.manager!.claimAndSettle();
  expect(await reconciled(data)).toMatchObject({
    differences: [],
    sellers: [{ chargedAtomic: charged, takenAtomic: charged }],
  });
  inFile(
    data,
    `DELETE FROM payment WHERE max_claimable = ${charged};
    UPDATE channel SET charged = charged - 100, granted = granted - 500`,
  );
  expect((await reconciled(data)).differences).toMatchObject([
    {
      where: "ledger and chain",
      expected: `claimed <= charged ${charged - QUANTUM}`,
      found: expect.stringContaining(`claimed ${charged}: Claimed ${charged} in 0x`),
    },
  ]);
  await seller.close();
});
