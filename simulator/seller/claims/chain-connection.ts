/**
 * The seller's connections to its chain: for reads, for transactions, for the watch over the node.
 *
 * Promise: connected means that the chain is the expected one and that the token is an EIP-3009 token on it.
 */
import {
  type Address,
  createPublicClient,
  createWalletClient,
  defineChain,
  type Hex,
  http,
  type PublicClient,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { Watt402Error } from "#payment/watt402-error";
import { tokenAbi } from "#simulator/chain/abi";
import { connectChain, MULTICALL3_ADDRESS } from "#simulator/chain/deploy";
import { ChainWatch, LOOK_TIMEOUT_MS } from "./chain-watch.ts";
import type { Wallet } from "./wallet.ts";

const RECEIPT_POLL_MS = 20;
const RPC_TIMEOUT_MS = 10_000;
/** A voucher whose channel has to be read anew waits for it. */
const RPC_RETRIES = 1;

interface ChainConnectionOptions {
  readonly rpcUrl: string;
  readonly expectedChainId: number | undefined;
  readonly token: Address;
  /** Pays the gas. */
  readonly facilitatorKey: Hex;
  readonly log: (line: string) => void;
}

export interface ChainConnection {
  readonly chainId: number;
  readonly network: `eip155:${number}`;
  readonly client: PublicClient;
  readonly wallet: Wallet;
  readonly watch: ChainWatch;
  readonly tokenName: string;
  readonly tokenVersion: string;
}

export async function openChainConnection(options: ChainConnectionOptions): Promise<ChainConnection> {
  const { rpcUrl, token, log } = options;
  const { chainId } = await connectChain(rpcUrl, options.expectedChainId);
  const network = `eip155:${chainId}` as const;
  const connection = {
    chain: defineChain({
      id: chainId,
      name: network,
      nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
      rpcUrls: { default: { http: [rpcUrl] } },
      contracts: { multicall3: { address: MULTICALL3_ADDRESS } },
    }),
    transport: http(rpcUrl, { timeout: RPC_TIMEOUT_MS, retryCount: RPC_RETRIES }),
    pollingInterval: RECEIPT_POLL_MS,
  };
  const client: PublicClient = createPublicClient(connection);
  const watched = createPublicClient({
    transport: http(rpcUrl, { timeout: LOOK_TIMEOUT_MS, retryCount: 0 }),
  });
  const watch = new ChainWatch({
    rpcUrl,
    ask: () => watched.getBlockNumber({ cacheTime: 0 }),
    nowMs: () => performance.now(),
    log,
  });
  const { name: tokenName, version: tokenVersion } = await describeToken(client, token);
  const account = privateKeyToAccount(options.facilitatorKey);
  const wallet = createWalletClient({ ...connection, account });
  return { chainId, network, client, wallet, watch, tokenName, tokenVersion };
}

async function describeToken(
  client: PublicClient,
  token: Address,
): Promise<{ name: string; version: string }> {
  const code = await client.getCode({ address: token });
  if (code === undefined)
    throw new Watt402Error("not-found", `token ${token}: expected a contract on this chain, found no code`);
  try {
    const [name, version] = await Promise.all([
      client.readContract({ address: token, abi: tokenAbi, functionName: "name" }),
      client.readContract({ address: token, abi: tokenAbi, functionName: "version" }),
    ]);
    return { name, version };
  } catch {
    throw new Watt402Error(
      "not-found",
      `token ${token}: expected an EIP-3009 token with name() and version(), found neither`,
    );
  }
}
