// Vouchers become money: no channel is stopped by another, none that is leaving is left unclaimed.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { batchSettlementAbi } from "#simulator/chain/abi";
import { Claims, MAX_CLAIMS_PER_BATCH, selectClaims } from "#simulator/seller/claims/claims";
import type {
  AccountStore,
  Chain,
  Channel,
  ChannelOnChain,
  SellerTransaction,
} from "#simulator/seller/ports";
import { SCHEME_SERVERS } from "#simulator/seller/scheme/scheme-server";
import type { SellerService } from "#simulator/seller/seller";
import { type Ground, type Payer, prepareGround, type StockClient } from "./fixtures.ts";

const id = (index: number) => `0x${index.toString(16).padStart(64, "0")}`;

function channel(index: number, charged: number): Channel {
  const zero = `0x${"0".repeat(40)}` as const;
  return {
    channelId: id(index),
    channelConfig: {
      payer: zero,
      payerAuthorizer: zero,
      receiver: zero,
      receiverAuthorizer: zero,
      token: zero,
      withdrawDelay: 900,
      salt: `0x${"0".repeat(64)}`,
    },
    chargedCumulativeAmount: String(charged),
    signedMaxClaimable: String(charged),
    signature: "0x",
    balance: "1000",
    totalClaimed: "0",
    withdrawRequestedAt: 0,
    refundNonce: 0,
    lastRequestTimestamp: 0,
  };
}

const onChain = (balance: bigint, totalClaimed = 0n, withdrawRequestedAt = 0): ChannelOnChain => ({
  balance,
  totalClaimed,
  withdrawRequestedAt,
  refundNonce: 0n,
});

/** A chain that refuses every claim with one of `poisoned` in it, as the contract refuses a whole batch. */
function chainOf(channels: readonly Channel[], poisoned: ReadonlySet<string>, asked: string[][]): Chain {
  const claimed = new Map<string, bigint>();
  const no = () => Promise.reject(new Error("not asked for here"));
  return {
    readChannels: async (ids) => new Map(ids.map((one) => [one, onChain(1_000n, claimed.get(one))])),
    latestBlock: async () => 1n,
    withdrawalsInitiated: async () => [],
    claim: async (entries) => {
      asked.push(entries.map((entry) => entry.channel.channelId));
      if (entries.some((entry) => poisoned.has(entry.channel.channelId))) {
        return { kind: "refused", reason: "claim_simulation_failed" };
      }
      for (const entry of entries) claimed.set(entry.channel.channelId, entry.totalClaimedAtomic);
      return { kind: "claimed", transaction: `0x${asked.length}`, gas: entries.length * 24_000 };
    },
    unsettledAtomic: async () => channels.reduce((sum, one) => sum + (claimed.get(one.channelId) ?? 0n), 0n),
    settle: async () => ({
      transaction: "0xsettle",
      gas: 46_000,
      amountAtomic: [...claimed.values()].length * 100,
    }),
    gasUsed: no,
    authorizationUsed: no,
    paymentByAuthorization: no,
  };
}

function storeOf(channels: readonly Channel[], recorded: SellerTransaction[]): AccountStore {
  const no = () => {
    throw new Error("not asked for here");
  };
  return {
    account: no,
    channel: (one) => channels.find((candidate) => candidate.channelId === one),
    channels: () => [...channels],
    answer: no,
    chargeTransfer: no,
    recordDeposit: no,
    recordTransaction: async (transaction) => void recorded.push(transaction),
    transactionsWithoutGas: () => [],
    totals: no,
    refreshChannels: async () => undefined,
  };
}

describe("the rules", () => {
  test("claim what was charged, at most what is there, and name what cannot be claimed", () => {
    const channels = [channel(1, 100), channel(2, 100), channel(3, 100), channel(4, 100)];
    const states = new Map([
      [id(1), onChain(1_000n)],
      [id(2), onChain(60n, 20n)],
      [id(3), onChain(20n, 20n)],
      [id(4), onChain(1_000n, 100n)],
    ]);
    const { due, excluded } = selectClaims(channels, states);
    expect(due.map((entry) => [entry.channel.channelId, entry.totalClaimedAtomic])).toEqual([
      [id(1), 100n],
      [id(2), 60n],
    ]);
    expect(excluded).toEqual([
      { channelId: id(2), reason: "charged 100, balance 60: 40 cannot be claimed" },
      { channelId: id(3), reason: "charged 100, balance 20: 80 cannot be claimed" },
    ]);
  });

  test("claim a channel that is leaving before all others", () => {
    const states = new Map([
      [id(1), onChain(1_000n)],
      [id(2), onChain(1_000n, 0n, 1_700_000_000)],
    ]);
    const { due } = selectClaims([channel(1, 5), channel(2, 5)], states);
    expect(due.map((entry) => entry.channel.channelId)).toEqual([id(2), id(1)]);
  });

  test("find one refused channel among many by halving; every other is claimed", async () => {
    const channels = Array.from({ length: 200 }, (_, index) => channel(index + 1, 100));
    const asked: string[][] = [];
    const recorded: SellerTransaction[] = [];
    const poisoned = new Set([id(37), id(150)]);
    const claims = new Claims(storeOf(channels, recorded), chainOf(channels, poisoned, asked), () => 0);
    const round = await claims.round();
    expect(round.channels).toBe(198);
    expect(round.excluded.map((one) => one.channelId).sort()).toEqual([...poisoned].sort());
    expect(Math.max(...asked.map((batch) => batch.length))).toBe(MAX_CLAIMS_PER_BATCH);
    expect(asked.length).toBeLessThan(3 + 2 * 2 * Math.ceil(Math.log2(MAX_CLAIMS_PER_BATCH)));
    expect(recorded.filter((one) => one.kind === "claim").reduce((sum, one) => sum + one.channels, 0)).toBe(
      198,
    );
  });
});

describe.each(SCHEME_SERVERS)("on a chain, served by the %s scheme", (schemeServer) => {
  let ground: Ground;
  beforeAll(async () => {
    ground = await prepareGround({ schemeServer });
  });
  afterAll(() => ground.stop());

  async function buy(utility: SellerService, client: StockClient, times: number): Promise<string> {
    let account = "";
    for (let rung = 0; rung < times; rung += 1) {
      const response = await client.fetch(`${utility.url}/v1/energy?quantum=1000`, { method: "POST" });
      expect(response.status).toBe(200);
      account = ((await response.json()) as { account: string }).account;
    }
    return account;
  }

  const escrow = () =>
    ({ address: ground.contracts.batchSettlement, abi: batchSettlementAbi, chain: null }) as const;

  async function configOf(utility: SellerService, client: StockClient) {
    const unpaid = await fetch(`${utility.url}/v1/energy?quantum=1000`, { method: "POST" });
    const required = client.http.getPaymentRequiredResponse((name) => unpaid.headers.get(name));
    return client.scheme.buildChannelConfig(required.accepts[0]!);
  }

  async function withdraw(payer: Payer, utility: SellerService, client: StockClient): Promise<void> {
    const setBalance = { method: "anvil_setBalance", params: [payer.address, "0xde0b6b3a7640000"] };
    await ground.chain.request(setBalance as never);
    const config = await configOf(utility, client);
    const hash = await payer.wallet.writeContract({
      ...escrow(),
      functionName: "initiateWithdraw",
      args: [config, 900_000n],
    });
    await ground.chain.waitForTransactionReceipt({ hash });
  }

  test("a withdrawing channel is claimed at once and served no more", async () => {
    const utility = await ground.start({ watchIntervalSeconds: 0.1 });
    const payer = await ground.payer();
    const client = payer.batch();
    const account = await buy(utility, client, 3);
    await withdraw(payer, utility, client);
    const deadlineMs = Date.now() + 10_000;
    let known = { claimed: 0, withdrawRequestedAt: 0 };
    while (Date.now() < deadlineMs && known.claimed !== 3_000) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      known = (await (await fetch(`${utility.url}/v1/accounts/${account}`)).json()) as typeof known;
    }
    expect(known.claimed).toBe(3_000);
    expect(known.withdrawRequestedAt).toBeGreaterThan(0);
    const refused = await client.fetch(`${utility.url}/v1/energy?quantum=1000`, { method: "POST" });
    expect(refused.status).toBe(402);
    expect(await refused.json()).toEqual({ error: "channel_withdrawal_pending" });
    expect(await utility.stop()).toMatchObject({ settles: { amountAtomic: 3_000 } });
  });

  test("a withdrawal begun while the seller was away is seen before it serves again", async () => {
    const dataDirectory = await ground.directory();
    const first = await ground.start({ dataDirectory });
    const payer = await ground.payer();
    const client = payer.batch();
    await buy(first, client, 1);
    await first.stop();
    // Another seller for the same receiver: its terms make the same channel.
    await withdraw(payer, await ground.start(), client);
    const second = await ground.start({ dataDirectory });
    const refused = await client.fetch(`${second.url}/v1/energy?quantum=1000`, { method: "POST" });
    expect(refused.status).toBe(402);
    await second.stop();
  });

  // Last: it moves the chain's clock ahead of the wall.
  test("one drained channel does not stop the claims of the others", async () => {
    const utility = await ground.start({
      watchIntervalSeconds: 3_600,
      claimIntervalSeconds: 3_600,
      withdrawDelaySeconds: 900,
    });
    const payers = await Promise.all([ground.payer(), ground.payer(), ground.payer(), ground.payer()]);
    const clients = payers.map((payer) => payer.batch());
    const accounts: string[] = [];
    for (const client of clients) accounts.push(await buy(utility, client, 2));
    // The second payer empties its channel unseen: the withdrawal of what was free, and a claim it outran.
    const drained = payers[1]!;
    await withdraw(drained, utility, clients[1]!);
    await ground.chain.request({ method: "evm_increaseTime", params: [901] } as never);
    await ground.chain.request({ method: "evm_mine", params: [] } as never);
    const hash = await drained.wallet.writeContract({
      ...escrow(),
      functionName: "finalizeWithdraw",
      args: [await configOf(utility, clients[1]!)],
    });
    await ground.chain.waitForTransactionReceipt({ hash });
    await buy(utility, clients[1]!, 120);
    const report = await utility.stop();
    expect(report.claims.channels).toBe(4);
    expect(report.settles.amountAtomic).toBe(3 * 2_000 + 100_000);
    expect(report.excluded).toEqual([
      { channelId: accounts[1], reason: "charged 122000, balance 100000: 22000 cannot be claimed" },
    ]);
  });
});
