import { encodeFunctionData, erc20Abi, keccak256, slice, toFunctionSelector, zeroAddress } from "viem";
import { afterAll, beforeAll, expect, test } from "vitest";
import { escrow, startEscrow } from "./escrow.ts";

let chain: Awaited<ReturnType<typeof startEscrow>>;
beforeAll(async () => {
  chain = await startEscrow();
});
afterAll(() => chain?.stop());

test("a token that calls back in the middle of a payment finds every door closed", async () => {
  const { config, deploy, transact, client, payer, receiver, stranger, state, claimOf, balanceOf } = chain;
  const token = await deploy("HookedToken");
  const collector = await deploy("AllowanceCollector");
  const send = (functionName: string, args: readonly unknown[]) =>
    transact(stranger.address, encodeFunctionData({ abi: token.abi, functionName, args }), token.address);
  const allow = encodeFunctionData({
    abi: erc20Abi,
    functionName: "approve",
    args: [collector.address, 10_000n],
  });
  await send("mint", [payer.address, 10_000n]);
  await transact(payer.address, allow, token.address);

  // The token itself plays receiver and payer's authorizer in a second channel, so it has the right to every call.
  const channel = config({ token: token.address });
  const inside = config({
    payerAuthorizer: token.address,
    receiver: token.address,
    token: token.address,
    salt: keccak256("0x0c"),
  });
  const deposit = escrow("deposit", [channel, 1_000n, collector.address, "0x"]);
  await transact(stranger.address, escrow("deposit", [inside, 500n, collector.address, "0x"]));
  await transact(stranger.address, deposit);

  const doors = {
    deposit,
    claim: escrow("claim", [[await claimOf(inside, 1n)]]),
    claimWithSignature: escrow("claimWithSignature", [[await claimOf(inside, 1n)], "0x"]),
    settle: escrow("settle", [receiver.address, token.address]),
    refund: escrow("refund", [inside, 1n]),
    refundWithSignature: escrow("refundWithSignature", [inside, 1n, 0n, "0x"]),
    initiateWithdraw: escrow("initiateWithdraw", [inside, 1n]),
    finalizeWithdraw: escrow("finalizeWithdraw", [inside]),
  };
  const reentrant = toFunctionSelector("ReentrancyGuardReentrantCall()");
  let deposited = 1_000n;
  for (const [door, data] of Object.entries(doors)) {
    for (const way of [data, escrow("multicall", [[data]])]) {
      await send("hook", [chain.contracts.batchSettlement, way]);
      await transact(stranger.address, deposit);
      deposited += 1_000n;
      const read = (functionName: string) =>
        client.readContract({ address: token.address, abi: token.abi, functionName });
      expect(await read("hookSucceeded"), door).toBe(false);
      expect(slice((await read("hookResult")) as `0x${string}`, 0, 4), door).toBe(reentrant);
      await send("mint", [payer.address, 1_000n]);
      await transact(payer.address, allow, token.address);
    }
  }
  // The same call outside a payment is allowed: the door was closed by the guard, not by a mistake of this test.
  await send("hook", [zeroAddress, "0x"]);
  await transact(stranger.address, doors.settle);
  expect(await state(channel)).toEqual({ balance: deposited, totalClaimed: 0n });
  expect(await balanceOf(chain.contracts.batchSettlement, token.address)).toBe(deposited + 500n);
});
