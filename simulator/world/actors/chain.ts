/**
 * A chain with one token and x402's batch settlement: balances, channels, nonces, and blocks that may be
 * slow or come undone.
 *
 * Promise: money is neither made nor lost; a nonce is used once; a claim needs the device's signature and
 * the channel's balance. A reorganised block's transactions come again, in order, some blocks later.
 */
import { type Authorization, receiveDigest, type Token } from "#payment/authorization";
import { DEPOSIT_COLLECTOR_ADDRESS } from "#payment/channel";
import type { Draw } from "../../city/random.ts";
import type { Faults } from "../engine/faults.ts";
import { isDigestSigned, isVoucherSigned, type Signing } from "../engine/signing.ts";
import type { World } from "../engine/world.ts";

const BLOCK_MS = 2000;
const SLOW_BLOCK_MS = 120_000;
/** Depth of a reorganisation, milliseconds of blocks, and how long until its transactions are back. */
const REORG_MS = 8000;
const REORG_BACK_MS = 12_000;

interface ChannelOnLedger {
  balance: number;
  claimed: number;
  /** Unix seconds; 0 when the payer did not ask to withdraw. */
  withdrawRequestedAt: number;
}

/** A transaction: what it does, or why it reverts. Its undoing is what a reorganisation does to it. */
type Apply = () => { readonly undo: () => void } | { readonly reverts: string };

export type Receipt = { readonly hash: string } | { readonly reverts: string };

export class ChainModel {
  readonly balances = new Map<string, number>();
  readonly channels = new Map<string, ChannelOnLedger>();
  readonly withdrawals: { readonly block: bigint; readonly channelId: string }[] = [];
  /** Of the one receiver of this world, atomic units. */
  claimed = 0;
  settled = 0;
  /** Into and out of channels by their payers, cumulative, atomic units. */
  deposited = 0;
  refunded = 0;
  private readonly usedNonces = new Set<string>();
  private mined: { readonly atMs: number; readonly apply: Apply; readonly undo: () => void }[] = [];
  private transactions = 0;
  private readonly world: World;
  private readonly faults: Faults;
  private readonly random: Draw;
  private readonly signing: Signing;
  private readonly epochSeconds: number;
  readonly receiver: string;

  constructor(parts: {
    readonly world: World;
    readonly faults: Faults;
    readonly signing: Signing;
    readonly epochSeconds: number;
    readonly receiver: string;
  }) {
    this.world = parts.world;
    this.faults = parts.faults;
    this.random = parts.world.stream("chain");
    this.signing = parts.signing;
    this.epochSeconds = parts.epochSeconds;
    this.receiver = parts.receiver;
  }

  get block(): bigint {
    return BigInt(Math.floor(this.world.nowMs / BLOCK_MS));
  }

  nowSeconds(): number {
    return Math.floor(this.epochSeconds + this.world.nowMs / 1000);
  }

  /** Throws when the node does not answer. */
  ask(): void {
    if (this.faults.strikes("chain-silent", 0.1)) throw new Error("the node does not answer");
  }

  isNonceUsed(owner: string, nonce: string): boolean {
    return this.usedNonces.has(`${owner} ${nonce}`);
  }

  /** All the token there is, atomic units: constant. */
  supply(): number {
    let sum = this.claimed - this.settled;
    for (const balance of this.balances.values()) sum += balance;
    for (const { balance, claimed } of this.channels.values()) sum += balance - claimed;
    return sum;
  }

  mint(owner: string, amountAtomic: number): void {
    this.balances.set(owner, (this.balances.get(owner) ?? 0) + amountAtomic);
  }

  /** Calls back when mined, with what came of it. */
  submit(apply: Apply, done: (receipt: Receipt) => void): void {
    const slow = this.faults.strikes("slow-block", 0.15);
    const delayMs = (slow ? SLOW_BLOCK_MS : BLOCK_MS) * (0.3 + this.random());
    this.world.after(delayMs, () => {
      const applied = apply();
      if ("reverts" in applied) {
        done(applied);
        return;
      }
      this.mined = this.mined.filter(({ atMs }) => atMs > this.world.nowMs - REORG_MS);
      this.mined.push({ atMs: this.world.nowMs, apply, undo: applied.undo });
      this.transactions++;
      done({ hash: `0x${this.transactions.toString(16).padStart(64, "0")}` });
    });
  }

  /** The latest blocks come undone, and their transactions come again later. */
  reorganise(): void {
    const undone = this.mined.filter(({ atMs }) => atMs > this.world.nowMs - REORG_MS);
    if (undone.length === 0) return;
    this.faults.fired("reorg");
    this.mined = [];
    for (const { undo } of undone.toReversed()) undo();
    this.world.note(`chain undoes ${undone.length} transactions`);
    this.world.after(REORG_BACK_MS, () => {
      for (const { apply } of undone) apply();
    });
  }

  /** EIP-3009 into a channel, as the collector does it. */
  deposit(channelId: string, token: Token, authorization: Authorization, signature: string): Apply {
    return () => {
      const { from, value, nonce, validBeforeSeconds, to } = authorization;
      if (to !== DEPOSIT_COLLECTOR_ADDRESS) return { reverts: "payee" };
      if (this.isNonceUsed(from, nonce)) return { reverts: "nonce used" };
      if (validBeforeSeconds <= this.nowSeconds()) return { reverts: "valid_before" };
      if ((this.balances.get(from) ?? 0) < value) return { reverts: "insufficient_balance" };
      if (!isDigestSigned(this.signing, from, receiveDigest(token, authorization), signature)) {
        return { reverts: "signature" };
      }
      const channel = this.channelOf(channelId);
      this.usedNonces.add(`${from} ${nonce}`);
      this.mint(from, -value);
      channel.balance += value;
      this.deposited += value;
      return {
        undo: () => {
          this.usedNonces.delete(`${from} ${nonce}`);
          this.mint(from, value);
          channel.balance -= value;
          this.deposited -= value;
        },
      };
    };
  }

  claim(entries: readonly ClaimedVoucher[]): Apply {
    return () => {
      for (const { channelId, device, chainId, maxClaimable, total, signature } of entries) {
        const channel = this.channelOf(channelId);
        if (total > maxClaimable || total > channel.balance) return { reverts: "exceeds" };
        if (!isVoucherSigned(this.signing, device, chainId, channelId, maxClaimable, signature)) {
          return { reverts: "voucher_signature" };
        }
      }
      const undos: (() => void)[] = [];
      for (const { channelId, total } of entries) {
        const channel = this.channelOf(channelId);
        const more = Math.max(0, total - channel.claimed);
        channel.claimed += more;
        this.claimed += more;
        undos.push(() => {
          channel.claimed -= more;
          this.claimed -= more;
        });
      }
      return {
        undo: () => {
          for (const undo of undos.toReversed()) undo();
        },
      };
    };
  }

  settle(onSettled: (amountAtomic: number) => void): Apply {
    return () => {
      const amount = this.claimed - this.settled;
      this.settled += amount;
      this.mint(this.receiver, amount);
      onSettled(amount);
      return {
        undo: () => {
          this.settled -= amount;
          this.mint(this.receiver, -amount);
        },
      };
    };
  }

  /** The payer asks for what is left, and takes it when the delay is over. */
  withdraw(channelId: string, payer: string, delaySeconds: number): void {
    const channel = this.channelOf(channelId);
    if (channel.withdrawRequestedAt !== 0) return;
    channel.withdrawRequestedAt = this.nowSeconds();
    this.withdrawals.push({ block: this.block, channelId });
    this.world.after(delaySeconds * 1000, () => this.takeBack(channelId, payer));
  }

  /** What was not claimed leaves the channel. */
  takeBack(channelId: string, payer: string): void {
    const channel = this.channelOf(channelId);
    const left = channel.balance - channel.claimed;
    channel.balance -= left;
    this.refunded += left;
    this.mint(payer, left);
  }

  channelOf(channelId: string): ChannelOnLedger {
    let channel = this.channels.get(channelId);
    if (channel === undefined) {
      channel = { balance: 0, claimed: 0, withdrawRequestedAt: 0 };
      this.channels.set(channelId, channel);
    }
    return channel;
  }
}

interface ClaimedVoucher {
  readonly channelId: string;
  readonly device: string;
  readonly chainId: number;
  readonly maxClaimable: number;
  /** Cumulative, atomic units. */
  readonly total: number;
  readonly signature: string;
}
