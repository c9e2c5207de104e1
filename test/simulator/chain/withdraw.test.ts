import { keccak256, toHex } from "viem";
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

const claim = async (channel: ReturnType<typeof chain.config>, total: bigint) =>
  chain.transact(chain.receiver.address, escrow("claim", [[await chain.claimOf(channel, total)]]));
const pending = async (channel: ReturnType<typeof chain.config>) => {
  const [amount, initiatedAt] = (await chain.read("pendingWithdrawals", [
    await chain.channelId(channel),
  ])) as [bigint, number];
  return { amount, initiatedAt };
};
const nonceOf = async (channel: ReturnType<typeof chain.config>) =>
  chain.read("refundNonce", [await chain.channelId(channel)]);

test("payer or payerAuthorizer announces a withdrawal, waits the delay to the second, and the payer is paid", async () => {
  const { config, deposit, transact, payer, device, receiver, stranger, channelId, client, balanceOf } =
    chain;
  const channel = config();
  await deposit(channel, 1_000n);
  const initiate = escrow("initiateWithdraw", [channel, 600n]);
  const finalize = escrow("finalizeWithdraw", [channel]);
  for (const party of [receiver, stranger]) {
    await expect(transact(party.address, initiate)).rejects.toThrow("InvalidChannel");
  }
  await expect(transact(payer.address, finalize)).rejects.toThrow("WithdrawalNotPending");

  const { events } = await transact(device.address, initiate);
  const { timestamp } = await client.getBlock();
  expect(events).toEqual([
    {
      name: "WithdrawInitiated",
      args: { channelId: await channelId(channel), amount: 600n, finalizeAfter: Number(timestamp) + 900 },
    },
  ]);
  expect(await pending(channel)).toEqual({ amount: 600n, initiatedAt: Number(timestamp) });
  await expect(transact(payer.address, initiate)).rejects.toThrow("WithdrawalAlreadyPending");

  await client.setNextBlockTimestamp({ timestamp: timestamp + 899n });
  await client.mine({ blocks: 1 });
  await expect(
    client.call({ account: payer.address, to: chain.contracts.batchSettlement, data: finalize }),
  ).rejects.toThrow();
  await client.setNextBlockTimestamp({ timestamp: timestamp + 900n });
  await client.mine({ blocks: 1 });
  for (const party of [receiver, stranger]) {
    await expect(transact(party.address, finalize)).rejects.toThrow("NotAuthorizedToFinalizeWithdraw");
  }
  const before = await balanceOf(payer.address);
  const finalized = await transact(device.address, finalize);
  expect(finalized.events).toContainEqual({
    name: "WithdrawFinalized",
    args: { channelId: await channelId(channel), sender: device.address, amount: 600n },
  });
  expect(finalized.events.map(({ name }) => name)).not.toContain("ChannelClosed");
  expect(await balanceOf(payer.address)).toBe(before + 600n);
  expect(await chain.state(channel)).toEqual({ balance: 400n, totalClaimed: 0n });
  expect(await pending(channel)).toEqual({ amount: 0n, initiatedAt: 0 });
  await expect(transact(payer.address, finalize)).rejects.toThrow("WithdrawalNotPending");
});

test("a withdrawal before its delay is refused by name", async () => {
  const { config, deposit, transact, payer, passSeconds } = chain;
  const channel = config({ withdrawDelay: 86_400 });
  await deposit(channel, 1_000n);
  await transact(payer.address, escrow("initiateWithdraw", [channel, 1_000n]));
  await passSeconds(86_000);
  await expect(transact(payer.address, escrow("finalizeWithdraw", [channel]))).rejects.toThrow(
    "WithdrawDelayNotElapsed",
  );
  await passSeconds(400);
  await transact(payer.address, escrow("finalizeWithdraw", [channel]));
});

test("nothing, more than is free, and a channel that does not exist cannot be withdrawn", async () => {
  const { config, deposit, transact, payer } = chain;
  const channel = config();
  await deposit(channel, 1_000n);
  await claim(channel, 300n);
  const initiate = (amount: bigint, of = channel) =>
    transact(payer.address, escrow("initiateWithdraw", [of, amount]));
  await expect(initiate(0n)).rejects.toThrow("NothingToWithdraw");
  await expect(initiate(701n)).rejects.toThrow("WithdrawAmountExceedsAvailable");
  await expect(initiate(1n, config({ salt: keccak256("0x05") }))).rejects.toThrow(
    "WithdrawAmountExceedsAvailable",
  );
  await initiate(700n);
});

test("claims win the race against a withdrawal: the payer gets what they have left, never less than nothing", async () => {
  const { config, deposit, transact, payer, passSeconds, balanceOf, state } = chain;
  const [some, all] = [1, 2].map((index) => config({ salt: keccak256(toHex(index)) }));
  for (const channel of [some!, all!]) {
    await deposit(channel, 1_000n);
    await transact(payer.address, escrow("initiateWithdraw", [channel, 1_000n]));
  }
  await claim(some!, 250n);
  await claim(all!, 1_000n);
  await passSeconds(900);
  const before = await balanceOf(payer.address);
  await transact(payer.address, escrow("finalizeWithdraw", [some!]));
  expect(await balanceOf(payer.address)).toBe(before + 750n);
  expect(await state(some!)).toEqual({ balance: 250n, totalClaimed: 250n });
  const { events } = await transact(payer.address, escrow("finalizeWithdraw", [all!]));
  expect(events.map(({ name }) => name)).toEqual(["WithdrawFinalized"]);
  expect(await balanceOf(payer.address)).toBe(before + 750n);
});

test("after the withdrawal a late voucher is worth only what is left", async () => {
  const { config, deposit, transact, payer, passSeconds } = chain;
  const channel = config();
  await deposit(channel, 1_000n);
  await transact(payer.address, escrow("initiateWithdraw", [channel, 900n]));
  await passSeconds(900);
  await transact(payer.address, escrow("finalizeWithdraw", [channel]));
  await expect(claim(channel, 101n)).rejects.toThrow("ClaimExceedsBalance");
  await claim(channel, 100n);
});

test("a channel is closed when nothing is in it and nothing was ever claimed, and can be opened again", async () => {
  const { config, deposit, transact, payer, receiver, passSeconds, channelId } = chain;
  const byPayer = config();
  await deposit(byPayer, 10n);
  await transact(payer.address, escrow("initiateWithdraw", [byPayer, 10n]));
  await passSeconds(900);
  const { events } = await transact(payer.address, escrow("finalizeWithdraw", [byPayer]));
  const closed = { name: "ChannelClosed", args: { channelId: await channelId(byPayer), config: byPayer } };
  expect(events).toContainEqual(closed);
  expect((await deposit(byPayer, 10n)).events.map(({ name }) => name)).toContain("ChannelCreated");
  expect((await transact(receiver.address, escrow("refund", [byPayer, 10n]))).events).toContainEqual(closed);

  const used = config({ salt: keccak256("0x06") });
  await deposit(used, 10n);
  await claim(used, 4n);
  const refunded = await transact(receiver.address, escrow("refund", [used, 6n]));
  expect(refunded.events.map(({ name }) => name)).not.toContain("ChannelClosed");
});

test("receiver or receiverAuthorizer refunds what is not claimed; each refund moves the nonce", async () => {
  const { config, deposit, transact, receiver, authorizer, payer, device, stranger, channelId, balanceOf } =
    chain;
  const channel = config();
  await deposit(channel, 1_000n);
  await claim(channel, 300n);
  const refund = (amount: bigint) => escrow("refund", [channel, amount]);
  for (const party of [payer, device, stranger]) {
    await expect(transact(party.address, refund(1n))).rejects.toThrow("NotAuthorizedToRefund");
  }
  await expect(transact(receiver.address, refund(0n))).rejects.toThrow("ZeroRefund");
  const before = await balanceOf(payer.address);
  const { events } = await transact(receiver.address, refund(200n));
  expect(events).toContainEqual({
    name: "Refunded",
    args: { channelId: await channelId(channel), sender: receiver.address, amount: 200n },
  });
  await transact(authorizer.address, refund(10_000n));
  expect(await balanceOf(payer.address)).toBe(before + 700n);
  expect(await chain.state(channel)).toEqual({ balance: 300n, totalClaimed: 300n });
  expect(await nonceOf(channel)).toBe(2n);
  expect((await transact(receiver.address, refund(1n))).events).toEqual([]);
  expect(await nonceOf(channel)).toBe(3n);
});

test("a signed refund is relayed by anyone, once, with its own nonce and amount", async () => {
  const { config, deposit, transact, signRefund, stranger, payer, balanceOf, state } = chain;
  const channel = config();
  await deposit(channel, 1_000n);
  const signature = await signRefund(channel, 0n, 400n);
  const relay = (amount: bigint, nonce: bigint, signed: `0x${string}`) =>
    transact(stranger.address, escrow("refundWithSignature", [channel, amount, nonce, signed]));
  await expect(relay(400n, 1n, await signRefund(channel, 1n, 400n))).rejects.toThrow("InvalidRefundNonce");
  await expect(relay(401n, 0n, signature)).rejects.toThrow("InvalidSignature");
  await expect(relay(400n, 0n, await signRefund(channel, 0n, 400n, payer))).rejects.toThrow(
    "InvalidSignature",
  );
  await expect(relay(0n, 0n, await signRefund(channel, 0n, 0n))).rejects.toThrow("ZeroRefund");

  const before = await balanceOf(payer.address);
  await relay(400n, 0n, signature);
  await expect(relay(400n, 0n, signature)).rejects.toThrow("InvalidRefundNonce");
  expect(await balanceOf(payer.address)).toBe(before + 400n);
  await claim(channel, 600n);
  expect((await relay(5n, 1n, await signRefund(channel, 1n, 5n))).events).toEqual([]);
  expect(await nonceOf(channel)).toBe(2n);
  expect(await state(channel)).toEqual({ balance: 600n, totalClaimed: 600n });
});

test("a refund shortens a pending withdrawal by what it paid, or ends it", async () => {
  const { config, deposit, transact, payer, receiver } = chain;
  const channel = config();
  await deposit(channel, 1_000n);
  await transact(payer.address, escrow("initiateWithdraw", [channel, 500n]));
  const { initiatedAt } = await pending(channel);
  await transact(receiver.address, escrow("refund", [channel, 200n]));
  expect(await pending(channel)).toEqual({ amount: 300n, initiatedAt });
  await transact(receiver.address, escrow("refund", [channel, 300n]));
  expect(await pending(channel)).toEqual({ amount: 0n, initiatedAt: 0 });
  await transact(payer.address, escrow("initiateWithdraw", [channel, 500n]));
});

test("claim and refund travel in one multicall, relayed by a stranger under two signatures", async () => {
  const { config, deposit, transact, claimOf, signBatch, signRefund, stranger, state } = chain;
  const channel = config();
  await deposit(channel, 1_000n);
  const claims = [await claimOf(channel, 250n)];
  await transact(
    stranger.address,
    escrow("multicall", [
      [
        escrow("claimWithSignature", [claims, await signBatch(claims)]),
        escrow("refundWithSignature", [channel, 750n, 0n, await signRefund(channel, 0n, 750n)]),
      ],
    ]),
  );
  expect(await state(channel)).toEqual({ balance: 250n, totalClaimed: 250n });
});
