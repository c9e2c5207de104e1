// Terms are held against the chain before anything is signed: a fault in them is named, costs nothing, and once it is
// mended the same light buys.

import { createTestClient, type Hex, http } from "viem";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { BATCH_SETTLEMENT_ADDRESS, DEPOSIT_COLLECTOR_ADDRESS } from "#payment/channel";
import { startStockSeller } from "../../interop/stock-seller.ts";
import { type Ground, prepareGround, until } from "../fixtures.ts";
import { dataOf, ledgerRows, QUANTUM, startSeller } from "../purchase/agreement.ts";

/** EIP-7702: what an account carries that delegated itself to a contract. */
const DELEGATED: Hex = `0xef0100${"ab".repeat(20)}`;

const SALE = { kind: "fixed", unit: "mWh", unitsPerPayment: 500 } as const;

let ground: Ground;
const undo: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  ground = await prepareGround();
});
afterEach(async () => {
  for (const step of undo.splice(0)) await step();
});
afterAll(() => ground.stop());

/** Puts other code at an address, or none, until the test's end. */
async function setCode(address: string, bytecode: Hex): Promise<void> {
  const node = createTestClient({ mode: "anvil", transport: http(ground.anvil.rpcUrl) });
  const before = await node.request({ method: "eth_getCode", params: [address, "latest"] } as never);
  await node.setCode({ address: address as Hex, bytecode });
  undo.push(() => node.setCode({ address: address as Hex, bytecode: before as Hex }));
}

/** A gateway with one light, and what both said. */
async function evening(config: Record<string, unknown>) {
  const notes: string[] = [];
  const gateway = await ground.gateway(config, (_level, text, fields) =>
    notes.push(`${text} ${JSON.stringify(fields)}`),
  );
  const light = ground.light(gateway.brokerUrl);
  const isNamed = (words: string) => notes.some((note) => note.includes(words));
  return { gateway, light, isNamed, notes };
}

async function expectNamedAndUnsigned(config: Record<string, unknown>, words: string) {
  const { gateway, light, isNamed, notes } = await evening(config);
  await until(
    () => isNamed(words) && light.host.state().offerRefusal === "seller-refused",
    15_000,
    () =>
      `"${words}" and a light that knows; ${light.host.state().offerRefusal}; ${notes.slice(-4).join("\n")}`,
  );
  expect(light.signed).toEqual([]);
  expect(ledgerRows(dataOf(config)).deposits).toBe(0);
  return { gateway, light };
}

test("a treasury whose address carries code is named before anything is signed, and its lights buy once it carries none", async () => {
  const seller = await startSeller(ground);
  const config = ground.config(seller.url, { http: { port: 0 } });
  await setCode(ground.treasuryKey.address, DELEGATED);
  const { gateway, light } = await expectNamedAndUnsigned(
    config,
    `treasury ${ground.treasuryKey.address}: expected an account without code, found code that delegates to 0x${"ab".repeat(20)}`,
  );
  await expect
    .poll(async () => (await fetch(`${gateway.httpUrl}/api/v1/sellers`)).text(), { timeout: 15_000 })
    .toContain("expected an account without code");
  for (const step of undo.splice(0)) await step();
  await light.untilCharged(2 * QUANTUM);
  await seller.stop();
});

test("a token's EIP-712 name that is not the chain's is named with both", async () => {
  const seller = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: QUANTUM,
    accounts: [1, 2],
    tokenDomain: { name: "USDC", version: "2" },
  });
  const config = ground.config("", { seller: { url: seller.url, ...SALE } });
  await expectNamedAndUnsigned(
    config,
    `token ${ground.contracts.token}: expected EIP-712 domain \\"USD Coin\\" version \\"2\\" as the token says, found \\"USDC\\" version \\"2\\" in the seller's terms`,
  );
  await seller.close();
});

test.each([
  ["batch-settlement contract", BATCH_SETTLEMENT_ADDRESS],
  ["deposit collector", DEPOSIT_COLLECTOR_ADDRESS],
])("a chain without the %s is named before anything is signed", async (what, address) => {
  const seller = await startSeller(ground);
  await setCode(address, "0x");
  await expectNamedAndUnsigned(ground.config(seller.url), `${what} ${address}: expected a contract on`);
  for (const step of undo.splice(0)) await step();
  await seller.stop();
});

test("a treasury that delegates while a gateway runs is named at the next offer, and who is funded buys on", async () => {
  const seller = await startSeller(ground);
  const { gateway, light, isNamed } = await evening(ground.config(seller.url));
  await light.untilCharged(QUANTUM);
  await setCode(ground.treasuryKey.address, DELEGATED);
  const before = light.charged();
  // What the chain said a moment ago serves the lights of that moment, too.
  const ask = async () => {
    const other = ground.light(gateway.brokerUrl);
    const state = () => other.host.state();
    await until(
      () => state().channel !== null || state().offerRefusal !== null,
      10_000,
      () => "an offer, or why there is none",
    );
    await other.stop();
    return state().channel === null ? [state().offerRefusal, ...other.signed] : "offered";
  };
  await expect.poll(ask, { timeout: 15_000, interval: 500 }).toEqual(["seller-refused"]);
  expect(isNamed("expected an account without code")).toBe(true);
  await light.untilCharged(before + 2 * QUANTUM);
  await seller.stop();
});
