// Transfers that another contract than the token verifies (Circle's GatewayWalletBatched): signed where gateway and
// device name that contract, for as long as its service wants, and taken once.

import { createTestClient, encodeAbiParameters, http } from "viem";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Ground, prepareGround, until } from "../gateway/fixtures.ts";
import { bundleOf } from "../gateway/processes/bundle.ts";
import { GATEWAY_PROCESS } from "../gateway/processes/gateway-process.ts";
import { reconciled } from "../gateway/processes/reconciled.ts";
import { dataOf, ledgerRows } from "../gateway/purchase/agreement.ts";
import { type BatchingSeller, BatchingService, startBatchingSeller } from "./batching-seller.ts";

const WALLET = "0x0077777d7eba4688bdef3e311b846f25870a19b9";
const AMOUNT = 100;
const UNITS = 500;
const HELD = 1_000_000n;
const VERIFIERS = { contracts: [WALLET], secondsMax: 691_200 };

let ground: Ground;
let program: string;
let service: BatchingService;
let seller: BatchingSeller;
beforeAll(async () => {
  ground = await prepareGround();
  program = await bundleOf(GATEWAY_PROCESS, ground.directory());
  const { anvil, contracts } = ground;
  // Its code answers every question with what it holds, as availableBalance does.
  const word = encodeAbiParameters([{ type: "uint256" }], [HELD]);
  const code = `0x7f${word.slice(2)}60005260206000f3` as const;
  const client = createTestClient({ mode: "anvil", transport: http(anvil.rpcUrl) });
  await client.setCode({ address: WALLET, bytecode: code });
  service = new BatchingService({
    chainId: anvil.chainId,
    asset: contracts.token,
    wallet: WALLET,
    payTo: anvil.accounts[5]!.address,
    amountAtomic: AMOUNT,
  });
  seller = await startBatchingSeller(service);
});
afterAll(async () => {
  await seller.close();
  await ground.stop();
});

const configOf = (more: object) =>
  ground.config(seller.url, { seller: { kind: "fixed", unitsPerPayment: UNITS, ...more } });

test("a light buys from such a seller, and a payment whose answer was lost is charged once", async () => {
  const config = configOf({ verifyingContracts: [WALLET] });
  const gateway = await ground.gateway(config);
  const light = ground.light(gateway.brokerUrl, { verifiers: VERIFIERS });
  await light.untilCharged(3 * AMOUNT);
  expect(light.host.state().channel!.terms).toMatchObject({ scheme: "exact", contract: WALLET });
  seller.loseNextAnswer();
  const before = light.charged();
  await light.untilCharged(before + 4 * AMOUNT);
  await light.stop();
  await gateway.stop();

  const { channels, payments, deposits } = ledgerRows(dataOf(config));
  const taken = service.taken.reduce((sum, { value }) => sum + value, 0);
  expect(new Set(service.taken.map(({ nonce }) => nonce)).size).toBe(service.taken.length);
  expect(channels).toMatchObject([{ charged: taken, granted: (taken / AMOUNT) * UNITS }]);
  expect(payments.reduce((sum, { amount }) => sum + amount, 0)).toBe(taken);
  // What the contract holds was deposited by its owner: the treasury moves nothing.
  expect(deposits).toBe(0);
  expect(await reconciled(ground, program, config)).toMatchObject({
    differences: [],
    unasked: [`chain: what ${WALLET} verifies is settled in batches, and not compared`],
    sellers: [{ chargedAtomic: taken, takenAtomic: taken }],
  });
});

test.each([
  [
    "a device whose policy does not name the contract",
    { contracts: [], secondsMax: 691_200 },
    "contract-not-allowed",
  ],
  ["one whose owner allows a shorter life", { contracts: [WALLET], secondsMax: 3_600 }, "validity-too-long"],
])("%s refuses by name, and signs nothing", async (_, verifiers, refusal) => {
  const gateway = await ground.gateway(configOf({ verifyingContracts: [WALLET] }));
  const light = ground.light(gateway.brokerUrl, { verifiers });
  await until(
    () => light.host.state().offerRefusal === refusal,
    20_000,
    () => refusal,
  );
  expect(light.signed).toEqual([]);
  await light.stop();
  await gateway.stop();
});
