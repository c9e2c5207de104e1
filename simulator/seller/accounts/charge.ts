// One voucher charged: what becomes of its account and channel, what its buyer is answered, and the same in 189
// bytes, as a journal keeps it. Nothing here knows a database, a socket or a clock.

import type { Channel, SettleResponse, StoredAnswer } from "../ports.ts";
import type { Quote } from "../sale/tariff.ts";
import type { Account } from "./accounts.ts";

/** What was known of the channel on the chain when the voucher was charged. */
type OnChainThen = Pick<Channel, "balance" | "totalClaimed" | "withdrawRequestedAt" | "refundNonce">;

export interface Charge {
  /** after it */
  readonly account: Account;
  /** after it */
  readonly channel: Channel;
  readonly quote: Quote;
  /** atomic units, this charge alone */
  readonly amountAtomic: number;
  readonly onChain: OnChainThen;
}

/** The 200's body and receipt, as the official scheme words it. */
export function storedAnswer(charge: Charge, network: SettleResponse["network"]): StoredAnswer {
  const { account, channel, quote, amountAtomic, onChain } = charge;
  return {
    answer: {
      account: account.account,
      charged: account.charged,
      granted: account.granted,
      pricePerMillionUnits: quote.pricePerMillionUnits,
      validUntilSeconds: quote.validUntilSeconds,
    },
    signature: channel.signature.toLowerCase(),
    receipt: {
      success: true,
      payer: channel.channelConfig.payer.toLowerCase(),
      transaction: "",
      network,
      amount: "",
      extra: {
        channelState: {
          channelId: channel.channelId,
          balance: onChain.balance,
          totalClaimed: onChain.totalClaimed,
          withdrawRequestedAt: onChain.withdrawRequestedAt,
          refundNonce: String(onChain.refundNonce),
          chargedCumulativeAmount: channel.chargedCumulativeAmount,
        },
        chargedAmount: String(amountAtomic),
      },
    },
  };
}

/** Bytes of one charge: id 32, ten counters of 6, two amounts of 16, signature 65. */
export const CHARGE_BYTES = 32 + 10 * 6 + 2 * 16 + 65;

const COUNTERS_AT = 32;
const AMOUNTS_AT = COUNTERS_AT + 10 * 6;
const SIGNATURE_AT = AMOUNTS_AT + 2 * 16;

/** Integers are big-endian; counters end at 2^48 - 1, amounts at 2^128 - 1. */
export function writeCharge(bytes: Buffer, at: number, charge: Charge): void {
  const { account, channel, quote, amountAtomic, onChain } = charge;
  bytes.write(account.account.slice(2), at, "hex");
  const counters = [
    account.charged,
    account.granted,
    account.remainderMicroAtomic,
    account.purchases,
    quote.pricePerMillionUnits,
    quote.validUntilSeconds,
    amountAtomic,
    channel.lastRequestTimestamp,
    onChain.withdrawRequestedAt,
    onChain.refundNonce,
  ];
  for (let index = 0; index < counters.length; index += 1) {
    bytes.writeUIntBE(counters[index]!, at + COUNTERS_AT + 6 * index, 6);
  }
  writeAmount(bytes, at + AMOUNTS_AT, onChain.balance);
  writeAmount(bytes, at + AMOUNTS_AT + 16, onChain.totalClaimed);
  bytes.write(channel.signature.slice(2), at + SIGNATURE_AT, "hex");
}

/** The channel a written charge is of: 0x and 64 hex digits. */
export function channelIdAt(bytes: Buffer, at: number): string {
  return `0x${bytes.toString("hex", at, at + 32)}`;
}

/** The account's cumulative figure after a written charge; 0 where none is written. */
export function chargedAt(bytes: Buffer, at: number): number {
  return bytes.readUIntBE(at + COUNTERS_AT, 6);
}

/** @param before the account and channel that the charge was made on, or any later state of theirs */
export function readCharge(
  bytes: Buffer,
  at: number,
  before: { readonly account: Account; readonly channel: Channel },
): Charge {
  const counter = (index: number) => bytes.readUIntBE(at + COUNTERS_AT + 6 * index, 6);
  const charged = String(counter(0));
  return {
    account: {
      ...before.account,
      charged: counter(0),
      granted: counter(1),
      remainderMicroAtomic: counter(2),
      purchases: counter(3),
    },
    channel: {
      ...before.channel,
      chargedCumulativeAmount: charged,
      signedMaxClaimable: charged,
      signature: `0x${bytes.toString("hex", at + SIGNATURE_AT, at + CHARGE_BYTES)}`,
      lastRequestTimestamp: counter(7),
    },
    quote: { pricePerMillionUnits: counter(4), validUntilSeconds: counter(5) },
    amountAtomic: counter(6),
    onChain: {
      withdrawRequestedAt: counter(8),
      refundNonce: counter(9),
      balance: readAmount(bytes, at + AMOUNTS_AT),
      totalClaimed: readAmount(bytes, at + AMOUNTS_AT + 16),
    },
  };
}

function writeAmount(bytes: Buffer, at: number, decimal: string): void {
  const amount = BigInt(decimal);
  bytes.writeBigUInt64BE(amount >> 64n, at);
  bytes.writeBigUInt64BE(amount & 0xffff_ffff_ffff_ffffn, at + 8);
}

function readAmount(bytes: Buffer, at: number): string {
  return ((bytes.readBigUInt64BE(at) << 64n) | bytes.readBigUInt64BE(at + 8)).toString();
}
