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
  "error SignatureExpired(uint256 signatureDeadline)",
  "error InvalidAmount(uint256 maxAmount)",
  "error InvalidNonce()",
  "error InvalidSignatureLength()",
  "error InvalidSigner()",
  "error InvalidContractSignature()",
  "error InvalidAmount()",
  "error InvalidOwner()",
  "error InvalidDestination()",
  "error PaymentTooEarly()",
  "error AmountExceedsPermitted()",
  "error UnauthorizedFacilitator()",
  "error Permit2612AmountMismatch()",
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
  const chain = new EscrowChain(anvil, contracts);
  await mint(anvil, chain.payer.address, 1_000_000_000n);
  return chain;
}

function clientOf({ rpcUrl }: Anvil) {
  const transport = http(rpcUrl);
  return createTestClient({ mode: "anvil", transport, pollingInterval: 20, cacheTime: 0 })
    .extend(publicActions)
    .extend(walletActions);
}

/** Its functions are fields, so that a test may take out the ones it uses. */
class EscrowChain {
  readonly anvil: Anvil;
  readonly contracts: Contracts;
  readonly client: ReturnType<typeof clientOf>;
  readonly payer: Party;
  readonly device: Party;
  readonly receiver: Party;
  readonly authorizer: Party;
  readonly stranger: Party;
  readonly stop: () => Promise<void>;
  #permissions = 0n;

  constructor(anvil: Anvil, contracts: Contracts) {
    this.anvil = anvil;
    this.contracts = contracts;
    this.client = clientOf(anvil);
    const parties = anvil.accounts.map(({ privateKey }) => privateKeyToAccount(privateKey));
    [this.payer, this.device, this.receiver, this.authorizer, this.stranger] = parties as [
      Party,
      Party,
      Party,
      Party,
      Party,
    ];
    this.stop = anvil.stop;
  }

  get #batchDomain() {
    const { chainId } = this.anvil;
    const verifyingContract = this.contracts.batchSettlement;
    return { name: "x402 Batch Settlement", version: "1", chainId, verifyingContract } as const;
  }

  get #tokenDomain() {
    const { chainId } = this.anvil;
    return { ...DEVELOPMENT_DOLLAR_DOMAIN, chainId, verifyingContract: this.contracts.token } as const;
  }

  readonly read = <F extends ReadName>(functionName: F, args: ContractFunctionArgs<Escrow, "view", F>) =>
    this.client.readContract({
      address: this.contracts.batchSettlement,
      abi: batchSettlementAbi,
      functionName,
      args,
    } as never);

  /** Sends calldata and waits; a revert is an Error whose message is the contract error's name. */
  readonly transact = async (from: Address, data: Hex, to: Address = this.contracts.batchSettlement) => {
    await this.client.call({ account: from, to, data }).catch((error: unknown) => {
      throw new Error(revertName(error), { cause: error });
    });
    const hash = await this.client.sendTransaction({ account: from, to, data, chain: null });
    const receipt = await this.client.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error(`${hash} was reverted, though its simulation was not`);
    return { gasUsed: receipt.gasUsed, events: eventsOf(receipt.logs) };
  };

  readonly config = (changed: Partial<ChannelConfig> = {}): ChannelConfig => ({
    payer: this.payer.address,
    payerAuthorizer: this.device.address,
    receiver: this.receiver.address,
    receiverAuthorizer: this.authorizer.address,
    token: this.contracts.token,
    withdrawDelay: 900,
    salt: zeroHash,
    ...changed,
  });
  readonly channelId = (channel: ChannelConfig) => this.read("getChannelId", [channel]) as Promise<Hex>;
  readonly signAuthorization = (
    primaryType: "TransferWithAuthorization" | "ReceiveWithAuthorization",
    message: Authorization,
    signer: Party = this.payer,
  ) => signer.signTypedData({ domain: this.#tokenDomain, types: tokenTypes, primaryType, message });

  /** What a this.payer signs so that the EIP-3009 collector may take `amount` for one channel. */
  readonly collectorData = async (
    channel: ChannelConfig,
    amount: bigint,
    changed: Partial<Authorization> = {},
    signer: Party = this.payer,
  ) => {
    const salt = ++this.#permissions;
    const nonce = keccak256(
      encodeAbiParameters([{ type: "bytes32" }, { type: "uint256" }], [await this.channelId(channel), salt]),
    );
    const message = {
      from: channel.payer,
      to: this.contracts.depositCollector,
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
        await this.signAuthorization("ReceiveWithAuthorization", message, signer),
      ],
    );
  };

  readonly deposit = async (
    channel: ChannelConfig,
    amount: bigint,
    from: Address = this.stranger.address,
  ) => {
    const data = await this.collectorData(channel, amount);
    return this.transact(from, escrow("deposit", [channel, amount, this.contracts.depositCollector, data]));
  };

  readonly claimOf = async (
    channel: ChannelConfig,
    totalClaimed: bigint,
    maxClaimableAmount = totalClaimed,
    signer: Party = this.device,
  ): Promise<VoucherClaim> => {
    const message = { channelId: await this.channelId(channel), maxClaimableAmount };
    const types = batchTypes;
    const signature = await signer.signTypedData({
      domain: this.#batchDomain,
      types,
      primaryType: "Voucher",
      message,
    });
    return { voucher: { channel, maxClaimableAmount }, signature, totalClaimed };
  };

  readonly signBatch = async (claims: readonly VoucherClaim[], signer: Party = this.authorizer) => {
    const entries = await Promise.all(
      claims.map(async ({ voucher, totalClaimed }) => ({
        channelId: await this.channelId(voucher.channel),
        maxClaimableAmount: voucher.maxClaimableAmount,
        totalClaimed,
      })),
    );
    const message = { claims: entries };
    return signer.signTypedData({
      domain: this.#batchDomain,
      types: batchTypes,
      primaryType: "ClaimBatch",
      message,
    });
  };

  readonly signRefund = async (
    channel: ChannelConfig,
    nonce: bigint,
    amount: bigint,
    signer: Party = this.authorizer,
  ) => {
    const message = { channelId: await this.channelId(channel), nonce, amount };
    return signer.signTypedData({
      domain: this.#batchDomain,
      types: batchTypes,
      primaryType: "Refund",
      message,
    });
  };

  readonly signCancel = (nonce: Hex, signer: Party = this.payer) =>
    signer.signTypedData({
      domain: this.#tokenDomain,
      types: tokenTypes,
      primaryType: "CancelAuthorization",
      message: { authorizer: signer.address, nonce },
    });

  readonly state = async (channel: ChannelConfig) => {
    const [balance, totalClaimed] = (await this.read("channels", [await this.channelId(channel)])) as [
      bigint,
      bigint,
    ];
    return { balance, totalClaimed };
  };

  readonly balanceOf = (account: Address, token: Address = this.contracts.token) =>
    this.client.readContract({ address: token, abi: tokenAbi, functionName: "balanceOf", args: [account] });

  readonly fund = (to: Address, amountAtomic: bigint) => mint(this.anvil, to, amountAtomic);

  /** Compiles one of this folder's this.contracts and puts it on the chain. */
  readonly deploy = async (
    name: TestContract,
    constructorArguments: Hex = "0x",
  ): Promise<{ address: Address; abi: Abi }> => {
    testArtifacts ??= compileTestContracts();
    const artifact = (await testArtifacts)[name];
    const data = `${artifact.bytecode}${constructorArguments.slice(2)}` as Hex;
    const hash = await this.client.sendTransaction({ account: this.stranger.address, data, chain: null });
    const { contractAddress } = await this.client.waitForTransactionReceipt({ hash });
    if (!contractAddress) throw new Error(`${name} was not deployed`);
    return { address: contractAddress, abi: artifact.abi };
  };

  readonly passSeconds = async (seconds: number) => {
    await this.client.increaseTime({ seconds });
    await this.client.mine({ blocks: 1 });
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
