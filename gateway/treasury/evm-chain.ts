/**
 * What the gateway reads from, and rarely writes to, the chain.
 *
 * Promise: reads are of the latest block; a submitted transfer resolves only when mined and successful.
 */
import {
  createPublicClient,
  createWalletClient,
  defineChain,
  getAbiItem,
  type Hex,
  http,
  isAddressEqual,
  keccak256,
  type LocalAccount,
  nonceManager,
  parseAbi,
  parseEventLogs,
  parseSignature,
  serializeTransaction,
  type TransactionReceipt,
  type Chain as ViemChain,
} from "viem";
import { toAccount } from "viem/accounts";
import { fromHex, toHex } from "#payment/bytes";
import type { Key } from "#payment/key";
import type { Chain } from "../purchase/ports.ts";

const TOKEN_ABI = parseAbi([
  "function balanceOf(address owner) view returns (uint256)",
  "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "function authorizationState(address authorizer, bytes32 nonce) view returns (bool)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
]);

/** Blocks come fast on a development chain and every 2 s on Base: polling faster costs only requests. */
const POLL_MS = 200;
const RPC_TIMEOUT_MS = 10_000;

/** Blocks asked for in one eth_getLogs, and in all: public nodes refuse much more. On Base, eleven hours. */
const BLOCKS_PER_LOG_READ = 5_000n;
const LOOK_BACK_BLOCKS = 20_000n;

/**
 * @param key of the account that pays the gas of wallet funding (exact)
 * Throws when the node does not answer or is of another chain.
 */
export async function connectChain(rpcUrl: string, chainId: number, key: Key): Promise<Chain> {
  const transport = http(rpcUrl, { timeout: RPC_TIMEOUT_MS });
  const chain: ViemChain = defineChain({
    id: chainId,
    name: `eip155:${chainId}`,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
  });
  const reader = createPublicClient({ chain, transport, pollingInterval: POLL_MS });
  const found = await reader.getChainId().catch((error: { shortMessage?: string }) => {
    throw new Error(
      `chain.rpc ${rpcUrl}: expected a node, found none (${error.shortMessage ?? "no answer"})`,
    );
  });
  if (found !== chainId) {
    throw new Error(
      `chain.rpc ${rpcUrl}: expected chain id ${chainId}, found ${found}; check seller.network`,
    );
  }
  const account = accountOf(key);
  const writer = createWalletClient({ account, chain, transport });
  return {
    async tokenBalance(token, owner) {
      const args = [owner as Hex] as const;
      return Number(
        await reader.readContract({ address: token as Hex, abi: TOKEN_ABI, functionName: "balanceOf", args }),
      );
    },
    authorizationUsed(token, from, nonce) {
      const args = [from as Hex, nonce as Hex] as const;
      return reader.readContract({
        address: token as Hex,
        abi: TOKEN_ABI,
        functionName: "authorizationState",
        args,
      });
    },
    async paidByAuthorization(token, from, nonce, payTo) {
      const latest = await reader.getBlockNumber({ cacheTime: 0 });
      const oldest = latest > LOOK_BACK_BLOCKS ? latest - LOOK_BACK_BLOCKS : 0n;
      for (let end = latest; end >= oldest; end -= BLOCKS_PER_LOG_READ) {
        const start = end - BLOCKS_PER_LOG_READ + 1n;
        const [used] = await reader.getLogs({
          address: token as Hex,
          event: getAbiItem({ abi: TOKEN_ABI, name: "AuthorizationUsed" }),
          args: { authorizer: from as Hex, nonce: nonce as Hex },
          fromBlock: start > oldest ? start : oldest,
          toBlock: end,
        });
        if (used)
          return paidIn(await reader.getTransactionReceipt({ hash: used.transactionHash }), from, payTo);
      }
      return null;

      function paidIn({ logs }: TransactionReceipt, payer: string, payee: string): number | null {
        const ours = logs.filter((log) => isAddressEqual(log.address, token as Hex));
        const transfer = parseEventLogs({ abi: TOKEN_ABI, eventName: "Transfer", logs: ours }).find(
          ({ args }) => isAddressEqual(args.from, payer as Hex) && isAddressEqual(args.to, payee as Hex),
        );
        return transfer ? Number(transfer.args.value) : null;
      }
    },
    async submitTransfer(token, authorization, signature) {
      const { from, to, value, validBeforeSeconds, nonce } = authorization;
      const { r, s, v } = parseSignature(toHex(signature));
      const hash = await writer.writeContract({
        address: token as Hex,
        abi: TOKEN_ABI,
        functionName: "transferWithAuthorization",
        args: [from as Hex, to as Hex, BigInt(value), 0n, BigInt(validBeforeSeconds), nonce, Number(v), r, s],
      });
      const receipt = await reader.waitForTransactionReceipt({ hash });
      if (receipt.status !== "success") throw new Error(`transfer ${hash}: expected success, found a revert`);
    },
  };
}

/** A viem account around a key that shows its secret to nobody; it signs transactions and nothing else. */
function accountOf(key: Key): LocalAccount {
  const refuse = () => Promise.reject(new Error("expected a transaction to sign, found a message"));
  return toAccount({
    address: key.address,
    nonceManager,
    signMessage: refuse,
    signTypedData: refuse,
    async signTransaction(transaction, { serializer = serializeTransaction } = {}) {
      const signature = key.sign(fromHex(keccak256(await serializer(transaction))));
      return serializer(transaction, parseSignature(toHex(signature)));
    },
  }) as LocalAccount;
}
