/** What a thief has who reads the key off a card: x402's contract rules decide, on a real EVM node. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { refuseOffer } from "#core/policy";
import { checkOffer } from "#payment/offer/offer";
import { Bench, DEVICE_KEY, SETTINGS } from "../../device/node/fixtures.ts";
import { escrow, startEscrow } from "../../simulator/chain/escrow.ts";

const DEPOSIT = 1000n;
const LADDER = 400n;

let chain: Awaited<ReturnType<typeof startEscrow>>;
beforeAll(async () => {
  chain = await startEscrow();
});
afterAll(() => chain?.stop());

describe("a stolen card", () => {
  it("is worth nothing to the thief: no money of the channel moves to him, whatever he signs with its key", async () => {
    const { config, deposit, claimOf, transact, channelId, balanceOf } = chain;
    const { device, payer, receiver, stranger } = chain;
    const open = config();
    await deposit(open, DEPOSIT);

    // He holds the device's key, so he signs any voucher he likes; only the seller's addresses may claim it.
    const voucher = await claimOf(open, DEPOSIT);
    for (const thief of [device, stranger]) {
      await expect(transact(thief.address, escrow("claim", [[voucher]]))).rejects.toThrow(
        "NotAuthorizedToClaim",
      );
    }
    // A channel that pays him is another channel, with no deposit in it.
    const his = config({ receiver: stranger.address, receiverAuthorizer: stranger.address });
    expect(await channelId(his)).not.toBe(await channelId(open));
    await expect(transact(stranger.address, escrow("claim", [[await claimOf(his, 1n)]]))).rejects.toThrow(
      "ClaimExceedsBalance",
    );
    await expect(transact(device.address, escrow("refund", [open, DEPOSIT]))).rejects.toThrow(
      "NotAuthorizedToRefund",
    );

    // The seller may claim what was signed, to the deposit at most: that is all there is to lose.
    const before = await balanceOf(receiver.address);
    await transact(receiver.address, escrow("claim", [[await claimOf(open, LADDER)]]));
    await expect(
      transact(receiver.address, escrow("claim", [[await claimOf(open, DEPOSIT + 1n, DEPOSIT + 1n)]])),
    ).rejects.toThrow("ClaimExceedsBalance");
    await transact(receiver.address, escrow("settle", [receiver.address, chain.contracts.token]));
    expect((await balanceOf(receiver.address)) - before).toBe(LADDER);

    // He may start the payer's withdrawal, and what was not claimed goes where it came from.
    const paidIn = await balanceOf(payer.address);
    await transact(device.address, escrow("initiateWithdraw", [open, DEPOSIT - LADDER]));
    await chain.client.increaseTime({ seconds: open.withdrawDelay + 1 });
    await chain.client.mine({ blocks: 1 });
    await transact(device.address, escrow("finalizeWithdraw", [open]));
    expect((await balanceOf(payer.address)) - paidIn).toBe(DEPOSIT - LADDER);
    for (const thief of [device, stranger]) expect(await balanceOf(thief.address)).toBe(0n);
  });

  it("is not what a device lets itself be talked into: an offer that pays somebody else is refused unsigned", () => {
    const thief = `0x${"ee".repeat(20)}`;
    const bench = new Bench();
    bench.start();
    bench.link(true);
    const honest = bench.offerMessage();
    const toThief = {
      ...honest,
      requirements: { ...honest.requirements, payTo: thief },
      channel: { ...honest.channel!, receiver: thief },
    };
    const judged = checkOffer(toThief, DEVICE_KEY.address);
    expect(refuseOffer(SETTINGS.policy, judged.offer!)).toBe("payee-not-allowed");
    bench.offer(toThief);
    bench.clock.advance(60_000);
    expect(bench.pays()).toEqual([]);
    expect(bench.messages("state").at(-1)).toMatchObject({ refusal: "payee-not-allowed" });
    // A channel whose receiver is not the seller that is named is no channel of this offer.
    expect(checkOffer({ ...honest, channel: toThief.channel }, DEVICE_KEY.address).refusal).toBe(
      "channel-id-mismatch",
    );
  });
});
