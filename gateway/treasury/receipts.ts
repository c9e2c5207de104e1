/**
 * What wallets paid by EIP-3009 or Permit2, as the chain's own events record it.
 *
 * Promise: every transfer that the node still has events of is found, each with the nonce that was used for it; Permit2
 * writes no event of its nonces, so there it is looked for in the transaction's data.
 */
import { getAbiItem, type Hex, type PublicClient, parseAbi } from "viem";
import type { EvmConnection } from "./evm-client.ts";

const TOKEN_ABI = parseAbi([
  "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
]);

/** Blocks asked for in one eth_getLogs, and in all. */
const BLOCKS_PER_LOG_READ = 5_000n;
const LOOK_BACK_BLOCKS = 50_000n;

interface PaidTransfer {
  /** 0x and 64 hex digits. */
  readonly nonce: string;
  readonly amountAtomic: number;
  readonly transaction: string;
}

export interface Receipts {
  /**
   * Newest first; `reachesBack`: to the chain's first block, so nothing older is left out. Rejects without a node.
   * @param permitNonces those that may have been used with Permit2
   */
  transfers(
    token: string,
    from: string,
    payTo: string,
    permitNonces?: ReadonlySet<string>,
  ): Promise<{ readonly transfers: readonly PaidTransfer[]; readonly reachesBack: boolean }>;
}

export function receiptsOn(connection: EvmConnection): Receipts {
  return {
    async transfers(token, from, payTo, permitNonces = new Set()) {
      const { reader } = await connection.verified();
      const latest = await reader.getBlockNumber({ cacheTime: 0 });
      const oldest = latest > LOOK_BACK_BLOCKS ? latest - LOOK_BACK_BLOCKS : 0n;
      const found: PaidTransfer[] = [];
      for (let end = latest; end >= oldest; end -= BLOCKS_PER_LOG_READ) {
        const start = end - BLOCKS_PER_LOG_READ + 1n;
        const range = { fromBlock: start > oldest ? start : oldest, toBlock: end };
        const [used, moved] = await Promise.all([
          reader.getLogs({
            address: token as Hex,
            event: getAbiItem({ abi: TOKEN_ABI, name: "AuthorizationUsed" }),
            args: { authorizer: from as Hex },
            ...range,
          }),
          reader.getLogs({
            address: token as Hex,
            event: getAbiItem({ abi: TOKEN_ABI, name: "Transfer" }),
            args: { from: from as Hex, to: payTo as Hex },
            ...range,
          }),
        ]);
        for (const { transactionHash, args } of moved.reverse()) {
          const authorized = used.find((log) => log.transactionHash === transactionHash)?.args.nonce;
          const nonce = authorized ?? (await permitIn(reader, transactionHash, permitNonces));
          if (nonce === undefined) continue;
          found.push({ nonce, amountAtomic: Number(args.value), transaction: transactionHash });
        }
      }
      return { transfers: found, reachesBack: oldest === 0n };
    },
  };
}

/** Words of data are 32 bytes apart, behind four for each call that they are in. */
const SELECTOR_DIGITS = 8;
const WORD_DIGITS = 64;

async function permitIn(
  reader: PublicClient,
  hash: Hex,
  nonces: ReadonlySet<string>,
): Promise<string | undefined> {
  if (nonces.size === 0) return undefined;
  const { input } = await reader.getTransaction({ hash });
  for (let at = 2 + SELECTOR_DIGITS; at + WORD_DIGITS <= input.length; at += SELECTOR_DIGITS) {
    const word = `0x${input.slice(at, at + WORD_DIGITS)}`;
    if (nonces.has(word)) return word;
  }
  return undefined;
}
