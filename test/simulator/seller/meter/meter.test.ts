// What the meter-grade scheme promises beyond the official one, on a real chain and with the stock client.

import { cp } from "node:fs/promises";
import {
  decodePaymentRequiredHeader,
  decodePaymentSignatureHeader,
  encodePaymentSignatureHeader,
} from "@x402/core/http";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { signVoucher } from "@x402/evm/batch-settlement/client";
import type { Hex } from "viem";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { batchSettlementAbi } from "#simulator/chain/abi";
import type { SellerService } from "#simulator/seller/seller";
import {
  type Ground,
  type Payer,
  prepareGround,
  present,
  type StockClient,
  signPayment,
} from "../fixtures.ts";

const ORDER = 0xffff_ffff_ffff_ffff_ffff_ffff_ffff_fffe_baae_dce6_af48_a03b_bfd2_5e8c_d036_4141n;
const MISMATCH = "invalid_batch_settlement_evm_cumulative_amount_mismatch";

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround({ schemeServer: "meter" });
});
afterAll(() => ground.stop());

const energy = (utility: SellerService) => `${utility.url}/v1/energy?quantum=100`;

async function buy(utility: SellerService, client: StockClient): Promise<Record<string, number>> {
  const response = await client.fetch(energy(utility), { method: "POST" });
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, number>;
}

interface VoucherPayload {
  readonly channelConfig: Record<string, unknown>;
  readonly voucher: {
    readonly channelId: Hex;
    readonly maxClaimableAmount: string;
    readonly signature: Hex;
  };
}

/** The payment of a client's next purchase, and what it would look like with another voucher. */
async function nextPayment(utility: SellerService, client: StockClient) {
  const headers = await signPayment(utility.url, 100, client);
  const payment = decodePaymentSignatureHeader(headers["PAYMENT-SIGNATURE"]!) as PaymentPayload & {
    readonly payload: VoucherPayload;
  };
  const { channelConfig, voucher } = payment.payload;
  const bearing = (other: VoucherPayload["voucher"]) => ({
    "PAYMENT-SIGNATURE": encodePaymentSignatureHeader({
      ...payment,
      payload: { type: "voucher", channelConfig, voucher: other },
    }),
  });
  const rung = async (payer: Payer, maxClaimable: number) => {
    const { network } = payment.accepted as PaymentRequirements;
    return bearing(await signVoucher(payer.account, voucher.channelId, String(maxClaimable), network));
  };
  return { channelConfig, voucher, bearing, rung };
}

/** The same r, the other s: a signature of the same key over the same voucher. */
function malleated(signature: Hex): Hex {
  const s = ORDER - BigInt(`0x${signature.slice(66, 130)}`);
  const v = 55 - Number.parseInt(signature.slice(130), 16);
  return `${signature.slice(0, 66)}${s.toString(16).padStart(64, "0")}${v.toString(16)}` as Hex;
}

describe("a voucher that the contract would not take", () => {
  test("is refused: its signature malleated, or of the other parity", async () => {
    const utility = await ground.start();
    const client = (await ground.payer()).batch();
    await buy(utility, client);
    const { channelConfig, voucher, bearing } = await nextPayment(utility, client);
    const high = { ...voucher, signature: malleated(voucher.signature) };
    const v = Number.parseInt(voucher.signature.slice(130), 16);
    const odd = {
      ...voucher,
      signature: `${voucher.signature.slice(0, 130)}${(55 - v).toString(16)}` as Hex,
    };
    for (const bad of [high, odd]) {
      const refused = await present(utility.url, 100, bearing(bad));
      expect(refused).toMatchObject({
        status: 402,
        body: { error: "invalid_batch_settlement_evm_voucher_signature" },
      });
      const claim = ground.chain.simulateContract({
        address: ground.contracts.batchSettlement,
        abi: batchSettlementAbi,
        functionName: "claim",
        account: utility.receiver,
        args: [
          [
            {
              voucher: {
                channel: channelConfig as never,
                maxClaimableAmount: BigInt(bad.maxClaimableAmount),
              },
              signature: bad.signature,
              totalClaimed: 200n,
            },
          ],
        ],
      });
      // The second is OpenZeppelin's ECDSAInvalidSignatureS(bytes32), which the contract's ABI does not name.
      await expect(claim).rejects.toThrow(/InvalidSignature|0xd78bce0c/);
    }
    expect(await present(utility.url, 100, bearing(voucher))).toMatchObject({ status: 200 });
    expect((await utility.stop()).settles.amountAtomic).toBe(200);
  });
});

describe("one channel", () => {
  test("whose rungs come all at once sells each in its turn, and each once", async () => {
    const utility = await ground.start();
    const payer = await ground.payer();
    const client = payer.batch();
    await buy(utility, client);
    const { rung } = await nextPayment(utility, client);
    const rungs = await Promise.all([200, 300, 400, 500].map((amount) => rung(payer, amount)));
    const presented = await Promise.all(
      rungs.flatMap((headers) => [present(utility.url, 100, headers), present(utility.url, 100, headers)]),
    );
    // A rung that overtook the one before it was refused so; none was lost, and none was charged twice.
    for (const one of presented) expect([200, 402]).toContain(one.status);
    const sold = new Map<unknown, unknown>();
    for (const headers of rungs) {
      // Sold now, or not the newest any more.
      const { status, body } = await present(utility.url, 100, headers);
      expect([200, 402]).toContain(status);
      if (status === 200) sold.set(body.charged, body.granted);
    }
    for (const { status, body } of presented) if (status === 200) sold.set(body.charged, body.granted);
    expect(Object.fromEntries(sold)).toEqual({ 200: 1_000, 300: 1_500, 400: 2_000, 500: 2_500 });
    expect((await utility.stop()).settles.amountAtomic).toBe(500);
  });
});

describe("a seller that lost its store", () => {
  test("counts from what the chain says was claimed: no rewind below it, no jump above it", async () => {
    const payer = await ground.payer();
    const client = payer.batch();
    const first = await ground.start();
    for (let rung = 1; rung <= 3; rung += 1) await buy(first, client);
    const { rung } = await nextPayment(first, client);
    await first.stop();

    const second = await ground.start();
    for (const amount of [100, 200, 300, 500, 1_000]) {
      const refused = await present(second.url, 100, await rung(payer, amount));
      expect(refused.status).toBe(402);
      const { error, accepts } = decodePaymentRequiredHeader(refused.required!);
      expect(error).toBe(MISMATCH);
      expect(accepts[0]!.extra).toMatchObject({ channelState: { chargedCumulativeAmount: "300" } });
      expect(accepts[0]!.extra).not.toHaveProperty("voucherState");
    }
    expect(await present(second.url, 100, await rung(payer, 400))).toMatchObject({
      status: 200,
      body: { charged: 400, granted: 500 },
    });
    expect((await second.stop()).settles.amountAtomic).toBe(100);
  });

  test("brings a stock client that was ahead of it back to the chain's count", async () => {
    const payer = await ground.payer();
    const client = payer.batch();
    const lost = await ground.start();
    await buy(lost, client);
    await buy(lost, client);
    // Never claimed: the chain knows of no charge.
    const utility = await ground.start();
    expect(await buy(utility, client)).toMatchObject({ charged: 100 });
    expect(await buy(utility, client)).toMatchObject({ charged: 200 });
    await utility.stop();
    await lost.stop();
  });

  test("and got an old copy back takes up the count that was claimed since", async () => {
    const payer = await ground.payer();
    const client = payer.batch();
    const dataDirectory = await ground.directory();
    const copy = await ground.directory();
    const first = await ground.start({ dataDirectory });
    await buy(first, client);
    // The lock names this very process, which still runs.
    await cp(dataDirectory, copy, { recursive: true, filter: (path) => !path.endsWith(".lock") });
    for (let rung = 2; rung <= 4; rung += 1) await buy(first, client);
    await first.stop();

    const second = await ground.start({ dataDirectory: copy });
    expect(await buy(second, client)).toMatchObject({ charged: 500 });
    expect(await buy(second, client)).toMatchObject({ charged: 600 });
    expect((await second.stop()).settles.amountAtomic).toBe(200);
  });
});
