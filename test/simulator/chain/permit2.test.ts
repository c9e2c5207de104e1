// What the stock client signs for Permit2, brought to our contracts on a real node, as it was signed and changed.

import {
  x402ExactPermit2ProxyABI as exactAbi,
  x402ExactPermit2ProxyAddress as STOCK_EXACT_PROXY,
  PERMIT2_ADDRESS as STOCK_PERMIT2,
  x402UptoPermit2ProxyAddress as STOCK_UPTO_PROXY,
  toClientEvmSigner,
  x402UptoPermit2ProxyABI as uptoAbi,
} from "@x402/evm";
import { BatchSettlementEvmScheme as BatchClient } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme as ExactClient } from "@x402/evm/exact/client";
import { UptoEvmScheme as UptoClient } from "@x402/evm/upto/client";
import {
  type Address,
  encodeAbiParameters,
  encodeFunctionData,
  getAddress,
  type Hex,
  keccak256,
  maxUint256,
  parseAbi,
  parseSignature,
  serializeCompactSignature,
  signatureToCompactSignature,
  zeroAddress,
  zeroHash,
} from "viem";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { tokenAbi } from "#simulator/chain/abi";
import { loadArtifact } from "#simulator/chain/artifact";
import {
  DEVELOPMENT_DOLLAR_DOMAIN,
  EXACT_PERMIT2_PROXY_ADDRESS,
  PERMIT2_ADDRESS,
  PERMIT2_DEPOSIT_COLLECTOR_ADDRESS,
  UPTO_PERMIT2_PROXY_ADDRESS,
} from "#simulator/chain/deploy";
import { type ChannelConfig, escrow, type Party, startEscrow } from "./escrow.ts";

const PRICE_ATOMIC = 100n;
const EIP2612 = "eip2612GasSponsoring";
const permit2Abi = parseAbi([
  "struct TokenPermissions { address token; uint256 amount; }",
  "struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }",
  "struct SignatureTransferDetails { address to; uint256 requestedAmount; }",
  "function permitTransferFrom(PermitTransferFrom permit, SignatureTransferDetails transferDetails, address owner, bytes signature)",
  "function permitWitnessTransferFrom(PermitTransferFrom permit, SignatureTransferDetails transferDetails, address owner, bytes32 witness, string witnessTypeString, bytes signature)",
  "function invalidateUnorderedNonces(uint256 word, uint256 mask)",
]);

let chain: Awaited<ReturnType<typeof startEscrow>>;
let snapshot: Hex;
beforeAll(async () => {
  chain = await startEscrow();
});
beforeEach(async () => {
  snapshot = await chain.client.snapshot();
});
afterEach(() => chain.client.revert({ id: snapshot }));
afterAll(() => chain?.stop());

const requirements = (scheme: string, extra: Record<string, string> = {}) => ({
  scheme,
  network: `eip155:${chain.anvil.chainId}` as const,
  asset: chain.contracts.token,
  amount: PRICE_ATOMIC.toString(),
  payTo: chain.receiver.address,
  maxTimeoutSeconds: 600,
  extra: { ...DEVELOPMENT_DOLLAR_DOMAIN, assetTransferMethod: "permit2", ...extra },
});

type Permit2Authorization = {
  readonly from: Address;
  readonly permitted: { readonly token: Address; readonly amount: string };
  readonly spender: Address;
  readonly nonce: string;
  readonly deadline: string;
  readonly witness: { readonly to: Address; readonly facilitator: Address; readonly validAfter: string };
};
type Eip2612Info = { readonly amount: string; readonly deadline: string; readonly signature: Hex };

const stockSigner = (account: Party = chain.payer) => toClientEvmSigner(account, chain.client as never);
const sponsored = { extensions: { [EIP2612]: {} } };

async function signedByStock(scheme: "exact" | "upto", context?: typeof sponsored) {
  const client = scheme === "exact" ? new ExactClient(stockSigner()) : new UptoClient(stockSigner());
  const terms = requirements(scheme, { facilitatorAddress: chain.stranger.address });
  const { payload, extensions } = await client.createPaymentPayload(2, terms, context);
  const { permit2Authorization: signed, signature } = payload as unknown as {
    permit2Authorization: Permit2Authorization;
    signature: Hex;
  };
  const approval = (extensions as { [EIP2612]?: { info: Eip2612Info } } | undefined)?.[EIP2612]?.info;
  return { signed, signature, approval };
}

/** A settlement's terms as the proxies take them; a test changes what it wants to see refused. */
const termsOf = (signed: Permit2Authorization) => ({
  token: signed.permitted.token,
  permitted: BigInt(signed.permitted.amount),
  nonce: BigInt(signed.nonce),
  deadline: BigInt(signed.deadline),
  owner: signed.from,
  to: signed.witness.to,
  facilitator: signed.witness.facilitator ?? zeroAddress,
  validAfter: BigInt(signed.witness.validAfter),
  amount: BigInt(signed.permitted.amount),
});
type Terms = ReturnType<typeof termsOf>;

const permitOf = ({ token, permitted, nonce, deadline }: Terms) => ({
  permitted: { token, amount: permitted },
  nonce,
  deadline,
});

const settleExact = (terms: Terms, signature: Hex, from: Party = chain.stranger) => {
  const { owner, to, validAfter } = terms;
  const args = [permitOf(terms), owner, { to, validAfter }, signature] as const;
  const data = encodeFunctionData({ abi: exactAbi, functionName: "settle", args });
  return chain.transact(from.address, data, EXACT_PERMIT2_PROXY_ADDRESS);
};

const settleUpto = (terms: Terms, signature: Hex, from: Party = chain.stranger) => {
  const { amount, owner, to, facilitator, validAfter } = terms;
  const args = [permitOf(terms), amount, owner, { to, facilitator, validAfter }, signature] as const;
  const data = encodeFunctionData({ abi: uptoAbi, functionName: "settle", args });
  return chain.transact(from.address, data, UPTO_PERMIT2_PROXY_ADDRESS);
};

const approvePermit2 = (owner: Party = chain.payer, amount = maxUint256) =>
  chain.transact(
    owner.address,
    encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [PERMIT2_ADDRESS, amount] }),
    chain.contracts.token,
  );

const received = () => chain.balanceOf(chain.receiver.address);

test("Permit2, both proxies and the collector are where the SDK has them, with the SDK's ABI", async () => {
  expect([PERMIT2_ADDRESS, EXACT_PERMIT2_PROXY_ADDRESS, UPTO_PERMIT2_PROXY_ADDRESS]).toEqual([
    STOCK_PERMIT2,
    STOCK_EXACT_PROXY,
    STOCK_UPTO_PROXY,
  ]);
  const keys = ["type", "name", "inputs", "outputs", "components", "stateMutability"];
  const shape = (item: object) => JSON.stringify(item, keys);
  for (const [name, abi] of [
    ["ExactPermit2Proxy", exactAbi],
    ["UptoPermit2Proxy", uptoAbi],
  ] as const) {
    const compiled = new Set((await loadArtifact(name)).abi.map(shape));
    for (const item of abi) expect(compiled, `${name} ${item.name}`).toContain(shape(item));
  }
  for (const address of [EXACT_PERMIT2_PROXY_ADDRESS, UPTO_PERMIT2_PROXY_ADDRESS]) {
    const named = await chain.client.readContract({ address, abi: exactAbi, functionName: "PERMIT2" });
    expect(named).toBe(PERMIT2_ADDRESS);
  }
});

test("an exact payment pays what was signed, once, and nothing while Permit2 is not approved", async () => {
  const { signed, signature } = await signedByStock("exact");
  expect(getAddress(signed.spender)).toBe(EXACT_PERMIT2_PROXY_ADDRESS);
  await expect(settleExact(termsOf(signed), signature)).rejects.toThrow("ERC20InsufficientAllowance");
  await approvePermit2();
  await settleExact(termsOf(signed), signature);
  expect(await received()).toBe(PRICE_ATOMIC);
  await expect(settleExact(termsOf(signed), signature)).rejects.toThrow("InvalidNonce");
  expect(await received()).toBe(PRICE_ATOMIC);
});

test("an exact payment with anything changed is refused and takes nothing", async () => {
  await approvePermit2();
  const { signed, signature } = await signedByStock("exact");
  const terms = termsOf(signed);
  const { timestamp } = await chain.client.getBlock();
  const changes: [Partial<Terms>, string][] = [
    [{ to: chain.stranger.address }, "InvalidSigner"],
    [{ validAfter: 1n }, "InvalidSigner"],
    [{ permitted: PRICE_ATOMIC + 1n }, "InvalidSigner"],
    [{ permitted: PRICE_ATOMIC - 1n }, "InvalidSigner"],
    [{ token: chain.contracts.multicall3 }, "InvalidSigner"],
    [{ nonce: terms.nonce ^ 1n }, "InvalidSigner"],
    [{ deadline: terms.deadline + 1n }, "InvalidSigner"],
    [{ owner: chain.device.address }, "InvalidSigner"],
    [{ deadline: timestamp - 1n }, "SignatureExpired"],
    [{ validAfter: timestamp + 600n }, "PaymentTooEarly"],
    [{ permitted: 0n }, "InvalidAmount"],
    [{ to: zeroAddress }, "InvalidDestination"],
    [{ owner: zeroAddress }, "InvalidOwner"],
  ];
  for (const [change, refusal] of changes) {
    await expect(settleExact({ ...terms, ...change }, signature), refusal).rejects.toThrow(refusal);
  }
  await expect(settleExact(terms, signature.slice(0, -4) as Hex)).rejects.toThrow("InvalidSignatureLength");
  expect(await received()).toBe(0n);
  await settleExact(terms, signature);
});

test("a spender other than the signed one gets nothing, with the very signature", async () => {
  await approvePermit2();
  const { signed, signature } = await signedByStock("exact");
  const proxy = { address: EXACT_PERMIT2_PROXY_ADDRESS, abi: exactAbi } as const;
  const typeHash = await chain.client.readContract({ ...proxy, functionName: "WITNESS_TYPEHASH" });
  const typeString = await chain.client.readContract({ ...proxy, functionName: "WITNESS_TYPE_STRING" });
  const terms = termsOf(signed);
  const witness = keccak256(
    encodeAbiParameters(
      [{ type: "bytes32" }, { type: "address" }, { type: "uint256" }],
      [typeHash, terms.to, terms.validAfter],
    ),
  );
  const details = { to: chain.stranger.address, requestedAmount: PRICE_ATOMIC };
  const data = encodeFunctionData({
    abi: permit2Abi,
    functionName: "permitWitnessTransferFrom",
    args: [permitOf(terms), details, terms.owner, witness, typeString, signature],
  });
  await expect(chain.transact(chain.stranger.address, data, PERMIT2_ADDRESS)).rejects.toThrow(
    "InvalidSigner",
  );
});

test("an upto payment charges any part, by the signed facilitator alone, never more than was signed", async () => {
  await approvePermit2();
  const { signed, signature } = await signedByStock("upto");
  const terms = termsOf(signed);
  const changes: [Partial<Terms>, Party, string][] = [
    [{ amount: PRICE_ATOMIC + 1n }, chain.stranger, "AmountExceedsPermitted"],
    [{ amount: 0n }, chain.stranger, "InvalidAmount"],
    [{}, chain.receiver, "UnauthorizedFacilitator"],
    [{ facilitator: chain.receiver.address }, chain.receiver, "InvalidSigner"],
    [{ to: chain.stranger.address }, chain.stranger, "InvalidSigner"],
    [{ permitted: PRICE_ATOMIC * 2n }, chain.stranger, "InvalidSigner"],
  ];
  for (const [change, from, refusal] of changes) {
    await expect(settleUpto({ ...terms, ...change }, signature, from), refusal).rejects.toThrow(refusal);
  }
  await settleUpto({ ...terms, amount: 37n }, signature);
  expect(await received()).toBe(37n);
  await expect(settleUpto({ ...terms, amount: 1n }, signature)).rejects.toThrow("InvalidNonce");
});

test.each(["exact", "upto"] as const)(
  "with the payer's permit %s pays without an approval, and a permit that was used before stops nothing",
  async (scheme) => {
    const { signed, signature, approval } = await signedByStock(scheme, sponsored);
    const terms = termsOf(signed);
    const { r, s, v } = parseSignature(approval!.signature);
    const settle = (value: bigint) => {
      const permit2612 = { value, deadline: BigInt(approval!.deadline), r, s, v: Number(v) };
      const { owner, to, facilitator, validAfter, amount } = terms;
      const functionName = "settleWithPermit";
      const data =
        scheme === "exact"
          ? encodeFunctionData({
              abi: exactAbi,
              functionName,
              args: [permit2612, permitOf(terms), owner, { to, validAfter }, signature],
            })
          : encodeFunctionData({
              abi: uptoAbi,
              functionName,
              args: [permit2612, permitOf(terms), amount, owner, { to, facilitator, validAfter }, signature],
            });
      return chain.transact(chain.stranger.address, data, signed.spender);
    };
    await expect(settle(PRICE_ATOMIC + 1n)).rejects.toThrow("Permit2612AmountMismatch");
    const before = await chain.client.snapshot();
    await settle(PRICE_ATOMIC);
    expect(await received()).toBe(PRICE_ATOMIC);
    await chain.client.revert({ id: before });
    await presentPermit({ value: PRICE_ATOMIC, deadline: BigInt(approval!.deadline) }, approval!.signature);
    await settle(PRICE_ATOMIC);
    expect(await received()).toBe(PRICE_ATOMIC);
  },
);

type PermitTerms = { owner: Address; spender: Address; value: bigint; deadline: bigint };
const presentPermit = (terms: Partial<PermitTerms>, signature: Hex) => {
  const { r, s, v } = parseSignature(signature);
  const { owner, spender, value, deadline } = {
    owner: chain.payer.address,
    spender: PERMIT2_ADDRESS,
    value: PRICE_ATOMIC,
    deadline: maxUint256,
    ...terms,
  };
  const args = [owner, spender, value, deadline, Number(v), r, s] as const;
  const data = encodeFunctionData({ abi: tokenAbi, functionName: "permit", args });
  return chain.transact(chain.stranger.address, data, chain.contracts.token);
};

test("the dollar takes the stock client's permit as it was signed, once, and no other", async () => {
  const { approval } = await signedByStock("exact", sponsored);
  const { signature } = approval!;
  const deadline = BigInt(approval!.deadline);
  for (const change of [
    { spender: chain.stranger.address },
    { value: PRICE_ATOMIC + 1n },
    { deadline: deadline + 1n },
    { owner: chain.device.address },
  ]) {
    await expect(presentPermit({ deadline, ...change }, signature)).rejects.toThrow("InvalidSignature");
  }
  const { timestamp } = await chain.client.getBlock();
  await expect(presentPermit({ deadline: timestamp - 1n }, signature)).rejects.toThrow("PermitExpired");
  const { events } = await presentPermit({ deadline }, signature);
  const approved = { owner: chain.payer.address, spender: PERMIT2_ADDRESS, value: PRICE_ATOMIC };
  expect(events).toEqual([{ name: "Approval", args: approved }]);
  await expect(presentPermit({ deadline }, signature)).rejects.toThrow("InvalidSignature");
});

/** The stock client's deposit, as calldata for the settlement contract. */
async function depositByStock(salt: Hex = zeroHash) {
  const terms = requirements("batch-settlement", {
    receiverAuthorizer: chain.authorizer.address,
    withdrawDelay: "900",
  });
  const client = new BatchClient(stockSigner(), { voucherSigner: chain.device as never, salt });
  const { payload, extensions } = await client.createPaymentPayload(2, terms, sponsored);
  const { channelConfig, deposit } = payload as unknown as {
    channelConfig: ChannelConfig;
    deposit: {
      amount: string;
      authorization: { permit2Authorization: Permit2Authorization & { signature: Hex } };
    };
  };
  const { nonce, deadline, signature, spender } = deposit.authorization.permit2Authorization;
  const approval = (extensions as { [EIP2612]?: { info: Eip2612Info } } | undefined)?.[EIP2612]?.info;
  const data = encodeAbiParameters(
    [{ type: "uint256" }, { type: "uint256" }, { type: "bytes" }, { type: "bytes" }],
    [BigInt(nonce), BigInt(deadline), signature, approval === undefined ? "0x" : approvalData(approval)],
  );
  return { spender, channel: channelConfig, amount: BigInt(deposit.amount), data, approval };
}

function approvalData({ amount, deadline, signature }: Eip2612Info): Hex {
  const { r, s, v } = parseSignature(signature);
  return encodeAbiParameters(
    [{ type: "uint256" }, { type: "uint256" }, { type: "uint8" }, { type: "bytes32" }, { type: "bytes32" }],
    [BigInt(amount), BigInt(deadline), Number(v), r, s],
  );
}

const bring = ({ channel, amount, data }: Awaited<ReturnType<typeof depositByStock>>) =>
  chain.transact(
    chain.stranger.address,
    escrow("deposit", [channel, amount, PERMIT2_DEPOSIT_COLLECTOR_ADDRESS, data]),
  );

test("a deposit by Permit2 funds the channel it was signed for, with the payer's permit or an approval", async () => {
  const sponsoredDeposit = await depositByStock();
  expect(sponsoredDeposit.spender).toBe(PERMIT2_DEPOSIT_COLLECTOR_ADDRESS);
  expect(sponsoredDeposit.approval?.amount).toBe(sponsoredDeposit.amount.toString());
  await bring(sponsoredDeposit);
  expect((await chain.state(sponsoredDeposit.channel)).balance).toBe(sponsoredDeposit.amount);
  await approvePermit2();
  const plain = await depositByStock(keccak256("0x02"));
  expect(plain.approval).toBeUndefined();
  await bring(plain);
  await expect(bring(plain)).rejects.toThrow("InvalidNonce");
  expect((await chain.state(plain.channel)).balance).toBe(plain.amount);
});

test("a deposit by Permit2 for another channel, payer or amount is refused, and so is another caller", async () => {
  await approvePermit2();
  const signed = await depositByStock();
  for (const changed of [
    { channel: { ...signed.channel, receiver: chain.stranger.address } },
    { channel: { ...signed.channel, payer: chain.device.address } },
    { amount: signed.amount + 1n },
  ]) {
    await expect(bring({ ...signed, ...changed })).rejects.toThrow("InvalidSigner");
  }
  const abi = parseAbi(["function collect(address, address, uint256, bytes32, bytes)"]);
  const channelId = await chain.channelId(signed.channel);
  const args = [chain.payer.address, chain.contracts.token, signed.amount, channelId, signed.data] as const;
  const collect = encodeFunctionData({ abi, functionName: "collect", args });
  await expect(
    chain.transact(chain.stranger.address, collect, PERMIT2_DEPOSIT_COLLECTOR_ADDRESS),
  ).rejects.toThrow("OnlyX402BatchSettlement");
});

test("without a witness, with a compact signature or of a smart wallet: the owner pays what was signed", async () => {
  const wallet = await chain.deploy(
    "Wallet",
    encodeAbiParameters([{ type: "address" }], [chain.device.address]),
  );
  await chain.fund(wallet.address, PRICE_ATOMIC);
  await chain.client.impersonateAccount({ address: wallet.address });
  await chain.client.setBalance({ address: wallet.address, value: 10n ** 18n });
  await approvePermit2({ address: wallet.address } as Party);
  await approvePermit2();
  const take = async (owner: Address, signer: Party, nonce: bigint, isCompact = false) => {
    const permit = {
      permitted: { token: chain.contracts.token, amount: PRICE_ATOMIC },
      nonce,
      deadline: maxUint256,
    };
    const signature = await signTransfer(signer, permit);
    const brought = isCompact
      ? serializeCompactSignature(signatureToCompactSignature(parseSignature(signature)))
      : signature;
    const details = { to: chain.receiver.address, requestedAmount: 40n };
    const args = [permit, details, owner, brought] as const;
    const data = encodeFunctionData({ abi: permit2Abi, functionName: "permitTransferFrom", args });
    return chain.transact(chain.stranger.address, data, PERMIT2_ADDRESS);
  };
  await take(chain.payer.address, chain.payer, 1n);
  await take(chain.payer.address, chain.payer, 2n, true);
  await take(wallet.address, chain.device, 1n);
  expect(await received()).toBe(120n);
  await expect(take(wallet.address, chain.payer, 2n)).rejects.toThrow("InvalidContractSignature");

  const args = [0n, 1n << 7n] as const;
  const invalidate = encodeFunctionData({ abi: permit2Abi, functionName: "invalidateUnorderedNonces", args });
  await chain.transact(chain.payer.address, invalidate, PERMIT2_ADDRESS);
  await expect(take(chain.payer.address, chain.payer, 7n)).rejects.toThrow("InvalidNonce");
  await take(chain.payer.address, chain.payer, 8n);
});

type Permit = ReturnType<typeof permitOf>;
const signTransfer = (signer: Party, { permitted, nonce, deadline }: Permit) =>
  signer.signTypedData({
    domain: { name: "Permit2", chainId: chain.anvil.chainId, verifyingContract: PERMIT2_ADDRESS },
    types: {
      PermitTransferFrom: [
        { name: "permitted", type: "TokenPermissions" },
        { name: "spender", type: "address" },
        { name: "nonce", type: "uint256" },
        { name: "deadline", type: "uint256" },
      ],
      TokenPermissions: [
        { name: "token", type: "address" },
        { name: "amount", type: "uint256" },
      ],
    },
    primaryType: "PermitTransferFrom",
    message: { permitted, spender: chain.stranger.address, nonce, deadline },
  });
