// The stock x402 facilitator, resource server and client, against our contracts. Without this, compatible is a claim.

import { x402Client } from "@x402/core/client";
import { x402Facilitator } from "@x402/core/facilitator";
import { type FacilitatorClient, x402ResourceServer } from "@x402/core/server";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { toClientEvmSigner, toFacilitatorEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme as BatchClient } from "@x402/evm/batch-settlement/client";
import { BatchSettlementEvmScheme as BatchFacilitator } from "@x402/evm/batch-settlement/facilitator";
import { BatchSettlementEvmScheme as BatchServer } from "@x402/evm/batch-settlement/server";
import { ExactEvmScheme as ExactClient } from "@x402/evm/exact/client";
import { ExactEvmScheme as ExactFacilitator } from "@x402/evm/exact/facilitator";
import { ExactEvmScheme as ExactServer } from "@x402/evm/exact/server";
import { createPublicClient, createWalletClient, defineChain, http, publicActions } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { batchSettlementAbi } from "#simulator/chain/abi";
import { DEVELOPMENT_DOLLAR_DOMAIN } from "#simulator/chain/deploy";
import { startEscrow } from "./escrow.ts";

const RESOURCE = { url: "https://seller.test/energy" };
/** ClaimExceedsBalance(), as the deployed contract answers. */
const CLAIM_EXCEEDS_BALANCE_SELECTOR = "0x7d8242b6";
const PRICE_ATOMIC = 100n;
const DEPOSIT_ATOMIC = 10n * PRICE_ATOMIC;

let chain: Awaited<ReturnType<typeof startEscrow>>;
beforeAll(async () => {
  chain = await startEscrow();
});
afterAll(() => chain?.stop());

/** Both ends of a sale: the operator's facilitator and server, a buyer's client, joined in this process. */
async function openShop(receiver: `0x${string}`) {
  const { anvil, contracts, stranger, authorizer } = chain;
  const network = `eip155:${anvil.chainId}` as const;
  const transport = http(anvil.rpcUrl);
  const viemChain = defineChain({
    id: anvil.chainId,
    name: "development",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [anvil.rpcUrl] } },
  });
  const wallet = createWalletClient({
    account: stranger,
    chain: viemChain,
    transport,
    pollingInterval: 20,
  }).extend(publicActions);
  const signer = toFacilitatorEvmSigner({ ...wallet, address: stranger.address } as never);
  const facilitator = new x402Facilitator()
    .register(network, new BatchFacilitator(signer))
    .register(network, new ExactFacilitator(signer));
  const facilitatorClient: FacilitatorClient = {
    verify: (payload, requirements) => facilitator.verify(payload, requirements),
    settle: (payload, requirements) => facilitator.settle(payload, requirements),
    getSupported: async () => facilitator.getSupported() as never,
  };
  const batchServer = new BatchServer(receiver, { receiverAuthorizerSigner: authorizer as never });
  const server = new x402ResourceServer(facilitatorClient)
    .register(network, batchServer)
    .register(network, new ExactServer());
  await server.initialize();

  const buyer = privateKeyToAccount(generatePrivateKey());
  const device = privateKeyToAccount(generatePrivateKey());
  await chain.fund(buyer.address, 1_000_000n);
  const batchClient = new BatchClient(
    toClientEvmSigner(buyer, createPublicClient({ transport, pollingInterval: 20 }) as never),
    { voucherSigner: device as never },
  );
  const client = new x402Client()
    .register(network, batchClient)
    .register(network, new ExactClient(buyer))
    .setSpendControls({
      allowedAssets: [{ network, asset: contracts.token, maxAmountPerPayment: DEPOSIT_ATOMIC.toString() }],
    });

  const requirements = (scheme: string) =>
    server.buildPaymentRequirements({
      scheme,
      network,
      payTo: receiver,
      maxTimeoutSeconds: 60,
      price: {
        amount: PRICE_ATOMIC.toString(),
        asset: contracts.token,
        extra: { ...DEVELOPMENT_DOLLAR_DOMAIN },
      },
    });

  async function present(payload: PaymentPayload, terms: PaymentRequirements[]) {
    const matched = server.findMatchingRequirements(terms, payload);
    if (matched === undefined) throw new Error("the payment matches no requirements");
    const verified = await server.verifyPayment(payload, matched);
    if (!verified.isValid) return { matched, refused: verified.invalidReason, settled: undefined };
    return { matched, refused: undefined, settled: await server.settlePayment(payload, matched) };
  }

  async function buy(scheme: string) {
    const terms = await requirements(scheme);
    const required = await server.createPaymentRequiredResponse(terms, RESOURCE, "Payment required");
    const payload = await client.createPaymentPayload(required);
    const { matched, refused, settled } = await present(payload, terms);
    if (settled === undefined) throw new Error(`refused: ${refused}`);
    await client.handlePaymentResponse({
      paymentPayload: payload,
      requirements: matched,
      settleResponse: settled,
    });
    return { payload, terms, settled };
  }

  const manager = batchServer.createChannelManager(facilitatorClient, network, contracts.token);
  return { buyer, device, buy, present, manager, batchServer };
}

test("deposit, vouchers, top-up, claim, settle and refund by the stock SDK, to the last unit", async () => {
  const { contracts, client, balanceOf } = chain;
  const receiver = privateKeyToAccount(generatePrivateKey()).address;
  const { buyer, device, buy, manager } = await openShop(receiver);
  const types: string[] = [];
  for (let payment = 0; payment < 12; payment += 1) {
    const { payload, settled } = await buy("batch-settlement");
    expect(settled.success, settled.errorMessage).toBe(true);
    types.push(payload.payload.type as string);
  }
  expect(types).toEqual(["deposit", ...Array(9).fill("voucher"), "deposit", "voucher"]);
  expect(await balanceOf(buyer.address)).toBe(1_000_000n - 2n * DEPOSIT_ATOMIC);

  const [claimable] = await manager.getClaimableVouchers();
  expect(claimable?.voucher.channel.payerAuthorizer).toBe(device.address);
  const { claims, settle } = await manager.claimAndSettle();
  expect(claims).toHaveLength(1);
  expect(settle?.transaction).toMatch(/^0x/);
  expect(await balanceOf(receiver)).toBe(12n * PRICE_ATOMIC);
  const [totalClaimed, totalSettled] = await client.readContract({
    address: contracts.batchSettlement,
    abi: batchSettlementAbi,
    functionName: "receivers",
    args: [receiver, contracts.token],
  });
  expect([totalClaimed, totalSettled]).toEqual([1_200n, 1_200n]);

  await buy("batch-settlement");
  const [refund] = await manager.refund();
  expect(refund?.transaction).toMatch(/^0x/);
  await manager.settle();
  expect(await balanceOf(receiver)).toBe(13n * PRICE_ATOMIC);
  expect(await balanceOf(buyer.address)).toBe(1_000_000n - 13n * PRICE_ATOMIC);
  expect(await balanceOf(contracts.batchSettlement)).toBe(0n);
});

test("an exact payment by the stock SDK arrives once, and presenting it again moves nothing", async () => {
  const { balanceOf } = chain;
  const receiver = privateKeyToAccount(generatePrivateKey()).address;
  const { buyer, buy, present } = await openShop(receiver);
  const { payload, terms, settled } = await buy("exact");
  expect(settled.success, settled.errorMessage).toBe(true);
  expect(await balanceOf(receiver)).toBe(PRICE_ATOMIC);
  const again = await present(payload, terms);
  expect(again.refused).toBe("invalid_exact_evm_nonce_already_used");
  expect(await balanceOf(receiver)).toBe(PRICE_ATOMIC);
  expect(await balanceOf(buyer.address)).toBe(1_000_000n - PRICE_ATOMIC);
});

test("a claim beyond the balance fails in the stock facilitator's simulation, by the error it knows", async () => {
  const receiver = privateKeyToAccount(generatePrivateKey()).address;
  const { buy, manager, batchServer } = await openShop(receiver);
  await buy("batch-settlement");
  const [channel] = await batchServer.getStorage().list();
  expect(channel?.balance).toBe(DEPOSIT_ATOMIC.toString());
  await batchServer.getStorage().updateChannel(channel!.channelId, (current) => ({
    ...current!,
    chargedCumulativeAmount: (DEPOSIT_ATOMIC + 1n).toString(),
    signedMaxClaimable: (DEPOSIT_ATOMIC + 1n).toString(),
  }));
  await expect(manager.claim()).rejects.toThrow(CLAIM_EXCEEDS_BALANCE_SELECTOR);
});
