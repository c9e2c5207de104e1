// Puts x402's contracts on a development node, at the addresses that the x402 SDK has fixed, and finds them on any other
// chain.
// Promises: after placeContracts a stock x402 facilitator, client and server work against the node. connectChain says
// what is wrong with a chain before the first payment does.
//
// A contract is placed by running its creation code at its final address: the code is put there, called, and replaced
// by what it returns. So address(this), and with it the cached EIP-712 domain, is right from the start. What a
// constructor writes to storage is lost on this way, so none of these contracts relies on it.

import {
  type Address,
  concatHex,
  createPublicClient,
  createTestClient,
  createWalletClient,
  http,
  pad,
  publicActions,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { Watt402Error } from "#payment/watt402-error";
import { tokenAbi } from "./abi.ts";
import type { Anvil, DevelopmentAccount } from "./anvil.ts";
import { type ArtifactName, loadArtifact } from "./artifact.ts";

/** Fixed by the x402 SDK on every chain. */
export const BATCH_SETTLEMENT_ADDRESS: Address = "0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003";
export const DEPOSIT_COLLECTOR_ADDRESS: Address = "0x4020806089470a89826cB9fB1f4059150b550004";
export const PERMIT2_DEPOSIT_COLLECTOR_ADDRESS: Address = "0x4020425FAf3B746C082C2f942b4E5159887B0005";
export const EXACT_PERMIT2_PROXY_ADDRESS: Address = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001";
export const UPTO_PERMIT2_PROXY_ADDRESS: Address = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002";
/** Fixed by custom on every chain. */
export const PERMIT2_ADDRESS: Address = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
export const MULTICALL3_ADDRESS: Address = "0xcA11bde05977b3631167028862bE2a173976CA11";
/** Fixed by us, on development nodes only. */
export const DEVELOPMENT_DOLLAR_ADDRESS: Address = "0xD0114a0000000000000000000000000000000402";
/** EIP-712 domain of the development dollar, as x402 wants it in `extra`. */
export const DEVELOPMENT_DOLLAR_DOMAIN = { name: "USD Coin", version: "2" } as const;

const RPC_TIMEOUT_MS = 10_000;
const RECEIPT_POLL_MS = 20;

/** What x402 needs of a chain, whatever the token. */
type ChainContracts = {
  readonly chainId: number;
  readonly batchSettlement: Address;
  readonly depositCollector: Address;
  readonly multicall3: Address;
};

/** A development chain, with its own dollar (6 decimals). */
export type Contracts = ChainContracts & { readonly token: Address };

/** Places the contracts on a node; one that is there already is left as it is. */
export async function deployContracts(anvil: Anvil): Promise<Contracts> {
  await Promise.all([
    place(anvil, "BatchSettlement", BATCH_SETTLEMENT_ADDRESS),
    place(anvil, "Erc3009DepositCollector", DEPOSIT_COLLECTOR_ADDRESS, [BATCH_SETTLEMENT_ADDRESS]),
    place(anvil, "Permit2DepositCollector", PERMIT2_DEPOSIT_COLLECTOR_ADDRESS, [
      BATCH_SETTLEMENT_ADDRESS,
      PERMIT2_ADDRESS,
    ]),
    place(anvil, "ExactPermit2Proxy", EXACT_PERMIT2_PROXY_ADDRESS, [PERMIT2_ADDRESS]),
    place(anvil, "UptoPermit2Proxy", UPTO_PERMIT2_PROXY_ADDRESS, [PERMIT2_ADDRESS]),
    place(anvil, "Permit2", PERMIT2_ADDRESS),
    place(anvil, "DevelopmentDollar", DEVELOPMENT_DOLLAR_ADDRESS, [minterOf(anvil).address]),
    place(anvil, "Multicall3", MULTICALL3_ADDRESS),
  ]);
  return { ...chainContracts(anvil.chainId), token: DEVELOPMENT_DOLLAR_ADDRESS };
}

/**
 * Makes development dollars and waits until they are there. The node's last account is the minter and serves nothing
 * else: its transactions would race for nonces with those of another user.
 */
export async function mint(anvil: Anvil, to: Address, amountAtomic: bigint): Promise<void> {
  const account = privateKeyToAccount(minterOf(anvil).privateKey);
  const transport = http(anvil.rpcUrl, { timeout: RPC_TIMEOUT_MS });
  const hash = await createWalletClient({ account, transport }).writeContract({
    chain: null,
    address: DEVELOPMENT_DOLLAR_ADDRESS,
    abi: tokenAbi,
    functionName: "mint",
    args: [to, amountAtomic],
  });
  const receipt = await createPublicClient({
    transport,
    pollingInterval: RECEIPT_POLL_MS,
  }).waitForTransactionReceipt({
    hash,
  });
  if (receipt.status !== "success")
    throw new Watt402Error("reverted", `mint of ${amountAtomic} to ${to} was reverted: ${hash}`);
}

/**
 * Looks at a chain that runs elsewhere. Throws one line that says what to do when the URL does not answer, when it is
 * another chain than expected, or when x402's contracts are not on it.
 */
export async function connectChain(rpcUrl: string, expectedChainId?: number): Promise<ChainContracts> {
  const transport = http(rpcUrl, { timeout: RPC_TIMEOUT_MS, retryCount: 0 });
  const client = createPublicClient({ transport });
  // The rest of a node's URL is often a key.
  const node = URL.canParse(rpcUrl) ? new URL(rpcUrl).origin : rpcUrl;
  const chainId = await client.getChainId().catch((cause: Error) => {
    const why = "details" in cause ? cause.details : cause.message;
    throw new Watt402Error(
      "unreachable",
      `chain ${node}: no answer to eth_chainId (${why}); is the node running there?`,
      {
        cause,
      },
    );
  });
  if (expectedChainId !== undefined && chainId !== expectedChainId) {
    throw new Watt402Error(
      "wrong-chain",
      `chain ${node}: expected chain id ${expectedChainId}, found ${chainId}; correct the URL or the network`,
    );
  }
  const contracts = chainContracts(chainId);
  for (const name of ["batchSettlement", "depositCollector", "multicall3"] as const) {
    const code = await client.getCode({ address: contracts[name] });
    if (code === undefined) {
      throw new Watt402Error(
        "not-found",
        `chain ${node}: no code at ${contracts[name]} (${name}) on chain ${chainId}; ` +
          "use a chain that x402 is deployed on, or leave --rpc out for a development node",
      );
    }
  }
  return contracts;
}

function chainContracts(chainId: number): ChainContracts {
  return {
    chainId,
    batchSettlement: BATCH_SETTLEMENT_ADDRESS,
    depositCollector: DEPOSIT_COLLECTOR_ADDRESS,
    multicall3: MULTICALL3_ADDRESS,
  };
}

async function place(
  anvil: Anvil,
  name: ArtifactName,
  address: Address,
  constructorArguments: readonly Address[] = [],
): Promise<void> {
  const transport = http(anvil.rpcUrl, { timeout: RPC_TIMEOUT_MS });
  const client = createTestClient({ mode: "anvil", transport }).extend(publicActions);
  if ((await client.getCode({ address })) !== undefined) return;
  const { bytecode } = await loadArtifact(name);
  const words = constructorArguments.map((argument) => pad(argument));
  await client.setCode({ address, bytecode: concatHex([bytecode, ...words]) });
  const { data: runtimeCode } = await client.call({ to: address });
  if (runtimeCode === undefined)
    throw new Watt402Error("reverted", `contract ${name}: its constructor returned no code`);
  await client.setCode({ address, bytecode: runtimeCode });
}

function minterOf(anvil: Anvil): DevelopmentAccount {
  return anvil.accounts.at(-1) as DevelopmentAccount;
}
