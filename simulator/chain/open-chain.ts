/**
 * The chain a run settles on: a development node of its own, or one that runs elsewhere.
 *
 * Promise: when this resolves, x402's contracts and the token are there, and the treasury holds money.
 */

import { createPublicClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import type { Hex } from "#payment/bytes";
import { Watt402Error } from "#payment/watt402-error";
import { tokenAbi } from "./abi.ts";
import { DEFAULT_CHAIN_ID, startAnvil } from "./anvil.ts";
import { connectChain, DEVELOPMENT_DOLLAR_ADDRESS, deployContracts, mint } from "./deploy.ts";

export interface RunChain {
  readonly rpcUrl: string;
  readonly chainId: number;
  readonly token: Hex;
  /** Keys as 0x and 64 hex digits. */
  readonly treasuryKey: Hex;
  readonly receiverKey: Hex;
  readonly facilitatorKey: Hex;
  /** Of more sellers on the same chain, which send transactions at the same time; none on a chain elsewhere. */
  readonly furtherSellers: readonly SellerKeys[];
  stop(): Promise<void>;
}

/** Who is paid, and who pays the gas of claims. */
export interface SellerKeys {
  readonly receiverKey: Hex;
  readonly facilitatorKey: Hex;
}

export interface OwnKeys extends SellerKeys {
  readonly treasuryKey: Hex;
}

/** Pairs of accounts that a development node funds beside the treasury and the first seller: eight regions and four units. */
const FURTHER_SELLERS = 11;

/** $100,000: no run of the simulator comes near. */
const TREASURY_ATOMIC = 100_000_000_000n;

/** @param chainId of the development node; the public keys are the same on each */
export async function ownChain(chainId = DEFAULT_CHAIN_ID): Promise<RunChain> {
  const anvil = await startAnvil({ chainId });
  try {
    const { token } = await deployContracts(anvil);
    const [treasury, receiver, facilitator, ...others] = anvil.accounts;
    await mint(anvil, treasury!.address, TREASURY_ATOMIC);
    return {
      rpcUrl: anvil.rpcUrl,
      chainId: anvil.chainId,
      token: token.toLowerCase() as Hex,
      treasuryKey: treasury!.privateKey,
      receiverKey: receiver!.privateKey,
      facilitatorKey: facilitator!.privateKey,
      furtherSellers: Array.from({ length: FURTHER_SELLERS }, (_, index) => ({
        receiverKey: others[2 * index]!.privateKey,
        facilitatorKey: others[2 * index + 1]!.privateKey,
      })),
      stop: () => anvil.stop(),
    };
  } catch (error) {
    await anvil.stop();
    throw error;
  }
}

/**
 * A chain by URL. On chain id 31337 the development dollar and the public development keys are assumed;
 * anywhere else token and keys must be given.
 */
export async function chainAt(rpcUrl: string, token: string | null, keys: OwnKeys | null): Promise<RunChain> {
  const { chainId } = await connectChain(rpcUrl);
  if (chainId !== DEFAULT_CHAIN_ID && (keys === null || token === null)) {
    throw new Watt402Error(
      "wrong-chain",
      `chain ${rpcUrl}: chain id ${chainId} is no development node; give --token and the keys of treasury, ` +
        "receiver and facilitator in WATT402_TREASURY_KEY, WATT402_RECEIVER_KEY and WATT402_FACILITATOR_KEY",
    );
  }
  const asset = (token ?? DEVELOPMENT_DOLLAR_ADDRESS).toLowerCase() as Hex;
  const held = keys ?? DEVELOPMENT_KEYS;
  await requireFunds(rpcUrl, asset, held.treasuryKey);
  return { rpcUrl, chainId, token: asset, ...held, furtherSellers: [], stop: async () => {} };
}

/** False when the node says nothing to a question within the limit; a refusal is an answer, too. */
export async function chainAnswers(rpcUrl: string, limitMs: number): Promise<boolean> {
  const signal = AbortSignal.timeout(limitMs);
  const transport = http(rpcUrl, { timeout: limitMs, retryCount: 0, fetchOptions: { signal } });
  await createPublicClient({ transport })
    .getChainId()
    .catch(() => undefined);
  return !signal.aborted;
}

/** Accounts 0 to 2 of the well-known development phrase, as `watt402-simulate chain` funds them. */
const DEVELOPMENT_KEYS: OwnKeys = {
  treasuryKey: "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
  receiverKey: "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
  facilitatorKey: "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
};

async function requireFunds(rpcUrl: string, token: Hex, treasuryKey: Hex): Promise<void> {
  const client = createPublicClient({ transport: http(rpcUrl, { retryCount: 0 }) });
  const { address } = privateKeyToAccount(treasuryKey);
  const held = await client
    .readContract({ address: token, abi: tokenAbi, functionName: "balanceOf", args: [address] })
    .catch(() => null);
  if (held === null)
    throw new Watt402Error(
      "not-found",
      `chain ${rpcUrl}: expected an ERC-20 token at ${token}, found none; check --token`,
    );
  if (held === 0n) {
    throw new Watt402Error(
      "limit-reached",
      `treasury ${address}: expected tokens of ${token}, found a balance of 0; fund it first`,
    );
  }
}

/** Mints the treasury of a development node that others will use by URL. */
export async function fundDevelopmentTreasury(anvil: Parameters<typeof mint>[0]): Promise<void> {
  await mint(anvil, anvil.accounts[0]!.address, TREASURY_ATOMIC);
}
