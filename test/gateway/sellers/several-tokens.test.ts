// One light that may pay with two tokens on two chains, and a seller on each: the first seller dies, the light goes on
// with the other token, each token's budget of the day holds over restarts, and each chain explains its own money.

import { afterAll, beforeAll, expect, test } from "vitest";
import { reportOf } from "#core/state";
import { type Anvil, startAnvil } from "#simulator/chain/anvil";
import { type Contracts, deployContracts, mint } from "#simulator/chain/deploy";
import { openLossyProxy } from "../faults/lossy-proxy.ts";
import { type Ground, type Light, prepareGround, TREASURY_DOLLARS_ATOMIC, until } from "../fixtures.ts";
import { bundleOf } from "../processes/bundle.ts";
import { GATEWAY_PROCESS } from "../processes/gateway-process.ts";
import { reconciled } from "../processes/reconciled.ts";
import { dataOf, ledgerRows, QUANTUM, startSeller } from "../purchase/agreement.ts";

const NOWHERE = "http://127.0.0.1:9";
const BUDGETS = { first: 12 * QUANTUM, other: 8 * QUANTUM };
const OTHER_CHAIN_ID = 31_338;
const LIMIT_MS = 30_000;

let ground: Ground;
let other: Anvil;
let contracts: Contracts;
let program: string;
beforeAll(async () => {
  [ground, other] = await Promise.all([prepareGround(), startAnvil({ chainId: OTHER_CHAIN_ID })]);
  contracts = await deployContracts(other);
  await mint(other, ground.treasuryKey.address, TREASURY_DOLLARS_ATOMIC);
  program = await bundleOf(GATEWAY_PROCESS, ground.directory());
});
afterAll(async () => {
  await other.stop();
  await ground.stop();
});

function configOf(firstUrl: string, otherUrl: string): Record<string, unknown> {
  const { chain, ...config } = ground.config("", {
    sellers: [
      { name: "first", url: firstUrl },
      { name: "other", url: otherUrl, network: `eip155:${OTHER_CHAIN_ID}`, asset: contracts.token },
    ],
    market: { awayAfterMs: 500 },
    treasury: { depositAtomic: 20_000, depositDays: 0 },
  });
  const tokens = [
    { network: ground.network, asset: ground.contracts.token, symbol: "USDC", decimals: 6 },
    { network: `eip155:${OTHER_CHAIN_ID}`, asset: contracts.token, symbol: "EURC", decimals: 6 },
  ];
  const [first, second] = tokens;
  const chains = [
    { network: first!.network, ...(chain as object) },
    { network: second!.network, rpc: other.rpcUrl },
  ];
  return { ...config, chains, tokens };
}

const networkOf = (light: Light) => light.host.state().channel?.terms.network;
const isElsewhere = (light: Light) => networkOf(light) === `eip155:${OTHER_CHAIN_ID}`;
const isOut = (light: Light) => reportOf(light.host.state()).refusal === "budget-exhausted";

test("the first seller dies, and the light goes on in the other token, within each one's budget, conserved on each chain", async () => {
  const first = await startSeller(ground);
  const second = await startSeller(ground, {
    rpcUrl: other.rpcUrl,
    token: contracts.token,
    receiverKey: ground.anvil.accounts[1]!.privateKey,
  });
  const road = await openLossyProxy(first.url, () => false);
  const config = configOf(road.url, second.url);
  const policies = [
    { dailyBudgetAtomic: BUDGETS.first },
    {
      network: `eip155:${OTHER_CHAIN_ID}`,
      asset: contracts.token.toLowerCase(),
      dailyBudgetAtomic: BUDGETS.other,
    },
  ];
  let gateway = await ground.gateway(config);
  const born = ground.light(gateway.brokerUrl, { policies });
  await born.untilCharged(4 * QUANTUM);
  expect(networkOf(born)).toBe(ground.network);

  road.leadTo(NOWHERE);
  await until(
    () => isElsewhere(born),
    LIMIT_MS,
    () => "the other chain",
  );
  await born.untilCharged(2 * QUANTUM);
  await born.stop();

  // Switched off and on again: the other token's budget goes on, and its end is the end.
  const { key, memory } = born;
  const again = ground.light(gateway.brokerUrl, { policies, key, memory });
  await until(
    () => isOut(again) && isElsewhere(again),
    LIMIT_MS,
    () => "the other token's budget spent",
  );
  expect(again.maxSigned()).toBe(BUDGETS.other);
  await again.untilCharged(BUDGETS.other);
  await again.stop();
  await gateway.stop();

  // The first seller is back, and what the light had signed for it this morning still counts.
  road.leadTo(first.url);
  gateway = await ground.gateway(config);
  const back = ground.light(gateway.brokerUrl, { policies, key, memory });
  const isBack = () => networkOf(back) === ground.network;
  await until(
    () => isBack() && isOut(back),
    LIMIT_MS,
    () => "the first token's budget spent",
  );
  await back.untilCharged(BUDGETS.first);
  expect(back.maxSigned()).toBe(BUDGETS.first);
  const { account, channel, former } = back.host.state();
  expect(account!.granted).toBe(channel!.granted + former[0]!.granted);
  await back.stop();
  await gateway.stop();

  const { channels, payments } = ledgerRows(dataOf(config));
  expect(channels.map(({ charged }) => charged).sort((low, high) => high - low)).toEqual([
    BUDGETS.first,
    BUDGETS.other,
  ]);
  const paid = payments.reduce((sum, { amount }) => sum + amount, 0);
  expect(paid).toBe(BUDGETS.first + BUDGETS.other);
  expect(await reconciled(ground, program, config)).toMatchObject({ differences: [], unasked: [] });
  const [onFirst, onOther] = [await first.stop(), await second.stop()];
  expect(onFirst.settles.amountAtomic).toBe(BUDGETS.first);
  expect(onOther.settles.amountAtomic).toBe(BUDGETS.other);
  await road.close();
});
