// The seller's chain port on a real EVM node: reads by multicall, claims and settlements through the SDK's
// channel manager, so that what is sent is what any x402 facilitator accepts.

import type { FacilitatorClient } from "@x402/core/server";
import type { Network } from "@x402/core/types";
import type { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { type Address, getAbiItem, type Hex, isAddressEqual, type PublicClient, parseEventLogs } from "viem";
import { batchSettlementAbi, tokenAbi } from "#simulator/chain/abi";
import { BATCH_SETTLEMENT_ADDRESS } from "#simulator/chain/deploy";
import type { Chain, ChannelOnChain, ClaimEntry, ClaimOutcome } from "../ports.ts";

/** Channels read in one eth_call (three views each). */
const CHANNELS_PER_READ = 200;
/** Blocks asked for in one eth_getLogs; public nodes refuse much more. */
export const BLOCKS_PER_LOG_READ = 5_000n;
/** How far back a payment is looked for whose settlement was interrupted. */
const PAYMENT_LOOK_BACK_BLOCKS = 20_000n;

export interface EvmChainOptions {
  readonly client: PublicClient;
  readonly facilitator: FacilitatorClient;
  readonly scheme: BatchSettlementEvmScheme;
  readonly network: Network;
  readonly token: Address;
  readonly receiver: Address;
}

export function evmChain(options: EvmChainOptions): Chain {
  const { client, token, receiver } = options;
  const manager = options.scheme.createChannelManager(options.facilitator, options.network, token);
  const settlement = { address: BATCH_SETTLEMENT_ADDRESS, abi: batchSettlementAbi } as const;

  const gasUsed = async (transaction: string): Promise<number> => {
    const receipt = await client.getTransactionReceipt({ hash: transaction as Hex });
    return Number(receipt.gasUsed);
  };

  return {
    gasUsed,
    latestBlock: () => client.getBlockNumber({ cacheTime: 0 }),

    readChannels: async (channelIds) => {
      const states = new Map<string, ChannelOnChain>();
      for (let start = 0; start < channelIds.length; start += CHANNELS_PER_READ) {
        const ids = channelIds.slice(start, start + CHANNELS_PER_READ);
        const results = await client.multicall({
          allowFailure: false,
          batchSize: 0,
          contracts: ids.flatMap((id) => [
            { ...settlement, functionName: "channels", args: [id as Hex] } as const,
            { ...settlement, functionName: "pendingWithdrawals", args: [id as Hex] } as const,
            { ...settlement, functionName: "refundNonce", args: [id as Hex] } as const,
          ]),
        });
        ids.forEach((id, index) => {
          const [balance, totalClaimed] = results[index * 3] as readonly [bigint, bigint];
          const [, initiatedAt] = results[index * 3 + 1] as readonly [bigint, number];
          const refundNonce = results[index * 3 + 2] as bigint;
          states.set(id, { balance, totalClaimed, withdrawRequestedAt: initiatedAt, refundNonce });
        });
      }
      return states;
    },

    withdrawalsInitiated: async (from, to) => {
      const channelIds: string[] = [];
      for (let start = from; start <= to; start += BLOCKS_PER_LOG_READ) {
        const end = start + BLOCKS_PER_LOG_READ - 1n;
        const logs = await client.getLogs({
          address: BATCH_SETTLEMENT_ADDRESS,
          event: getAbiItem({ abi: batchSettlementAbi, name: "WithdrawInitiated" }),
          fromBlock: start,
          toBlock: end < to ? end : to,
        });
        for (const log of logs) if (log.args.channelId !== undefined) channelIds.push(log.args.channelId);
      }
      return channelIds;
    },

    claim: async (entries) => {
      try {
        const [result] = await manager.claim({
          maxClaimsPerBatch: entries.length,
          selectClaimChannels: () => entries.map(claimed),
        });
        if (result === undefined) return { kind: "refused", reason: "nothing to claim on these channels" };
        return { kind: "claimed", transaction: result.transaction, gas: await gasUsed(result.transaction) };
      } catch (error) {
        return await refusal(client, error as Error);
      }
    },

    unsettledAtomic: async () => {
      const [totalClaimed, totalSettled] = await client.readContract({
        ...settlement,
        functionName: "receivers",
        args: [receiver, token],
      });
      return totalClaimed - totalSettled;
    },

    settle: async () => {
      const { transaction } = await manager.settle();
      const receipt = await client.getTransactionReceipt({ hash: transaction as Hex });
      const logs = parseEventLogs({ abi: batchSettlementAbi, eventName: "Settled", logs: receipt.logs });
      const amountAtomic = logs
        .filter((log) => isAddressEqual(log.args.receiver, receiver) && isAddressEqual(log.args.token, token))
        .reduce((sum, log) => sum + log.args.amount, 0n);
      return { transaction, gas: Number(receipt.gasUsed), amountAtomic: Number(amountAtomic) };
    },

    authorizationUsed: (payer, nonce) =>
      client.readContract({
        address: token,
        abi: tokenAbi,
        functionName: "authorizationState",
        args: [payer as Address, nonce as Hex],
      }),

    paymentByAuthorization: async (payer, nonce, amountAtomic) => {
      const latest = await client.getBlockNumber({ cacheTime: 0 });
      const oldest = latest > PAYMENT_LOOK_BACK_BLOCKS ? latest - PAYMENT_LOOK_BACK_BLOCKS : 0n;
      for (let end = latest; end >= oldest && end >= 0n; end -= BLOCKS_PER_LOG_READ) {
        const start = end - BLOCKS_PER_LOG_READ + 1n;
        const [used] = await client.getLogs({
          address: token,
          event: getAbiItem({ abi: tokenAbi, name: "AuthorizationUsed" }),
          args: { authorizer: payer as Address, nonce: nonce as Hex },
          fromBlock: start > oldest ? start : oldest,
          toBlock: end,
        });
        if (used === undefined) continue;
        const receipt = await client.getTransactionReceipt({ hash: used.transactionHash });
        const transfers = parseEventLogs({ abi: tokenAbi, eventName: "Transfer", logs: receipt.logs });
        const paid = transfers.some(
          (log) =>
            isAddressEqual(log.address, token) &&
            isAddressEqual(log.args.from, payer as Address) &&
            isAddressEqual(log.args.to, receiver) &&
            log.args.value === amountAtomic,
        );
        return paid ? used.transactionHash : undefined;
      }
      return undefined;
    },
  };
}

/** The manager claims what a channel was charged; here that is what the channel can still pay. */
function claimed(entry: ClaimEntry): ClaimEntry["channel"] {
  return {
    ...entry.channel,
    chargedCumulativeAmount: entry.totalClaimedAtomic.toString(),
    totalClaimed: entry.claimedBeforeAtomic.toString(),
  };
}

async function refusal(client: PublicClient, error: Error): Promise<ClaimOutcome> {
  const reason = (error.message.split("\n")[0] ?? "").slice(0, 300);
  const byContract = /claim_simulation_failed|claim_transaction_failed/.test(reason);
  // A node that does not answer fails the simulation too; only one that answers can have refused.
  const answers = await client.getBlockNumber({ cacheTime: 0 }).then(
    () => true,
    () => false,
  );
  return { kind: byContract && answers ? "refused" : "unavailable", reason };
}
