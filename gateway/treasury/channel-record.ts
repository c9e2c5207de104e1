/**
 * What the batch-settlement contract recorded of channels: deposits and claims, each with its time.
 *
 * Promise: all of it or a rejection. A node that has forgotten old blocks would make an honest seller look like one that
 * charged above its deposits, so what is recorded has to add up to what the contract holds now.
 */
import { createPublicClient, type Hex, http, parseAbi, parseEventLogs } from "viem";
import type { ChannelOnChain } from "#market/judge";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { Watt402Error } from "#payment/watt402-error";

const ABI = parseAbi([
  "function channels(bytes32 channelId) view returns (uint128 balance, uint128 totalClaimed)",
  "event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance)",
  "event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed)",
]);

const BLOCKS_PER_READ = 5_000n;
const RPC_TIMEOUT_MS = 10_000;

interface ChainRecords {
  readonly chainId: number;
  of(channelIds: readonly string[]): Promise<readonly ChannelOnChain[]>;
}

/** @param fromBlock no earlier one is asked for: the contract's first, or one before all channels */
export async function readChain(rpcUrl: string, fromBlock: bigint): Promise<ChainRecords> {
  const client = createPublicClient({ transport: http(rpcUrl, { timeout: RPC_TIMEOUT_MS }) });
  const chainId = await client.getChainId().catch((error: { shortMessage?: string }) => {
    const why = error.shortMessage ?? "no answer";
    throw new Watt402Error("unreachable", `--rpc ${rpcUrl}: expected a node, found none (${why})`);
  });
  return {
    chainId,
    async of(channelIds) {
      const wanted = new Set(channelIds);
      const latest = await client.getBlock();
      const records = new Map(
        channelIds.map((channelId) => [channelId, { depositedAtomic: 0, claims: [] as Claim[] }]),
      );
      for (let start = fromBlock; start <= latest.number; start += BLOCKS_PER_READ) {
        const end = start + BLOCKS_PER_READ - 1n;
        const logs = await client.getLogs({
          address: BATCH_SETTLEMENT_ADDRESS,
          fromBlock: start,
          toBlock: end < latest.number ? end : latest.number,
        });
        for (const log of parseEventLogs({ abi: ABI, logs })) {
          const channelId = log.args.channelId.toLowerCase();
          if (!wanted.has(channelId)) continue;
          const record = records.get(channelId)!;
          if (log.eventName === "Deposited") record.depositedAtomic += Number(log.args.amount);
          else {
            const { timestamp } = await client.getBlock({ blockNumber: log.blockNumber! });
            record.claims.push({
              totalAtomic: Number(log.args.newTotalClaimed),
              atSeconds: Number(timestamp),
            });
          }
        }
      }
      const nowSeconds = Number(latest.timestamp);
      return Promise.all(
        [...records].map(async ([channelId, { depositedAtomic, claims }]) => {
          const [balance, claimed] = await client.readContract({
            address: BATCH_SETTLEMENT_ADDRESS,
            abi: ABI,
            functionName: "channels",
            args: [channelId as Hex],
            blockNumber: latest.number,
          });
          const isWhole =
            depositedAtomic >= Number(balance) && (claims.at(-1)?.totalAtomic ?? 0) === Number(claimed);
          if (isWhole) return { channelId, depositedAtomic, claims, nowSeconds };
          throw new Watt402Error(
            "unexpected-answer",
            `--rpc ${rpcUrl}: expected all events of channel ${channelId} since block ${fromBlock}, found deposits of ${depositedAtomic} for a balance of ${balance}; use an archive node, or an earlier --from-block`,
          );
        }),
      );
    },
  };
}

type Claim = ChannelOnChain["claims"][number];
