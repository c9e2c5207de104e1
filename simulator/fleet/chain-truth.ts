/**
 * What the chain itself says about a run: events and balances, nothing that a program of ours remembers.
 *
 * Promise: every figure is a sum over the chain's own logs since the run began, or a balance read at its end.
 */
import { createPublicClient, type Hex, http, type PublicClient, parseAbiItem } from "viem";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { tokenAbi } from "../chain/abi.ts";

/** Sums in atomic units. */
export interface ChainTruth {
  readonly deposited: bigint;
  readonly claimed: bigint;
  readonly settled: bigint;
  readonly refunded: bigint;
  /** What reached the seller's account since the run began. */
  readonly sellerBalance: bigint;
  /** Claimed, or for exact transferred, by channel id or device address. */
  readonly paidBy: ReadonlyMap<string, bigint>;
  readonly depositedBy: ReadonlyMap<string, bigint>;
}

export interface ChainMark {
  readonly fromBlock: bigint;
  readonly sellerBalance: bigint;
}

const DEPOSITED = parseAbiItem(
  "event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance)",
);
const CLAIMED = parseAbiItem(
  "event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed)",
);
const SETTLED = parseAbiItem(
  "event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount)",
);
const REFUNDED = parseAbiItem(
  "event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount)",
);
const TRANSFER = parseAbiItem("event Transfer(address indexed from, address indexed to, uint256 value)");

/** Blocks per request: public nodes refuse more. */
const BLOCKS_AT_ONCE = 5_000n;

export class ChainReader {
  private readonly client: PublicClient;
  private readonly token: Hex;
  private readonly seller: Hex;

  constructor(rpcUrl: string, token: Hex, seller: Hex) {
    this.client = createPublicClient({ transport: http(rpcUrl) });
    this.token = token;
    this.seller = seller;
  }

  /** Where a run begins on the chain. */
  async mark(): Promise<ChainMark> {
    const [block, sellerBalance] = await Promise.all([this.client.getBlockNumber(), this.balance()]);
    return { fromBlock: block + 1n, sellerBalance };
  }

  /** @param devices addresses of the run's devices, lower case; @param channels their channel ids */
  async read(
    since: ChainMark,
    devices: ReadonlySet<string>,
    channels: ReadonlySet<string>,
  ): Promise<ChainTruth> {
    const paidBy = new Map<string, bigint>();
    const depositedBy = new Map<string, bigint>();
    let settled = 0n;
    let refunded = 0n;
    const end = await this.client.getBlockNumber();
    for (let from = since.fromBlock; from <= end; from += BLOCKS_AT_ONCE) {
      const to = from + BLOCKS_AT_ONCE - 1n;
      const range = { fromBlock: from, toBlock: to < end ? to : end };
      const escrow = { address: BATCH_SETTLEMENT_ADDRESS, ...range };
      for (const { args } of await this.client.getLogs({ ...escrow, event: DEPOSITED })) {
        if (channels.has(args.channelId!)) add(depositedBy, args.channelId!, args.amount!);
      }
      for (const { args } of await this.client.getLogs({ ...escrow, event: CLAIMED })) {
        if (channels.has(args.channelId!)) add(paidBy, args.channelId!, args.claimAmount!);
      }
      for (const { args } of await this.client.getLogs({ ...escrow, event: REFUNDED })) {
        if (channels.has(args.channelId!)) refunded += args.amount!;
      }
      const sweeps = { receiver: this.seller, token: this.token };
      for (const { args } of await this.client.getLogs({ ...escrow, event: SETTLED, args: sweeps })) {
        settled += args.amount!;
      }
      const token = { address: this.token, event: TRANSFER, ...range };
      for (const { args } of await this.client.getLogs({ ...token, args: { to: this.seller } })) {
        const from = args.from!.toLowerCase();
        if (!devices.has(from)) continue;
        add(paidBy, from, args.value!);
        // An exact payment is claimed and settled by the same transfer.
        settled += args.value!;
      }
      for (const { args } of await this.client.getLogs(token)) {
        if (devices.has(args.to!.toLowerCase())) add(depositedBy, args.to!.toLowerCase(), args.value!);
      }
    }
    return {
      deposited: sum(depositedBy),
      claimed: sum(paidBy),
      settled,
      refunded,
      sellerBalance: (await this.balance()) - since.sellerBalance,
      paidBy,
      depositedBy,
    };
  }

  private balance(): Promise<bigint> {
    return this.client.readContract({
      address: this.token,
      abi: tokenAbi,
      functionName: "balanceOf",
      args: [this.seller],
    });
  }
}

function add(sums: Map<string, bigint>, key: string, amount: bigint): void {
  const name = key.toLowerCase();
  sums.set(name, (sums.get(name) ?? 0n) + amount);
}

function sum(amounts: ReadonlyMap<string, bigint>): bigint {
  let total = 0n;
  for (const amount of amounts.values()) total += amount;
  return total;
}
