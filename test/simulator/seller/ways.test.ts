// One seller that takes every scheme by every transfer method, and what it owes a buyer by each.

import type { PaymentPayload, PaymentRequired, PaymentRequirements } from "@x402/core/types";
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import {
  declareEip2612GasSponsoringExtension,
  declareErc20ApprovalGasSponsoringExtension,
} from "@x402/extensions";
import { extractDiscoveryInfo, validateDiscoveryExtension } from "@x402/extensions/bazaar";
import { x402Client, x402HTTPClient } from "@x402/fetch";
import { fastify } from "fastify";
import { encodeFunctionData, type Hex, maxUint256 } from "viem";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tokenAbi } from "#simulator/chain/abi";
import { PERMIT2_ADDRESS } from "#simulator/chain/deploy";
import { SCHEMES, TRANSFER_METHODS } from "#simulator/seller/sale/payment-ways";
import type { SellerService } from "#simulator/seller/seller";
import { facilitatorBeside, type Ground, type Payer, prepareGround, present } from "./fixtures.ts";

const QUANTUM = 100;
const FACILITATOR = 4;

let ground: Ground;
let seller: SellerService;
beforeAll(async () => {
  ground = await prepareGround();
  seller = await ground.start({
    facilitatorKey: ground.anvil.accounts[FACILITATOR]!.privateKey,
    schemes: SCHEMES,
    transferMethods: TRANSFER_METHODS,
    gasSponsoring: ["eip2612", "erc20-approval"],
    minDepositAtomic: 10 * QUANTUM,
  });
});
afterAll(() => ground.stop());

const at = (quantum: number, query = "") => `${seller.url}/v1/energy?quantum=${quantum}${query}`;

async function required(): Promise<PaymentRequired> {
  const unpaid = await fetch(at(QUANTUM), { method: "POST" });
  return JSON.parse(Buffer.from(unpaid.headers.get("PAYMENT-REQUIRED")!, "base64").toString());
}

/** A payment as the stock client makes it, by one scheme and method. */
async function signed(
  payer: Payer,
  scheme: string,
  method: "eip3009" | "permit2",
  change: (required: PaymentRequired) => void = () => {},
): Promise<PaymentPayload> {
  const signer = toClientEvmSigner(payer.account, ground.chain as never);
  const { network, contracts } = ground;
  const client = new x402Client()
    .register(network, new BatchSettlementEvmScheme(signer))
    .register(network, new ExactEvmScheme(signer))
    .register(network, new UptoEvmScheme(signer))
    .setSpendControls({
      allowedAssets: [{ network, asset: contracts.token, maxAmountPerPayment: "10000" }],
    });
  const terms = await required();
  change(terms);
  const accepts = terms.accepts.filter(
    (one) => one.scheme === scheme && (one.extra.assetTransferMethod ?? "eip3009") === method,
  );
  return client.createPaymentPayload({ ...terms, accepts });
}

const headersOf = (payment: PaymentPayload) =>
  new x402HTTPClient(new x402Client()).encodePaymentSignatureHeader(payment);

const pay = (payment: PaymentPayload, query = "") =>
  fetch(at(QUANTUM, query), { method: "POST", headers: headersOf(payment) });

/** With an approval of Permit2. */
async function approved(): Promise<Payer> {
  const payer = await ground.payer();
  const test = ground.chain.request as (call: object) => Promise<unknown>;
  await test({ method: "anvil_setBalance", params: [payer.address, "0xde0b6b3a7640000"] });
  const hash = await payer.wallet.writeContract({
    chain: null,
    address: ground.contracts.token,
    abi: tokenAbi,
    functionName: "approve",
    args: [PERMIT2_ADDRESS, maxUint256],
  });
  await ground.chain.waitForTransactionReceipt({ hash });
  return payer;
}

const tokensOf = (payer: Payer) =>
  ground.chain.readContract({
    address: ground.contracts.token,
    abi: tokenAbi,
    functionName: "balanceOf",
    args: [payer.address],
  });
const chargedOf = async (payer: Payer) => {
  const account = await fetch(`${seller.url}/v1/accounts/${payer.address}`);
  return account.status === 404 ? 0 : ((await account.json()) as { charged: number }).charged;
};

test("one 402 offers every way in the seller's order, and catalogues and payers know what it declares", async () => {
  const { accepts, extensions, resource } = await required();
  expect(accepts.map(({ scheme, extra }) => `${scheme} ${extra.assetTransferMethod ?? "eip3009"}`)).toEqual([
    "batch-settlement eip3009",
    "batch-settlement permit2",
    "exact eip3009",
    "exact permit2",
    "upto permit2",
  ]);
  const bazaar = extensions!.bazaar as Parameters<typeof validateDiscoveryExtension>[0];
  expect(validateDiscoveryExtension(bazaar)).toEqual({ valid: true });
  const payment = { x402Version: 2, resource, accepted: accepts[2]!, payload: {}, extensions: extensions! };
  expect(extractDiscoveryInfo(payment, accepts[2]!)).toMatchObject({
    resourceUrl: `${seller.url}/v1/energy`,
    method: "POST",
    discoveryInfo: { input: { queryParams: { quantum: expect.any(Number) } }, output: { type: "json" } },
  });
  const stock: Record<string, { schema: object }> = {
    ...declareEip2612GasSponsoringExtension(),
    ...declareErc20ApprovalGasSponsoringExtension(),
  };
  for (const [key, { schema }] of Object.entries(stock)) {
    const ours = extensions![key] as { info: { version: string }; schema: { required: string[] } };
    expect(ours.info.version).toBe("1");
    expect(ours.schema.required.toSorted()).toEqual((schema as { required: string[] }).required.toSorted());
  }
});

test("upto is charged what was used, what was signed when that is less, and all of it when nothing is said", async () => {
  const payer = await approved();
  const before = await tokensOf(payer);
  let charged = 0;
  for (const [query, used] of [
    ["&units=185", 37],
    ["&units=186", 38],
    ["&units=1000000000", QUANTUM],
    ["", QUANTUM],
  ] as const) {
    const payment = await signed(payer, "upto", "permit2");
    const sold = await pay(payment, query);
    charged += used;
    expect(await sold.json()).toMatchObject({ charged });
    const receipt = JSON.parse(Buffer.from(sold.headers.get("PAYMENT-RESPONSE")!, "base64").toString());
    expect(receipt).toMatchObject({ success: true, amount: String(used) });
    const again = await pay(payment, "&units=1");
    expect(again.headers.get("Idempotent-Replayed")).toBe("true");
    expect(await again.json()).toMatchObject({ charged });
  }
  expect(before - (await tokensOf(payer))).toBe(BigInt(charged));
  const odd = await fetch(at(QUANTUM, "&units=0"), { method: "POST" });
  expect([odd.status, await odd.json()]).toEqual([
    400,
    { error: 'units: expected a whole number from 1, found "0"' },
  ]);
});

test("a Permit2 payment presented by thirty clients at once is charged once", async () => {
  const payer = await approved();
  const payment = await signed(payer, "exact", "permit2");
  const answers = await Promise.all(Array.from({ length: 30 }, () => pay(payment)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(await chargedOf(payer)).toBe(QUANTUM);
});

test.each([
  ["exact", undefined],
  ["upto", "37"],
] as const)(
  "%s by Permit2 that was settled and not stored is found on the chain, and only by its own bytes",
  async (scheme, amount) => {
    const payer = await approved();
    const payment = await signed(payer, scheme, "permit2");
    const forged = structuredClone(payment);
    (forged.payload as { signature: string }).signature = "0x";
    const facilitator = facilitatorBeside(ground, FACILITATOR);
    const settled = await facilitator.settle(payment, { ...payment.accepted, ...(amount && { amount }) });
    expect(settled).toMatchObject({ success: true });
    expect((await pay(forged)).status).toBe(402);
    expect(await chargedOf(payer)).toBe(0);
    const sold = await pay(payment);
    expect([sold.status, await sold.json()]).toMatchObject([200, { charged: Number(amount ?? QUANTUM) }]);
  },
);

test("a Permit2 deposit that was settled and not stored is the channel's money, and charged once", async () => {
  const payer = await approved();
  const payment = await signed(payer, "batch-settlement", "permit2");
  const before = await tokensOf(payer);
  expect(await facilitatorBeside(ground, FACILITATOR).settle(payment, payment.accepted)).toMatchObject({
    success: true,
  });
  for (const isRepetition of [null, "true"]) {
    const sold = await pay(payment);
    expect([sold.status, await sold.json()]).toMatchObject([200, { charged: QUANTUM }]);
    expect(sold.headers.get("Idempotent-Replayed")).toBe(isRepetition);
  }
  expect(before - (await tokensOf(payer))).toBe(BigInt(10 * QUANTUM));
});

test.each([
  ["exact", "eip3009"],
  ["batch-settlement", "permit2"],
] as const)(
  "%s by %s that was sent and is not confirmed is 503, and is sold when it is presented again",
  async (scheme, method) => {
    const payer = await approved();
    const payment = await signed(payer, scheme, method);
    const facilitator = facilitatorBeside(ground, FACILITATOR);
    let pending = 2;
    const settled = { success: true, transaction: `0x${"12".repeat(32)}`, network: ground.network };
    const server = fastify();
    server.get("/supported", () => facilitator.getSupported());
    type Asked = { paymentPayload: PaymentPayload; paymentRequirements: PaymentRequirements };
    server.post<{ Body: Asked }>("/verify", ({ body }) =>
      facilitator.verify(body.paymentPayload, body.paymentRequirements),
    );
    server.post<{ Body: Asked }>("/settle", async ({ body }) => {
      // The SDK's server asks once more by itself.
      pending -= 1;
      if (pending >= 0) return { ...settled, success: false, errorReason: "settlement_pending" };
      return facilitator.settle(body.paymentPayload, body.paymentRequirements);
    });
    const url = await server.listen({ port: 0, host: "127.0.0.1" });
    const elsewhere = await ground.start({
      receiverKey: ground.receiverKey,
      facilitators: [{ url }],
      schemes: SCHEMES,
      transferMethods: TRANSFER_METHODS,
      minDepositAtomic: 10 * QUANTUM,
    });
    try {
      const present = () =>
        fetch(`${elsewhere.url}/v1/energy?quantum=${QUANTUM}`, {
          method: "POST",
          headers: headersOf(payment),
        });
      const sent = await present();
      expect([sent.status, sent.headers.get("retry-after"), await sent.json()]).toEqual([
        503,
        "1",
        {
          error: `transaction ${settled.transaction} was sent and is not confirmed; present the same payment again`,
        },
      ]);
      const sold = await present();
      expect([sold.status, await sold.json()]).toMatchObject([200, { charged: QUANTUM }]);
    } finally {
      await elsewhere.stop();
      await server.close();
    }
  },
);

test("a payment-identifier names one payment: presented again it is answered, another payment is 409, an odd one 400", async () => {
  const payer = await ground.payer();
  const named = async (id: string) => {
    const payment = await signed(payer, "exact", "eip3009");
    return { ...payment, extensions: { "payment-identifier": { info: { required: false, id } } } };
  };
  const payment = await named("order_0123456789");
  expect((await pay(payment)).status).toBe(200);
  const again = await pay(payment);
  expect([again.status, again.headers.get("Idempotent-Replayed")]).toEqual([200, "true"]);
  const taken = await pay(await named("order_0123456789"));
  expect([taken.status, await taken.json()]).toEqual([
    409,
    { error: expect.stringContaining("another payment") },
  ]);
  for (const id of ["short", "x".repeat(129), "white space 0123456"]) {
    const odd = await pay(await named(id));
    expect([odd.status, await odd.json()]).toEqual([
      400,
      { error: expect.stringContaining("expected 16 to 128 letters") },
    ]);
  }
  const both = await Promise.all([named("order_at_the_same_time"), named("order_at_the_same_time")]);
  const statuses = await Promise.all(both.map(async (one) => (await pay(one)).status));
  expect(statuses.toSorted()).toEqual([200, 409]);
  expect(await chargedOf(payer)).toBe(2 * QUANTUM);
});

test("an echo of the extensions that was changed is refused by the SDK's word, one that is left out is not", async () => {
  const payer = await ground.payer();
  const payment = await signed(payer, "exact", "eip3009");
  const changed = structuredClone(payment);
  (changed.extensions!.bazaar as { info: { input: { method: string } } }).info.input.method = "GET";
  expect(await present(seller.url, QUANTUM, headersOf(changed))).toMatchObject({
    status: 402,
    body: { error: "extension_echo_mismatch" },
  });
  const { extensions: _, ...bare } = payment;
  expect((await pay(bare as PaymentPayload)).status).toBe(200);
});

test("an approval is sponsored at the network's price and no higher, and only beside a payment that holds", async () => {
  const onlyApproval = (terms: PaymentRequired) => {
    delete terms.extensions!.eip2612GasSponsoring;
  };
  const payer = await ground.payer();
  const ether = () => ground.chain.getBalance({ address: payer.address });
  const payment = await signed(payer, "exact", "permit2", onlyApproval);
  const { info } = payment.extensions!.erc20ApprovalGasSponsoring as { info: { signedTransaction: Hex } };
  const dear = structuredClone(payment);
  const signedTransaction = await payer.account.signTransaction({
    type: "eip1559",
    chainId: ground.contracts.chainId,
    to: ground.contracts.token,
    data: encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [PERMIT2_ADDRESS, maxUint256] }),
    nonce: 0,
    gas: 70_000n,
    maxFeePerGas: 10n ** 15n,
    maxPriorityFeePerGas: 1n,
  });
  (dear.extensions!.erc20ApprovalGasSponsoring as { info: object }).info = { ...info, signedTransaction };
  expect((await pay(dear)).status).toBe(402);
  const poor = structuredClone(payment);
  (poor.payload as { signature: string }).signature = `0x${"11".repeat(65)}`;
  expect((await pay(poor)).status).toBe(402);
  expect(await ether()).toBe(0n);
  expect((await pay(payment)).status).toBe(200);
  expect(await chargedOf(payer)).toBe(QUANTUM);
});

test.each([
  [{ schemes: ["upto"] }, "scheme upto: expected the transfer method permit2, found none"],
  [{ gasSponsoring: ["eip2612"] }, "gas sponsoring: expected the transfer method permit2, found none"],
] as const)("a wish that cannot be met is refused at the start: %j", async (options, refusal) => {
  await expect(ground.start(options)).rejects.toThrow(refusal);
});
