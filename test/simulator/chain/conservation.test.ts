import fc from "fast-check";
import { keccak256, toHex } from "viem";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChannelConfig, escrow, startEscrow } from "./escrow.ts";

const RUNS = 20;
const MOVES_PER_RUN = 12;
/** Enough that most claims are good, too little for all of them. */
const OPENING_DEPOSIT_ATOMIC = 100n;

let chain: Awaited<ReturnType<typeof startEscrow>>;
beforeAll(async () => {
  chain = await startEscrow();
});
afterAll(() => chain?.stop());

const amount = fc.bigInt({ min: 0n, max: 120n });
const index = fc.nat({ max: 1 });
const move = fc.oneof(
  fc.record({ kind: fc.constant("deposit" as const), index, amount }),
  fc.record({ kind: fc.constant("claim" as const), index, amount }),
  fc.record({ kind: fc.constant("claimBoth" as const), index, amount }),
  fc.record({ kind: fc.constant("settle" as const), index, amount }),
  fc.record({ kind: fc.constant("refund" as const), index, amount }),
  fc.record({ kind: fc.constant("signedRefund" as const), index, amount }),
  fc.record({ kind: fc.constant("initiate" as const), index, amount }),
  fc.record({ kind: fc.constant("finalize" as const), index, amount }),
  fc.record({ kind: fc.constant("wait" as const), index, amount }),
);
type Move = typeof move extends fc.Arbitrary<infer M> ? M : never;

/** The contract's own refusals. Anything else that stops a move is a fault of the contract or of this test. */
const REFUSALS =
  /^(ZeroDeposit|ClaimExceedsBalance|ZeroRefund|NothingToWithdraw|WithdrawAmountExceedsAvailable|WithdrawalAlreadyPending|WithdrawalNotPending|WithdrawDelayNotElapsed)$/;

async function play({ kind, index: which, amount: value }: Move, channels: readonly ChannelConfig[]) {
  const { transact, deposit, claimOf, signBatch, signRefund, receiver, payer, stranger, contracts } = chain;
  const channel = channels[which]!;
  switch (kind) {
    case "deposit":
      return deposit(channel, value);
    case "claim":
      return transact(receiver.address, escrow("claim", [[await claimOf(channel, value)]]));
    case "claimBoth": {
      const claims = await Promise.all(channels.map((each) => claimOf(each, value)));
      return transact(stranger.address, escrow("claimWithSignature", [claims, await signBatch(claims)]));
    }
    case "settle":
      return transact(stranger.address, escrow("settle", [receiver.address, contracts.token]));
    case "refund":
      return transact(receiver.address, escrow("refund", [channel, value]));
    case "signedRefund": {
      const nonce = (await chain.read("refundNonce", [await chain.channelId(channel)])) as bigint;
      const signature = await signRefund(channel, nonce, value);
      return transact(stranger.address, escrow("refundWithSignature", [channel, value, nonce, signature]));
    }
    case "initiate":
      return transact(payer.address, escrow("initiateWithdraw", [channel, value]));
    case "finalize":
      return transact(payer.address, escrow("finalizeWithdraw", [channel]));
    case "wait":
      return chain.passSeconds(450);
  }
}

async function books(channels: readonly ChannelConfig[]) {
  const { contracts, receiver, payer, balanceOf, read, state } = chain;
  const states = await Promise.all(channels.map((channel) => state(channel)));
  const [totalClaimed, totalSettled] = (await read("receivers", [receiver.address, contracts.token])) as [
    bigint,
    bigint,
  ];
  const [held, earned, kept] = await Promise.all(
    [contracts.batchSettlement, receiver.address, payer.address].map((holder) => balanceOf(holder)),
  );
  return { states, totalClaimed, totalSettled, held: held!, earned: earned!, kept: kept! };
}

test("whatever the parties do, in any order: no unit appears or vanishes, and claimed counters only rise", async () => {
  const channels = [1, 2].map((salt) => chain.config({ salt: keccak256(toHex(salt)) }));
  let accepted = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 4, maxLength: MOVES_PER_RUN }), async (moves) => {
      const snapshot = await chain.client.snapshot();
      try {
        for (const channel of channels) await chain.deposit(channel, OPENING_DEPOSIT_ATOMIC);
        let before = await books(channels);
        for (const each of moves) {
          await play(each, channels).then(
            () => {
              accepted += 1;
            },
            (error: Error) => {
              refused += 1;
              expect(error.message).toMatch(REFUSALS);
            },
          );
          const after = await books(channels);
          const sum = (pick: (state: (typeof after.states)[number]) => bigint) =>
            after.states.reduce((total, state) => total + pick(state), 0n);
          expect(after.held + after.earned + after.kept).toBe(before.held + before.earned + before.kept);
          expect(after.held).toBe(sum((state) => state.balance) - after.totalSettled);
          expect(after.totalClaimed).toBe(sum((state) => state.totalClaimed));
          expect(after.earned).toBe(after.totalSettled);
          expect(after.totalSettled).toBeLessThanOrEqual(after.totalClaimed);
          after.states.forEach((state, at) => {
            expect(state.totalClaimed).toBeLessThanOrEqual(state.balance);
            expect(state.totalClaimed).toBeGreaterThanOrEqual(before.states[at]!.totalClaimed);
          });
          before = after;
        }
      } finally {
        await chain.client.revert({ id: snapshot });
      }
    }),
    { numRuns: RUNS },
  );
  expect(accepted).toBeGreaterThan(RUNS);
  expect(refused).toBeGreaterThan(0);
});
