/**
 * A connection to an EVM node, and a sender of transactions that the treasury signs.
 *
 * Promise: nothing is read or sent before the node was seen to be of the expected chain; a node that is
 * absent at first is waited for, one of another chain never used.
 */

import {
  createPublicClient,
  createWalletClient,
  defineChain,
  type Hex,
  http,
  keccak256,
  type LocalAccount,
  type PublicClient,
  parseSignature,
  serializeTransaction,
  type Transport,
  type Chain as ViemChain,
  type WalletClient,
} from "viem";
import { toAccount } from "viem/accounts";
import { createNonceManager, jsonRpc } from "viem/nonce";
import { fromHex, toHex } from "#payment/bytes";
import { Watt402Error } from "#payment/watt402-error";
import type { Treasury } from "../purchase/ports.ts";

/** Blocks come fast on a development chain and every 2 s on Base: polling faster costs only requests. */
const POLL_MS = 200;
const RPC_TIMEOUT_MS = 10_000;

export interface EvmConnection {
  /** CAIP-2 */
  readonly network: string;
  /** Resolves with the clients once the node is known to be of this chain; rejects when it is not, or absent. */
  verified(): Promise<EvmClients>;
  /** Asks the node anew for its chain; rejects when it is another one, or absent. */
  chainId(): Promise<number>;
}

interface EvmClients {
  readonly reader: PublicClient;
  readonly writer: WalletClient<Transport, ViemChain, LocalAccount>;
}

/** @param member of the configuration that names the node, for messages */
export function connectEvm(
  rpcUrl: string,
  chainId: number,
  treasury: Treasury,
  member = "chain.rpc",
): EvmConnection {
  const transport = http(rpcUrl, { timeout: RPC_TIMEOUT_MS });
  const chain: ViemChain = defineChain({
    id: chainId,
    name: `eip155:${chainId}`,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
  });
  const reader = createPublicClient({ chain, transport, pollingInterval: POLL_MS });
  const writer = createWalletClient({ account: accountOf(treasury), chain, transport });
  let clients: EvmClients | null = null;
  async function checkedChainId(): Promise<number> {
    const found = await reader.getChainId().catch((error: { shortMessage?: string }) => {
      throw new Watt402Error(
        "unreachable",
        `${member} ${rpcUrl}: expected a node, found none (${error.shortMessage ?? "no answer"})`,
      );
    });
    if (found === chainId) return found;
    throw new Watt402Error(
      "wrong-chain",
      `${member} ${rpcUrl}: expected chain id ${chainId}, found ${found}; check seller.network`,
    );
  }
  return {
    network: chain.name,
    chainId: checkedChainId,
    async verified() {
      if (clients === null) {
        await checkedChainId();
        clients = { reader, writer };
      }
      return clients;
    },
  };
}

/** A viem account around the treasury; it signs transactions and nothing else. */
function accountOf(treasury: Treasury): LocalAccount {
  const refuse = () =>
    Promise.reject(new Watt402Error("value-invalid", "expected a transaction to sign, found a message"));
  return toAccount({
    address: treasury.address as Hex,
    // Its own: the process-wide one would go on with the nonces of a node that another gateway of this process used.
    nonceManager: createNonceManager({ source: jsonRpc() }),
    signMessage: refuse,
    signTypedData: refuse,
    async signTransaction(transaction, { serializer = serializeTransaction } = {}) {
      const signature = await treasury.sign(fromHex(keccak256(await serializer(transaction))));
      return serializer(transaction, parseSignature(toHex(signature)));
    },
  }) as LocalAccount;
}
