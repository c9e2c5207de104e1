/**
 * What the chain itself says about a run: events and balances, nothing that a program of ours remembers.
 *
 * Promise: every figure is a sum over the chain's own logs since the run began, or a balance read at its end.
 */
import { createPublicClient, type Hex, http, type PublicClient, parseAbiItem } from "viem";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { tokenAbi } from "../../chain/abi.ts";

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

/** Channels or devices per request, for the same reason. */
const TOPICS_AT_ONCE = 100;

/** 0x and 64 hex digits; a device's address is shorter. */
const CHANNEL_ID_LENGTH = 66;

interface Blocks {
  readonly fromBlock: bigint;
  readonly toBlock: bigint;
}

interface Sums {
  readonly paidBy: Map<string, bigint>;
  readonly depositedBy: Map<string, bigint>;
  settled: bigint;
  refunded: bigint;
}

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
    const [block, sellerBalance] = await Promise.all([
      this.client.getBlockNumber({ cacheTime: 0 }),
      this.balance(),
    ]);
    return { fromBlock: block + 1n, sellerBalance };
  }

  /** @param accountIds of the run's lights: channel ids, and for exact the devices' addresses */
  async read(since: ChainMark, accountIds: readonly string[]): Promise<ChainTruth> {
    const sums: Sums = { paidBy: new Map(), depositedBy: new Map(), settled: 0n, refunded: 0n };
    const channels = accountIds.filter((id) => id.length === CHANNEL_ID_LENGTH) as Hex[];
    const devices = accountIds.filter((id) => id.length !== CHANNEL_ID_LENGTH) as Hex[];
    const end = await this.client.getBlockNumber({ cacheTime: 0 });
    for (let from = since.fromBlock; from <= end; from += BLOCKS_AT_ONCE) {
      const to = from + BLOCKS_AT_ONCE - 1n;
      const blocks = { fromBlock: from, toBlock: to < end ? to : end };
      await this.readSettlements(blocks, sums);
      for (const channelId of portions(channels)) await this.readChannels(blocks, channelId, sums);
      for (const device of portions(devices)) await this.readTransfers(blocks, device, sums);
    }
    return {
      ...sums,
      deposited: sum(sums.depositedBy),
      claimed: sum(sums.paidBy),
      sellerBalance: (await this.balance()) - since.sellerBalance,
    };
  }

  private async readSettlements(blocks: Blocks, sums: Sums): Promise<void> {
    const args = { receiver: this.seller, token: this.token };
    const address = BATCH_SETTLEMENT_ADDRESS;
    for (const log of await this.client.getLogs({ address, event: SETTLED, args, ...blocks })) {
      sums.settled += log.args.amount!;
    }
  }

  private async readChannels(blocks: Blocks, channelId: Hex[], sums: Sums): Promise<void> {
    const escrow = { address: BATCH_SETTLEMENT_ADDRESS, args: { channelId }, ...blocks };
    for (const { args } of await this.client.getLogs({ ...escrow, event: DEPOSITED })) {
      add(sums.depositedBy, args.channelId!, args.amount!);
    }
    for (const { args } of await this.client.getLogs({ ...escrow, event: CLAIMED })) {
      add(sums.paidBy, args.channelId!, args.claimAmount!);
    }
    for (const { args } of await this.client.getLogs({ ...escrow, event: REFUNDED })) {
      sums.refunded += args.amount!;
    }
  }

  /** What devices were funded with, and what they paid by transfer. */
  private async readTransfers(blocks: Blocks, device: Hex[], sums: Sums): Promise<void> {
    const transfers = { address: this.token, event: TRANSFER, ...blocks };
    for (const { args } of await this.client.getLogs({ ...transfers, args: { to: device } })) {
      add(sums.depositedBy, args.to!, args.value!);
    }
    for (const { args } of await this.client.getLogs({
      ...transfers,
      args: { from: device, to: this.seller },
    })) {
      add(sums.paidBy, args.from!, args.value!);
      // An exact payment is claimed and settled by the same transfer.
      sums.settled += args.value!;
    }
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

function portions(ids: readonly Hex[]): Hex[][] {
  const count = Math.ceil(ids.length / TOPICS_AT_ONCE);
  return Array.from({ length: count }, (_, index) =>
    ids.slice(index * TOPICS_AT_ONCE, (index + 1) * TOPICS_AT_ONCE),
  );
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
