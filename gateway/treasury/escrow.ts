/**
 * The escrow contract of batch-settlement as the payer sees it: what a channel holds, and taking it back.
 *
 * Promise: reads are of the latest block; a transaction resolves when it is mined and successful, else it
 * rejects with the contract's own word.
 */

import {
  BaseError,
  ContractFunctionRevertedError,
  type Hex,
  parseAbi,
  parseEventLogs,
  type TransactionReceipt,
} from "viem";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { Watt402Error } from "#payment/watt402-error";
import type { ChannelConfig } from "#protocol/messages";
import type { EvmConnection } from "./evm-client.ts";

const ESCROW_ABI = parseAbi([
  "struct ChannelConfig { address payer; address payerAuthorizer; address receiver; address receiverAuthorizer; address token; uint40 withdrawDelay; bytes32 salt; }",
  "function initiateWithdraw(ChannelConfig config, uint128 amount)",
  "function finalizeWithdraw(ChannelConfig config)",
  "function channels(bytes32 channelId) view returns (uint128 balance, uint128 totalClaimed)",
  "function pendingWithdrawals(bytes32 channelId) view returns (uint128 amount, uint40 initiatedAt)",
  "event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance)",
  "event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed)",
  "event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount)",
  "event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount)",
  "error InvalidChannel()",
  "error NothingToWithdraw()",
  "error WithdrawAmountExceedsAvailable()",
  "error WithdrawDelayNotElapsed()",
  "error WithdrawalAlreadyPending()",
  "error WithdrawalNotPending()",
]);

const ESCROW = { address: BATCH_SETTLEMENT_ADDRESS as Hex, abi: ESCROW_ABI } as const;

/** Blocks asked for in one eth_getLogs, and in all. */
const BLOCKS_PER_LOG_READ = 5_000n;
const LOOK_BACK_BLOCKS = 50_000n;

/** All amounts in atomic units. */
interface EscrowChannel {
  readonly balance: number;
  readonly totalClaimed: number;
  /** Null when none is pending. */
  readonly withdrawal: { readonly amountAtomic: number; readonly initiatedAtSeconds: number } | null;
}

interface EscrowEvent {
  readonly name: "Deposited" | "Claimed" | "Refunded" | "WithdrawFinalized";
  readonly amountAtomic: number;
  readonly transaction: string;
}

export interface Sent {
  readonly transaction: string;
  readonly amountAtomic: number;
}

export interface Escrow {
  channel(channelId: string): Promise<EscrowChannel>;
  /** Newest first, as far back as the adapter looks (50,000 blocks). */
  events(channelId: string): Promise<readonly EscrowEvent[]>;
  /** Time of the latest block, Unix seconds: what the contract's delay is measured by. */
  nowSeconds(): Promise<number>;
  initiateWithdraw(config: ChannelConfig, amountAtomic: number): Promise<Sent>;
  /** Resolves with what arrived: less than asked for, when the seller claimed meanwhile. */
  finalizeWithdraw(config: ChannelConfig): Promise<Sent>;
}

export function escrowOn(connection: EvmConnection): Escrow {
  async function send(
    functionName: "initiateWithdraw" | "finalizeWithdraw",
    config: ChannelConfig,
    amount: bigint,
  ): Promise<TransactionReceipt> {
    const { reader, writer } = await connection.verified();
    const channel = config as typeof config &
      Record<"payer" | "receiver" | "token" | "salt", Hex> &
      Record<"payerAuthorizer" | "receiverAuthorizer", Hex>;
    const call =
      functionName === "initiateWithdraw"
        ? ({ ...ESCROW, functionName, args: [channel, amount] } as const)
        : ({ ...ESCROW, functionName, args: [channel] } as const);
    try {
      const hash =
        call.functionName === "initiateWithdraw"
          ? await writer.writeContract(call)
          : await writer.writeContract(call);
      const receipt = await reader.waitForTransactionReceipt({ hash });
      if (receipt.status !== "success")
        throw new Watt402Error("reverted", `transaction ${hash} was reverted`);
      return receipt;
    } catch (error) {
      throw new Watt402Error("reverted", `${functionName}: ${reasonOf(error)}`);
    }
  }

  return {
    async channel(channelId) {
      const { reader } = await connection.verified();
      const args = [channelId as Hex] as const;
      const [[balance, totalClaimed], [amount, initiatedAt]] = await Promise.all([
        reader.readContract({ ...ESCROW, functionName: "channels", args }),
        reader.readContract({ ...ESCROW, functionName: "pendingWithdrawals", args }),
      ]);
      const withdrawal =
        initiatedAt === 0 ? null : { amountAtomic: Number(amount), initiatedAtSeconds: initiatedAt };
      return { balance: Number(balance), totalClaimed: Number(totalClaimed), withdrawal };
    },
    async events(channelId) {
      const { reader } = await connection.verified();
      const latest = await reader.getBlockNumber({ cacheTime: 0 });
      const oldest = latest > LOOK_BACK_BLOCKS ? latest - LOOK_BACK_BLOCKS : 0n;
      const found: EscrowEvent[] = [];
      for (let end = latest; end >= oldest; end -= BLOCKS_PER_LOG_READ) {
        const start = end - BLOCKS_PER_LOG_READ + 1n;
        const logs = await reader.getContractEvents({
          ...ESCROW,
          fromBlock: start > oldest ? start : oldest,
          toBlock: end,
        });
        for (const log of parseEventLogs({ abi: ESCROW_ABI, logs }).reverse()) {
          if (log.args.channelId.toLowerCase() !== channelId) continue;
          const amount = log.eventName === "Claimed" ? log.args.claimAmount : log.args.amount;
          found.push({
            name: log.eventName,
            amountAtomic: Number(amount),
            transaction: log.transactionHash,
          });
        }
      }
      return found;
    },
    async nowSeconds() {
      const { reader } = await connection.verified();
      return Number((await reader.getBlock({ blockTag: "latest" })).timestamp);
    },
    async initiateWithdraw(config, amountAtomic) {
      const { transactionHash } = await send("initiateWithdraw", config, BigInt(amountAtomic));
      return { transaction: transactionHash, amountAtomic };
    },
    async finalizeWithdraw(config) {
      const { transactionHash, logs } = await send("finalizeWithdraw", config, 0n);
      const [event] = parseEventLogs({ abi: ESCROW_ABI, eventName: "WithdrawFinalized", logs });
      return { transaction: transactionHash, amountAtomic: Number(event?.args.amount ?? 0n) };
    },
  };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof BaseError)) return error instanceof Error ? error.message : String(error);
  const reverted = error.walk((cause) => cause instanceof ContractFunctionRevertedError);
  const name = reverted instanceof ContractFunctionRevertedError ? reverted.data?.errorName : undefined;
  return name ?? error.shortMessage;
}
