import { encodeAbiParameters, encodeFunctionData, erc20Abi, keccak256, zeroAddress } from "viem";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { escrow, startEscrow } from "./escrow.ts";

let chain: Awaited<ReturnType<typeof startEscrow>>;
let snapshot: `0x${string}`;
beforeAll(async () => {
  chain = await startEscrow();
});
beforeEach(async () => {
  snapshot = await chain.client.snapshot();
});
afterEach(() => chain.client.revert({ id: snapshot }));
afterAll(() => chain?.stop());

test("anyone may bring a deposit; the first opens the channel, a top-up only adds to it", async () => {
  const { config, deposit, channelId, state, stranger, contracts, balanceOf, payer } = chain;
  const channel = config();
  const id = await channelId(channel);
  const dollarsBefore = await balanceOf(payer.address);

  const first = await deposit(channel, 1_000n);
  expect(first.events.filter(({ name }) => name === "ChannelCreated")).toEqual([
    { name: "ChannelCreated", args: { channelId: id, config: channel } },
  ]);
  expect(first.events).toContainEqual({
    name: "Deposited",
    args: { channelId: id, sender: stranger.address, amount: 1_000n, newBalance: 1_000n },
  });

  const second = await deposit(channel, 500n);
  expect(second.events.map(({ name }) => name)).not.toContain("ChannelCreated");
  expect(second.events).toContainEqual({
    name: "Deposited",
    args: { channelId: id, sender: stranger.address, amount: 500n, newBalance: 1_500n },
  });
  expect(await state(channel)).toEqual({ balance: 1_500n, totalClaimed: 0n });
  expect(await balanceOf(contracts.batchSettlement)).toBe(1_500n);
  expect(await balanceOf(contracts.depositCollector)).toBe(0n);
  expect(await balanceOf(payer.address)).toBe(dollarsBefore - 1_500n);
});

test("a deposit's permission serves once", async () => {
  const { config, collectorData, transact, stranger, contracts, state } = chain;
  const channel = config();
  const data = await collectorData(channel, 1_000n);
  const deposit = escrow("deposit", [channel, 1_000n, contracts.depositCollector, data]);
  await transact(stranger.address, deposit);
  await expect(transact(stranger.address, deposit)).rejects.toThrow("AuthorizationUsedOrCanceled");
  expect((await state(channel)).balance).toBe(1_000n);
});

test("a permission for one channel, another amount, another nonce or a past time funds nothing", async () => {
  const { config, collectorData, transact, stranger, contracts } = chain;
  const channel = config();
  const other = config({ salt: keccak256("0x02") });
  const send = (to: typeof channel, amount: bigint, data: `0x${string}`) =>
    transact(stranger.address, escrow("deposit", [to, amount, contracts.depositCollector, data]));
  const good = await collectorData(channel, 1_000n);
  await expect(send(other, 1_000n, good)).rejects.toThrow("InvalidSignature");
  await expect(send(channel, 1_001n, good)).rejects.toThrow("InvalidSignature");
  const strayNonce = await collectorData(channel, 1_000n, { nonce: keccak256("0x03") });
  await expect(send(channel, 1_000n, strayNonce)).rejects.toThrow("InvalidSignature");
  const expired = await collectorData(channel, 1_000n, { validBefore: 1n });
  await expect(send(channel, 1_000n, expired)).rejects.toThrow("AuthorizationExpired");
  await expect(send(channel, 10n ** 12n, await collectorData(channel, 10n ** 12n))).rejects.toThrow(
    "ERC20InsufficientBalance",
  );
  await expect(send(channel, 1_000n, "0x")).rejects.toThrow();
});

test("the collector serves the settlement contract alone", async () => {
  const { config, collectorData, transact, stranger, contracts, payer, channelId } = chain;
  const channel = config();
  const collect = encodeFunctionData({
    abi: [
      {
        type: "function",
        name: "collect",
        stateMutability: "nonpayable",
        outputs: [],
        inputs: [
          { name: "payer", type: "address" },
          { name: "token", type: "address" },
          { name: "amount", type: "uint256" },
          { name: "channelId", type: "bytes32" },
          { name: "data", type: "bytes" },
        ],
      },
    ],
    args: [payer.address, contracts.token, 10n, await channelId(channel), await collectorData(channel, 10n)],
  });
  await expect(transact(stranger.address, collect, contracts.depositCollector)).rejects.toThrow(
    "OnlyX402BatchSettlement",
  );
});

test("a zero amount, a zero party and a delay out of bounds are refused; a zero payerAuthorizer is not", async () => {
  const { config, deposit, transact, stranger, contracts } = chain;
  const nothing = escrow("deposit", [config(), 0n, contracts.depositCollector, "0x"]);
  await expect(transact(stranger.address, nothing)).rejects.toThrow("ZeroDeposit");
  const nobody = escrow("deposit", [config(), 1n, zeroAddress, "0x"]);
  await expect(transact(stranger.address, nobody)).rejects.toThrow("InvalidCollector");
  for (const party of ["payer", "receiver", "receiverAuthorizer", "token"] as const) {
    const bad = escrow("deposit", [config({ [party]: zeroAddress }), 1n, contracts.depositCollector, "0x"]);
    await expect(transact(stranger.address, bad), party).rejects.toThrow("InvalidChannel");
  }
  for (const withdrawDelay of [0, 899, 2_592_001]) {
    const bad = escrow("deposit", [config({ withdrawDelay }), 1n, contracts.depositCollector, "0x"]);
    await expect(transact(stranger.address, bad)).rejects.toThrow("WithdrawDelayOutOfRange");
  }
  for (const withdrawDelay of [900, 2_592_000]) await deposit(config({ withdrawDelay }), 1n);
  await deposit(config({ payerAuthorizer: zeroAddress }), 1n);
});

test("a token that keeps a fee and a collector that brings less are refused, and nothing is booked", async () => {
  const { config, deploy, transact, payer, stranger, contracts, state } = chain;
  const token = await deploy("HookedToken");
  const collector = await deploy("AllowanceCollector");
  const call = (functionName: string, args: readonly unknown[]) =>
    encodeFunctionData({ abi: token.abi, functionName, args });
  await transact(stranger.address, call("mint", [payer.address, 10_000n]), token.address);
  const approve = encodeFunctionData({
    abi: erc20Abi,
    functionName: "approve",
    args: [collector.address, 10_000n],
  });
  await transact(payer.address, approve, token.address);

  const channel = config({ token: token.address });
  const deposit = escrow("deposit", [channel, 1_000n, collector.address, "0x"]);
  await transact(stranger.address, deposit);
  expect(await state(channel)).toEqual({ balance: 1_000n, totalClaimed: 0n });

  const shortfall = encodeAbiParameters([{ type: "uint256" }], [1n]);
  const short = escrow("deposit", [channel, 1_000n, collector.address, shortfall]);
  await expect(transact(stranger.address, short)).rejects.toThrow("DepositCollectionFailed");
  const empty = encodeAbiParameters([{ type: "uint256" }], [1_000n]);
  const nothing = escrow("deposit", [channel, 1_000n, collector.address, empty]);
  await expect(transact(stranger.address, nothing)).rejects.toThrow("DepositCollectionFailed");

  await transact(stranger.address, call("keepFee", [1n]), token.address);
  await expect(transact(stranger.address, deposit)).rejects.toThrow("DepositCollectionFailed");
  expect(await state(channel)).toEqual({ balance: 1_000n, totalClaimed: 0n });
  expect(await chain.balanceOf(contracts.batchSettlement, token.address)).toBe(1_000n);
});

test("a balance beyond 128 bits is refused before a token moves", async () => {
  const { config, deploy, transact, payer, stranger } = chain;
  const token = await deploy("HookedToken");
  const collector = await deploy("AllowanceCollector");
  const most = 2n ** 128n - 1n;
  const mint = encodeFunctionData({ abi: token.abi, functionName: "mint", args: [payer.address, most + 1n] });
  await transact(stranger.address, mint, token.address);
  const approve = encodeFunctionData({
    abi: erc20Abi,
    functionName: "approve",
    args: [collector.address, most + 1n],
  });
  await transact(payer.address, approve, token.address);
  const channel = config({ token: token.address });
  await transact(stranger.address, escrow("deposit", [channel, most, collector.address, "0x"]));
  await expect(
    transact(stranger.address, escrow("deposit", [channel, 1n, collector.address, "0x"])),
  ).rejects.toThrow("DepositOverflow");
});
