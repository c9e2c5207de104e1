// A development chain with x402's contracts, and the moves of its parties, for the tests of this folder.

import {
  type Abi,
  type Address,
  BaseError,
  type ContractFunctionArgs,
  type ContractFunctionName,
  createTestClient,
  decodeErrorResult,
  encodeAbiParameters,
  encodeFunctionData,
  type Hex,
  http,
  keccak256,
  type Log,
  parseAbi,
  parseEventLogs,
  publicActions,
  walletActions,
  zeroHash,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { batchSettlementAbi, tokenAbi } from "#simulator/chain/abi";
import { type Anvil, startAnvil } from "#simulator/chain/anvil";
import type { Artifact } from "#simulator/chain/artifact";
import { type Contracts, DEVELOPMENT_DOLLAR_DOMAIN, deployContracts, mint } from "#simulator/chain/deploy";

type Escrow = typeof batchSettlementAbi;
type WriteName = ContractFunctionName<Escrow, "nonpayable">;
type ReadName = ContractFunctionName<Escrow, "view">;

export type ChannelConfig = {
  readonly payer: Address;
  readonly payerAuthorizer: Address;
  readonly receiver: Address;
  readonly receiverAuthorizer: Address;
  readonly token: Address;
  readonly withdrawDelay: number;
  readonly salt: Hex;
};
export type VoucherClaim = {
  readonly voucher: { readonly channel: ChannelConfig; readonly maxClaimableAmount: bigint };
  readonly signature: Hex;
  readonly totalClaimed: bigint;
};

export const FAR_FUTURE_SECONDS = 4_000_000_000n;

const batchTypes = {
  Voucher: [
    { name: "channelId", type: "bytes32" },
    { name: "maxClaimableAmount", type: "uint128" },
  ],
  Refund: [
    { name: "channelId", type: "bytes32" },
    { name: "nonce", type: "uint256" },
    { name: "amount", type: "uint128" },
  ],
  ClaimEntry: [
    { name: "channelId", type: "bytes32" },
    { name: "maxClaimableAmount", type: "uint128" },
    { name: "totalClaimed", type: "uint128" },
  ],
  ClaimBatch: [{ name: "claims", type: "ClaimEntry[]" }],
} as const;
const authorizationFields = [
  { name: "from", type: "address" },
  { name: "to", type: "address" },
  { name: "value", type: "uint256" },
  { name: "validAfter", type: "uint256" },
  { name: "validBefore", type: "uint256" },
  { name: "nonce", type: "bytes32" },
] as const;
const tokenTypes = {
  TransferWithAuthorization: authorizationFields,
  ReceiveWithAuthorization: authorizationFields,
  CancelAuthorization: [
    { name: "authorizer", type: "address" },
    { name: "nonce", type: "bytes32" },
  ],
} as const;
const testErrorsAbi = parseAbi([
  "error OnlyX402BatchSettlement()",
  "error ECDSAInvalidSignatureLength(uint256 length)",
  "error ECDSAInvalidSignature()",
]);
const everyAbi = [...batchSettlementAbi, ...tokenAbi, ...testErrorsAbi] as Abi;

const TEST_CONTRACTS = ["HookedToken", "AllowanceCollector", "Wallet"] as const;
type TestContract = (typeof TEST_CONTRACTS)[number];
let testArtifacts: Promise<Record<TestContract, Artifact>> | undefined;

/** The compiler is heavy: it is loaded by the files that deploy a contract of their own, and runs once in each. */
async function compileTestContracts() {
  const { compileContracts } = await import("#simulator/chain/compile");
  const artifacts = await compileContracts(TEST_CONTRACTS, new URL("./contracts/", import.meta.url));
  return Object.fromEntries(artifacts.map((artifact) => [artifact.contractName, artifact])) as Record<
    TestContract,
    Artifact
  >;
}

/** Starts a node with the contracts; `stop` ends it. Its dev accounts play the parties, each with dollars to spend. */
export async function startEscrow() {
  const anvil = await startAnvil();
  try {
    return await openEscrow(anvil);
  } catch (error) {
    await anvil.stop();
    throw error;
  }
}

async function openEscrow(anvil: Anvil) {
  const contracts: Contracts = await deployContracts(anvil);
  const [payer, device, receiver, authorizer, stranger] = anvil.accounts.map(({ privateKey }) =>
    privateKeyToAccount(privateKey),
  ) as [Party, Party, Party, Party, Party];
  await mint(anvil, payer.address, 1_000_000_000n);
  const client = createTestClient({
    mode: "anvil",
    transport: http(anvil.rpcUrl),
    pollingInterval: 20,
    cacheTime: 0,
  })
    .extend(publicActions)
    .extend(walletActions);
  const batchDomain = {
    name: "x402 Batch Settlement",
    version: "1",
    chainId: anvil.chainId,
    verifyingContract: contracts.batchSettlement,
  } as const;
  const tokenDomain = {
    ...DEVELOPMENT_DOLLAR_DOMAIN,
    chainId: anvil.chainId,
    verifyingContract: contracts.token,
  } as const;

  const read = <F extends ReadName>(functionName: F, args: ContractFunctionArgs<Escrow, "view", F>) =>
    client.readContract({
      address: contracts.batchSettlement,
      abi: batchSettlementAbi,
      functionName,
      args,
    } as never);

  /** Sends calldata and waits; a revert is an Error whose message is the contract error's name. */
  async function transact(from: Address, data: Hex, to: Address = contracts.batchSettlement) {
    await client.call({ account: from, to, data }).catch((error: unknown) => {
      throw new Error(revertName(error), { cause: error });
    });
    const hash = await client.sendTransaction({ account: from, to, data, chain: null });
    const receipt = await client.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error(`${hash} was reverted, though its simulation was not`);
    return { gasUsed: receipt.gasUsed, events: eventsOf(receipt.logs) };
  }

  const config = (changed: Partial<ChannelConfig> = {}): ChannelConfig => ({
    payer: payer.address,
    payerAuthorizer: device.address,
    receiver: receiver.address,
    receiverAuthorizer: authorizer.address,
    token: contracts.token,
    withdrawDelay: 900,
    salt: zeroHash,
    ...changed,
  });
  const channelId = (channel: ChannelConfig) => read("getChannelId", [channel]) as Promise<Hex>;
  const signAuthorization = (
    primaryType: "TransferWithAuthorization" | "ReceiveWithAuthorization",
    message: Authorization,
    signer: Party = payer,
  ) => signer.signTypedData({ domain: tokenDomain, types: tokenTypes, primaryType, message });

  let permissions = 0n;
  /** What a payer signs so that the EIP-3009 collector may take `amount` for one channel. */
  async function collectorData(
    channel: ChannelConfig,
    amount: bigint,
    changed: Partial<Authorization> = {},
    signer: Party = payer,
  ) {
    const salt = ++permissions;
    const nonce = keccak256(
      encodeAbiParameters([{ type: "bytes32" }, { type: "uint256" }], [await channelId(channel), salt]),
    );
    const message = {
      from: channel.payer,
      to: contracts.depositCollector,
      value: amount,
      validAfter: 0n,
      validBefore: FAR_FUTURE_SECONDS,
      nonce,
      ...changed,
    };
    return encodeAbiParameters(
      [{ type: "uint256" }, { type: "uint256" }, { type: "uint256" }, { type: "bytes" }],
      [
        message.validAfter,
        message.validBefore,
        salt,
        await signAuthorization("ReceiveWithAuthorization", message, signer),
      ],
    );
  }

  async function deposit(channel: ChannelConfig, amount: bigint, from: Address = stranger.address) {
    const data = await collectorData(channel, amount);
    return transact(from, escrow("deposit", [channel, amount, contracts.depositCollector, data]));
  }

  async function claimOf(
    channel: ChannelConfig,
    totalClaimed: bigint,
    maxClaimableAmount = totalClaimed,
    signer: Party = device,
  ): Promise<VoucherClaim> {
    const message = { channelId: await channelId(channel), maxClaimableAmount };
    const types = batchTypes;
    const signature = await signer.signTypedData({
      domain: batchDomain,
      types,
      primaryType: "Voucher",
      message,
    });
    return { voucher: { channel, maxClaimableAmount }, signature, totalClaimed };
  }

  async function signBatch(claims: readonly VoucherClaim[], signer: Party = authorizer) {
    const entries = await Promise.all(
      claims.map(async ({ voucher, totalClaimed }) => ({
        channelId: await channelId(voucher.channel),
        maxClaimableAmount: voucher.maxClaimableAmount,
        totalClaimed,
      })),
    );
    const message = { claims: entries };
    return signer.signTypedData({
      domain: batchDomain,
      types: batchTypes,
      primaryType: "ClaimBatch",
      message,
    });
  }

  async function signRefund(
    channel: ChannelConfig,
    nonce: bigint,
    amount: bigint,
    signer: Party = authorizer,
  ) {
    const message = { channelId: await channelId(channel), nonce, amount };
    return signer.signTypedData({ domain: batchDomain, types: batchTypes, primaryType: "Refund", message });
  }

  const signCancel = (nonce: Hex, signer: Party = payer) =>
    signer.signTypedData({
      domain: tokenDomain,
      types: tokenTypes,
      primaryType: "CancelAuthorization",
      message: { authorizer: signer.address, nonce },
    });

  async function state(channel: ChannelConfig) {
    const [balance, totalClaimed] = (await read("channels", [await channelId(channel)])) as [bigint, bigint];
    return { balance, totalClaimed };
  }

  const balanceOf = (account: Address, token: Address = contracts.token) =>
    client.readContract({ address: token, abi: tokenAbi, functionName: "balanceOf", args: [account] });

  const fund = (to: Address, amountAtomic: bigint) => mint(anvil, to, amountAtomic);

  /** Compiles one of this folder's contracts and puts it on the chain. */
  async function deploy(
    name: TestContract,
    constructorArguments: Hex = "0x",
  ): Promise<{ address: Address; abi: Abi }> {
    testArtifacts ??= compileTestContracts();
    const artifact = (await testArtifacts)[name];
    const data = `${artifact.bytecode}${constructorArguments.slice(2)}` as Hex;
    const hash = await client.sendTransaction({ account: stranger.address, data, chain: null });
    const { contractAddress } = await client.waitForTransactionReceipt({ hash });
    if (!contractAddress) throw new Error(`${name} was not deployed`);
    return { address: contractAddress, abi: artifact.abi };
  }

  async function passSeconds(seconds: number) {
    await client.increaseTime({ seconds });
    await client.mine({ blocks: 1 });
  }

  return {
    anvil,
    client,
    contracts,
    ...{ payer, device, receiver, authorizer, stranger },
    ...{
      read,
      transact,
      config,
      channelId,
      collectorData,
      deposit,
      claimOf,
      state,
      balanceOf,
      fund,
      deploy,
      passSeconds,
    },
    ...{ signAuthorization, signBatch, signRefund, signCancel },
    stop: anvil.stop,
  };
}

export type Authorization = {
  readonly from: Address;
  readonly to: Address;
  readonly value: bigint;
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly nonce: Hex;
};
export type Party = ReturnType<typeof privateKeyToAccount>;

/** Calldata for the settlement contract. */
export function escrow<F extends WriteName>(
  functionName: F,
  args: ContractFunctionArgs<Escrow, "nonpayable", F>,
): Hex {
  return encodeFunctionData({ abi: batchSettlementAbi, functionName, args } as never);
}

function eventsOf(logs: Log[]) {
  return parseEventLogs({ abi: everyAbi, logs }).map((log) => ({ name: log.eventName, args: log.args }));
}

function revertName(error: unknown): string {
  if (!(error instanceof BaseError)) return String(error);
  const carrier = error.walk((cause) => typeof (cause as { data?: unknown }).data === "string");
  const data = (carrier as { data?: Hex } | null)?.data;
  if (data === undefined) return error.message;
  try {
    return decodeErrorResult({ abi: everyAbi, data }).errorName;
  } catch {
    return `reverted with ${data}`;
  }
}
