import { encodeAbiParameters, keccak256, toHex, zeroAddress } from "viem";
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

const received = async () => {
  const [totalClaimed, totalSettled] = (await chain.read("receivers", [
    chain.receiver.address,
    chain.contracts.token,
  ])) as [bigint, bigint];
  return { totalClaimed, totalSettled };
};

test("only receiver and receiverAuthorizer claim, and no token moves", async () => {
  const { config, deposit, claimOf, transact, receiver, authorizer, state, channelId, balanceOf } = chain;
  const { payer, device, stranger } = chain;
  const channel = config();
  await deposit(channel, 1_000n);
  const id = await channelId(channel);

  for (const party of [payer, device, stranger]) {
    await expect(transact(party.address, escrow("claim", [[await claimOf(channel, 300n)]]))).rejects.toThrow(
      "NotAuthorizedToClaim",
    );
  }
  const first = await transact(receiver.address, escrow("claim", [[await claimOf(channel, 300n, 400n)]]));
  expect(first.events).toEqual([
    {
      name: "Claimed",
      args: { channelId: id, sender: receiver.address, claimAmount: 300n, newTotalClaimed: 300n },
    },
  ]);
  const second = await transact(authorizer.address, escrow("claim", [[await claimOf(channel, 450n)]]));
  expect(second.events).toEqual([
    {
      name: "Claimed",
      args: { channelId: id, sender: authorizer.address, claimAmount: 150n, newTotalClaimed: 450n },
    },
  ]);
  expect(await state(channel)).toEqual({ balance: 1_000n, totalClaimed: 450n });
  expect(await received()).toEqual({ totalClaimed: 450n, totalSettled: 0n });
  expect(await balanceOf(receiver.address)).toBe(0n);
});

test("a claim stops at the signed ceiling and at the balance, to the last unit", async () => {
  const { config, deposit, claimOf, transact, receiver, state } = chain;
  const channel = config();
  await deposit(channel, 1_000n);
  const claim = async (total: bigint, ceiling: bigint) =>
    transact(receiver.address, escrow("claim", [[await claimOf(channel, total, ceiling)]]));
  await expect(claim(501n, 500n)).rejects.toThrow("ClaimExceedsCeiling");
  await expect(claim(1_001n, 2_000n)).rejects.toThrow("ClaimExceedsBalance");
  await claim(1_000n, 2_000n);
  expect(await state(channel)).toEqual({ balance: 1_000n, totalClaimed: 1_000n });
});

test("a stale entry is skipped silently, whatever else is wrong with it", async () => {
  const { config, deposit, claimOf, transact, receiver, state } = chain;
  const channel = config();
  await deposit(channel, 1_000n);
  await transact(receiver.address, escrow("claim", [[await claimOf(channel, 400n)]]));
  const stale = await claimOf(channel, 300n);
  const { events } = await transact(
    receiver.address,
    escrow("claim", [[stale, await claimOf(channel, 400n), { ...stale, signature: "0x" }]]),
  );
  expect(events).toEqual([]);
  expect(await state(channel)).toEqual({ balance: 1_000n, totalClaimed: 400n });
});

test("one bad entry reverts the whole batch", async () => {
  const { config, deposit, claimOf, transact, receiver, state } = chain;
  const channels = [1, 2, 3].map((index) => config({ salt: keccak256(toHex(index)) }));
  for (const channel of channels) await deposit(channel, 100n);
  const claims = await Promise.all(channels.map((channel) => claimOf(channel, 50n)));
  const drained = await claimOf(channels[1]!, 101n);
  await expect(
    transact(receiver.address, escrow("claim", [[claims[0]!, drained, claims[2]!]])),
  ).rejects.toThrow("ClaimExceedsBalance");
  for (const channel of channels) expect((await state(channel)).totalClaimed).toBe(0n);
  await transact(receiver.address, escrow("claim", [claims]));
  expect((await received()).totalClaimed).toBe(150n);
});

test("a voucher signed by another key, for another amount, another channel, or not at all, claims nothing", async () => {
  const { config, deposit, claimOf, transact, receiver, payer } = chain;
  const channel = config();
  const other = config({ salt: keccak256("0x09") });
  await deposit(channel, 1_000n);
  const claim = (entry: Awaited<ReturnType<typeof claimOf>>) =>
    transact(receiver.address, escrow("claim", [[entry]]));
  const good = await claimOf(channel, 300n);
  await expect(claim(await claimOf(channel, 300n, 300n, payer))).rejects.toThrow("InvalidSignature");
  await expect(claim({ ...good, voucher: { channel, maxClaimableAmount: 301n } })).rejects.toThrow(
    "InvalidSignature",
  );
  await expect(claim({ ...good, signature: (await claimOf(other, 300n)).signature })).rejects.toThrow(
    "InvalidSignature",
  );
  await expect(claim({ ...good, signature: "0x" })).rejects.toThrow("ECDSAInvalidSignatureLength");
  await claim(good);
});

test("without a payerAuthorizer the payer signs, and a wallet signs by ERC-1271; a named one is always a plain key", async () => {
  const { config, claimOf, transact, deploy, receiver, payer, device, stranger, state, client, contracts } =
    chain;
  const plain = config({ payerAuthorizer: zeroAddress });
  await chain.deposit(plain, 100n);
  await expect(
    transact(receiver.address, escrow("claim", [[await claimOf(plain, 60n, 60n, device)]])),
  ).rejects.toThrow("InvalidSignature");
  await transact(receiver.address, escrow("claim", [[await claimOf(plain, 60n, 60n, payer)]]));

  const wallet = await deploy("Wallet", encodeAbiParameters([{ type: "address" }], [device.address]));
  await chain.fund(wallet.address, 1_000n);
  const walletPays = config({ payer: wallet.address, payerAuthorizer: zeroAddress });
  const data = await chain.collectorData(walletPays, 100n, {}, device);
  await transact(stranger.address, escrow("deposit", [walletPays, 100n, contracts.depositCollector, data]));
  await expect(
    transact(receiver.address, escrow("claim", [[await claimOf(walletPays, 70n, 70n, payer)]])),
  ).rejects.toThrow("InvalidSignature");
  await transact(receiver.address, escrow("claim", [[await claimOf(walletPays, 70n, 70n, device)]]));
  expect(await state(walletPays)).toEqual({ balance: 100n, totalClaimed: 70n });

  const walletAuthorizes = config({ payerAuthorizer: wallet.address });
  await chain.deposit(walletAuthorizes, 100n);
  await expect(
    transact(receiver.address, escrow("claim", [[await claimOf(walletAuthorizes, 70n, 70n, device)]])),
  ).rejects.toThrow("InvalidSignature");
  expect(await client.getCode({ address: wallet.address })).toBeDefined();
});

test("anyone relays a batch that the shared receiverAuthorizer signed, and only exactly that batch", async () => {
  const { config, deposit, claimOf, transact, signBatch, stranger, receiver, channelId, payer, read } = chain;
  const a = config({ salt: keccak256("0x0a") });
  const b = config({ salt: keccak256("0x0b") });
  await deposit(a, 100n);
  await deposit(b, 100n);
  const claims = [await claimOf(a, 10n, 50n), await claimOf(b, 20n)];
  const signature = await signBatch(claims);
  const relay = (batch: typeof claims, signed: `0x${string}`) =>
    transact(stranger.address, escrow("claimWithSignature", [batch, signed]));

  await expect(relay([], signature)).rejects.toThrow("EmptyBatch");
  await expect(transact(receiver.address, escrow("claim", [[]]))).rejects.toThrow("EmptyBatch");
  await expect(relay(claims, await signBatch(claims, payer))).rejects.toThrow("InvalidSignature");
  await expect(relay([claims[0]!], signature)).rejects.toThrow("InvalidSignature");
  await expect(relay([{ ...claims[0]!, totalClaimed: 11n }, claims[1]!], signature)).rejects.toThrow(
    "InvalidSignature",
  );
  const foreign = await claimOf(config({ receiverAuthorizer: stranger.address }), 5n);
  await expect(relay([claims[0]!, foreign], await signBatch([claims[0]!, foreign]))).rejects.toThrow(
    "NotReceiverAuthorizer",
  );

  const { events } = await relay(claims, signature);
  expect(events).toEqual([
    {
      name: "Claimed",
      args: {
        channelId: await channelId(a),
        sender: stranger.address,
        claimAmount: 10n,
        newTotalClaimed: 10n,
      },
    },
    {
      name: "Claimed",
      args: {
        channelId: await channelId(b),
        sender: stranger.address,
        claimAmount: 20n,
        newTotalClaimed: 20n,
      },
    },
  ]);
  expect((await relay(claims, signature)).events).toEqual([]);
  expect(await read("getClaimBatchDigest", [claims])).toMatch(/^0x[0-9a-f]{64}$/);
});

test("a receiverAuthorizer that is a wallet signs batches by ERC-1271", async () => {
  const { config, deposit, claimOf, transact, deploy, signBatch, stranger, device, payer, state } = chain;
  const wallet = await deploy("Wallet", encodeAbiParameters([{ type: "address" }], [stranger.address]));
  const channel = config({ receiverAuthorizer: wallet.address });
  await deposit(channel, 100n);
  const claims = [await claimOf(channel, 10n)];
  await expect(
    transact(payer.address, escrow("claimWithSignature", [claims, await signBatch(claims, device)])),
  ).rejects.toThrow("InvalidSignature");
  await transact(payer.address, escrow("claimWithSignature", [claims, await signBatch(claims, stranger)]));
  expect((await state(channel)).totalClaimed).toBe(10n);
});

test("anyone settles: one transfer of everything claimed, then quiet", async () => {
  const { config, deposit, claimOf, transact, receiver, stranger, contracts, balanceOf } = chain;
  const channels = [1, 2].map((index) => config({ salt: keccak256(toHex(index)) }));
  for (const channel of channels) await deposit(channel, 100n);
  const settle = escrow("settle", [receiver.address, contracts.token]);
  expect((await transact(stranger.address, settle)).events).toEqual([]);

  const claims = await Promise.all(channels.map((channel) => claimOf(channel, 40n)));
  await transact(receiver.address, escrow("claim", [claims]));
  const { events } = await transact(stranger.address, settle);
  expect(events.filter(({ name }) => name === "Settled")).toEqual([
    {
      name: "Settled",
      args: {
        receiver: receiver.address,
        token: contracts.token,
        sender: stranger.address,
        amount: 80n,
      },
    },
  ]);
  expect(await balanceOf(receiver.address)).toBe(80n);
  expect(await balanceOf(contracts.batchSettlement)).toBe(120n);
  expect(await received()).toEqual({ totalClaimed: 80n, totalSettled: 80n });
  expect((await transact(stranger.address, settle)).events).toEqual([]);
});

test("multicall keeps the caller: a receiver claims and settles in one transaction, a stranger cannot", async () => {
  const { config, deposit, claimOf, transact, receiver, stranger, contracts, balanceOf } = chain;
  const channel = config();
  await deposit(channel, 100n);
  const both = escrow("multicall", [
    [
      escrow("claim", [[await claimOf(channel, 100n)]]),
      escrow("settle", [receiver.address, contracts.token]),
    ],
  ]);
  await expect(transact(stranger.address, both)).rejects.toThrow("NotAuthorizedToClaim");
  await transact(receiver.address, both);
  expect(await balanceOf(receiver.address)).toBe(100n);
});
