// Sellers that take money through Permit2 alone are paid by lights from their own wallets, with and without approvals.

import { type Hex, parseAbi } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fromHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { EXACT_PROXY_ADDRESS, PERMIT2_ADDRESS, UPTO_PROXY_ADDRESS } from "#payment/permit2/permit";
import type { Permit2Rules } from "#payment/permit2/permit2-offer";
import { tokenAbi } from "#simulator/chain/abi";
import { DEVELOPMENT_DOLLAR_DOMAIN } from "#simulator/chain/deploy";
import { openLossyProxy } from "../gateway/faults/lossy-proxy.ts";
import { type Ground, prepareGround } from "../gateway/fixtures.ts";
import { type Sponsoring, startPermit2Seller, walletOn } from "./permit2-seller.ts";
import { startStockSeller } from "./stock-seller.ts";

const AMOUNT = 100;
const UNITS = 500;
/** What an upto seller charges of each portion. */
const CHARGED = 37;
/** 500 mWh in half a second: a transfer of its own for each purchase takes its time. */
const LOAD_MILLIWATTS = 3_600_000;

const RULES: Permit2Rules = {
  spenders: [EXACT_PROXY_ADDRESS, UPTO_PROXY_ADDRESS],
  facilitators: [],
  validityMaxSeconds: 600,
  approvals: ["eip2612", "erc20"],
  approveAtLeastAtomic: 0,
  gasPriceMaxWei: 100_000_000_000,
};

/** What the seller says of the token. */
const BY_PERMIT2 = { ...DEVELOPMENT_DOLLAR_DOMAIN, assetTransferMethod: "permit2" };

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

/** Tokens of a development account. */
async function receivedBy(index: number): Promise<number> {
  const { address, privateKey } = ground.anvil.accounts[index]!;
  const reader = walletOn(ground.anvil, privateKeyToAccount(privateKey));
  const balance = { address: ground.contracts.token, abi: tokenAbi, functionName: "balanceOf" } as const;
  return Number(await reader.readContract({ ...balance, args: [address] }));
}

/** What the wallet's owner does by hand where nobody sponsors it. */
async function approveByHand(secret: Hex, amountAtomic: bigint): Promise<void> {
  const account = privateKeyToAccount(secret);
  const rich = walletOn(ground.anvil, privateKeyToAccount(ground.anvil.accounts[9]!.privateKey));
  const funded = await rich.sendTransaction({ to: account.address, value: 10n ** 18n });
  await rich.waitForTransactionReceipt({ hash: funded });
  const owner = walletOn(ground.anvil, account);
  const hash = await owner.writeContract({
    address: ground.contracts.token,
    abi: parseAbi(["function approve(address spender, uint256 amount) returns (bool)"]),
    functionName: "approve",
    args: [PERMIT2_ADDRESS, amountAtomic],
  });
  await owner.waitForTransactionReceipt({ hash });
}

test.each<[Sponsoring, readonly [number, number]]>([
  ["none", [1, 2]],
  ["eip2612", [4, 5]],
  ["erc20", [6, 7]],
])(
  "a stock seller by exact through Permit2, approvals sponsored by %s, is paid once for each portion",
  async (sponsoring, accounts) => {
    const seller = await startPermit2Seller(ground, {
      scheme: "exact",
      sponsoring,
      amountAtomic: AMOUNT,
      accounts,
    });
    const proxy = await openLossyProxy(seller.url, (payment) => payment % 4 === 2);
    const fixed = { kind: "fixed", unitsPerPayment: UNITS };
    const gateway = await ground.gateway(ground.config(`${proxy.url}/energy`, { seller: fixed }));
    const secret = generatePrivateKey();
    const key = openKey(fromHex(secret));
    if (sponsoring === "none") await approveByHand(secret, BigInt(20 * AMOUNT));
    const light = ground.light(gateway.brokerUrl, { key, loadMilliwatts: LOAD_MILLIWATTS, permit2: RULES });
    await light.untilCharged(3 * AMOUNT, 40_000);
    await light.stop();
    await gateway.stop();

    expect(proxy.lost).toBeGreaterThan(0);
    const { charged, granted, signed } = light.host.state().channel!;
    expect(granted).toBe((charged / AMOUNT) * UNITS);
    const received = await seller.received();
    expect(received).toBeGreaterThanOrEqual(charged);
    expect(received).toBeLessThanOrEqual(signed);
    // Each approval was of one payment: at most that of the last one, which the light did not wait for, is left.
    const left = await seller.allowance(key.address);
    if (sponsoring === "none") expect(left).toBe(BigInt(20 * AMOUNT - received));
    else expect([0n, BigInt(AMOUNT)]).toContain(left);
    await proxy.close();
    await seller.close();
  },
);

test.each<[Sponsoring, readonly [number, number]]>([
  ["none", [1, 2]],
  ["eip2612", [4, 5]],
  ["erc20", [6, 7]],
])(
  "a stock seller by upto, approvals sponsored by %s, is paid what it charges and no more",
  async (sponsoring, accounts) => {
    const before = await receivedBy(accounts[0]);
    const seller = await startPermit2Seller(ground, {
      scheme: "upto",
      sponsoring,
      amountAtomic: AMOUNT,
      chargedAtomic: () => CHARGED,
      accounts,
    });
    const proxy = await openLossyProxy(seller.url, (payment) => payment % 4 === 2);
    const fixed = { kind: "fixed", unitsPerPayment: UNITS };
    const gateway = await ground.gateway(ground.config(`${proxy.url}/energy`, { seller: fixed }));
    const secret = generatePrivateKey();
    const key = openKey(fromHex(secret));
    if (sponsoring === "none") await approveByHand(secret, BigInt(20 * AMOUNT));
    const light = ground.light(gateway.brokerUrl, {
      key,
      schemes: ["upto"],
      loadMilliwatts: LOAD_MILLIWATTS,
      permit2: { ...RULES, facilitators: [seller.facilitator.toLowerCase()] },
    });
    await light.untilCharged(3 * CHARGED, 40_000);
    await light.stop();
    await gateway.stop();

    expect(proxy.lost).toBeGreaterThan(0);
    const { channel, budget } = light.host.state();
    const { charged, granted, signed } = channel!;
    expect(charged % CHARGED).toBe(0);
    expect(granted).toBe((charged / CHARGED) * Math.floor((UNITS * CHARGED) / AMOUNT));
    const received = (await seller.received()) - before;
    expect(received).toBeGreaterThanOrEqual(charged);
    // One purchase may have been settled that the light was not told of.
    expect(received - charged).toBeLessThanOrEqual(CHARGED);
    // The day's budget counts every signature whole, whatever was charged of it.
    const purchases = charged / CHARGED;
    const counted = budget.spentBefore + Math.max(0, signed - budget.signedAtStart);
    expect(counted).toBeGreaterThanOrEqual(purchases * AMOUNT);
    expect(counted).toBeLessThanOrEqual((purchases + 1) * AMOUNT);
    await proxy.close();
    await seller.close();
  },
);

test("a stock seller by batch-settlement whose deposits go through Permit2 is paid, and gets what it charged", async () => {
  const seller = await startStockSeller(ground, "batch-settlement", {
    amountAtomic: AMOUNT,
    minDepositAtomic: 4 * AMOUNT,
    accounts: [8, 2],
    tokenDomain: BY_PERMIT2,
  });
  const proxy = await openLossyProxy(seller.url, (payment) => payment % 4 === 1);
  const fixed = { kind: "fixed", unitsPerPayment: UNITS };
  const treasury = { depositAtomic: 4 * AMOUNT, depositDays: 0 };
  const gateway = await ground.gateway(ground.config(`${proxy.url}/energy`, { seller: fixed, treasury }));
  const light = ground.light(gateway.brokerUrl, { loadMilliwatts: LOAD_MILLIWATTS });
  // Three deposits of four purchases, the first of them with its answer lost.
  await light.untilCharged(9 * AMOUNT, 40_000);
  await light.stop();
  await gateway.stop();

  expect(proxy.lost).toBeGreaterThan(1);
  const charges = [...(await seller.charges()).values()];
  expect(charges).toEqual([BigInt(seller.served * AMOUNT)]);
  await seller.manager!.claimAndSettle();
  expect(await seller.received()).toBe(charges[0]);
  await proxy.close();
  await seller.close();
});
