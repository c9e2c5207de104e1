/**
 * The seller's chain port on a real EVM node.
 *
 * Promise: claims and settlements go through the SDK's channel manager, so every x402 facilitator accepts them; reads
 * are batched by multicall.
 */

import type { FacilitatorClient } from "@x402/core/server";
import type { Network } from "@x402/core/types";
import type { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { type Address, getAbiItem, type Hex, isAddressEqual, type PublicClient, parseEventLogs } from "viem";
import { batchSettlementAbi } from "#simulator/chain/abi";
import { BATCH_SETTLEMENT_ADDRESS } from "#simulator/chain/deploy";
import type {
  Chain,
  ChannelOnChain,
  ClaimEntry,
  ClaimOutcome,
  OneTimeAuthorization,
  PaymentOnChain,
} from "../ports.ts";
import { BLOCKS_PER_LOG_READ, PaymentSearch } from "./payment-search.ts";

const SETTLEMENT = { address: BATCH_SETTLEMENT_ADDRESS, abi: batchSettlementAbi } as const;
/** Channels read in one eth_call (three views each). */
const CHANNELS_PER_READ = 200;

interface EvmChainOptions {
  readonly client: PublicClient;
  readonly facilitator: FacilitatorClient;
  readonly scheme: BatchSettlementEvmScheme;
  readonly network: Network;
  readonly token: Address;
  readonly receiver: Address;
}

export class EvmChain implements Chain {
  readonly #client: PublicClient;
  readonly #token: Address;
  readonly #receiver: Address;
  readonly #manager: ReturnType<BatchSettlementEvmScheme["createChannelManager"]>;
  readonly #search: PaymentSearch;

  constructor({ client, facilitator, scheme, network, token, receiver }: EvmChainOptions) {
    this.#client = client;
    this.#token = token;
    this.#receiver = receiver;
    this.#manager = scheme.createChannelManager(facilitator, network, token);
    this.#search = new PaymentSearch(client, token, receiver);
  }

  async gasUsed(transaction: string): Promise<number> {
    const receipt = await this.#client.getTransactionReceipt({ hash: transaction as Hex });
    return Number(receipt.gasUsed);
  }

  latestBlock(): Promise<bigint> {
    return this.#client.getBlockNumber({ cacheTime: 0 });
  }

  async readChannels(channelIds: readonly string[]): Promise<Map<string, ChannelOnChain>> {
    const states = new Map<string, ChannelOnChain>();
    for (let start = 0; start < channelIds.length; start += CHANNELS_PER_READ) {
      const ids = channelIds.slice(start, start + CHANNELS_PER_READ);
      const results = await this.#client.multicall({
        allowFailure: false,
        batchSize: 0,
        contracts: ids.flatMap((id) => [
          { ...SETTLEMENT, functionName: "channels", args: [id as Hex] } as const,
          { ...SETTLEMENT, functionName: "pendingWithdrawals", args: [id as Hex] } as const,
          { ...SETTLEMENT, functionName: "refundNonce", args: [id as Hex] } as const,
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
  }

  async withdrawalsInitiated(from: bigint, to: bigint): Promise<string[]> {
    const channelIds: string[] = [];
    for (let start = from; start <= to; start += BLOCKS_PER_LOG_READ) {
      const end = start + BLOCKS_PER_LOG_READ - 1n;
      const logs = await this.#client.getLogs({
        address: BATCH_SETTLEMENT_ADDRESS,
        event: getAbiItem({ abi: batchSettlementAbi, name: "WithdrawInitiated" }),
        fromBlock: start,
        toBlock: end < to ? end : to,
      });
      for (const log of logs) if (log.args.channelId !== undefined) channelIds.push(log.args.channelId);
    }
    return channelIds;
  }

  async claim(entries: readonly ClaimEntry[]): Promise<ClaimOutcome> {
    try {
      const [result] = await this.#manager.claim({
        maxClaimsPerBatch: entries.length,
        selectClaimChannels: () => entries.map(claimed),
      });
      if (result === undefined) return { kind: "refused", reason: "nothing to claim on these channels" };
      return {
        kind: "claimed",
        transaction: result.transaction,
        gas: await this.gasUsed(result.transaction),
      };
    } catch (error) {
      return await refusal(this.#client, error as Error);
    }
  }

  async unsettledAtomic(): Promise<bigint> {
    const [totalClaimed, totalSettled] = await this.#client.readContract({
      ...SETTLEMENT,
      functionName: "receivers",
      args: [this.#receiver, this.#token],
    });
    return totalClaimed - totalSettled;
  }

  async settle(): ReturnType<Chain["settle"]> {
    const { transaction } = await this.#manager.settle();
    const receipt = await this.#client.getTransactionReceipt({ hash: transaction as Hex });
    const logs = parseEventLogs({ abi: batchSettlementAbi, eventName: "Settled", logs: receipt.logs });
    const amountAtomic = logs
      .filter(
        (log) =>
          isAddressEqual(log.args.receiver, this.#receiver) && isAddressEqual(log.args.token, this.#token),
      )
      .reduce((sum, log) => sum + log.args.amount, 0n);
    return { transaction, gas: Number(receipt.gasUsed), amountAtomic: Number(amountAtomic) };
  }

  authorizationUsed(authorization: OneTimeAuthorization): Promise<boolean> {
    return this.#search.isUsed(authorization);
  }

  paymentByAuthorization(
    authorization: OneTimeAuthorization,
    signature: string,
    fits: (amountAtomic: bigint) => boolean,
  ): Promise<PaymentOnChain | undefined> {
    return this.#search.payment(authorization, signature, fits);
  }
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
