/**
 * What the seller's store writes to its journal: one entry for each step that is all there or not at all.
 *
 * Promise: entries read back in their order, without those that were refused when they were made, lead to the state
 * they led to when they were written. A refused entry may still lie on the disk (its flush failed half way), so the
 * entries after it name it.
 *
 * An entry: kind 1 | number 6 | count of refused ranges 2 | that many times first 6, last 6 | body. The body of kind 1 is a
 * charge of 189 bytes, that of kind 2 is JSON.
 */
import { parseJson } from "#protocol/nesting";
import type { Channel, SellerTransaction, StoredAnswer } from "../ports.ts";
import type { AccountRecord } from "./account-book.ts";
import { CHARGE_BYTES, type Charge, writeCharge } from "./charge.ts";

/** One row to be written. */
export type StoreWrite =
  | { readonly kind: "record"; readonly record: AccountRecord }
  /** `isCompact`: its bytes say all that it changes of the channel's record. */
  | { readonly kind: "charge"; readonly charge: Charge; readonly isCompact: boolean }
  | {
      readonly kind: "answer";
      readonly account: string;
      readonly reference: string;
      readonly stored: StoredAnswer;
    }
  | { readonly kind: "transaction"; readonly transaction: SellerTransaction };

/** Entries, first and last, that were refused. */
export type Range = readonly [number, number];

interface ReadEntry {
  readonly number: number;
  readonly refused: readonly Range[];
  /** A charge's bytes, or what was written. */
  readonly content: { readonly charge: Buffer } | { readonly writes: readonly StoreWrite[] };
}

const CHARGE = 1;
const JSON_TEXT = 2;
const HEADER_BYTES = 9;
const RANGE_BYTES = 12;
/** 0x and 65 bytes; a contract's wallet may sign longer, and is written as JSON. */
const PLAIN_SIGNATURE_DIGITS = 132;

/** Whether a charge's bytes have room for it: a voucher charged whole, with a signature of the common length. */
export function isPlain({ channel }: Charge): boolean {
  const isWhole = channel.signedMaxClaimable === channel.chargedCumulativeAmount;
  return isWhole && channel.signature.length === PLAIN_SIGNATURE_DIGITS;
}

/** Whether a charge's bytes, read on the record before it, give the record after it. */
export function isCompact(charge: Charge, before: Channel | null): boolean {
  const { channel } = charge;
  return (
    before !== null &&
    isPlain(charge) &&
    before.channelConfig === channel.channelConfig &&
    before.balance === channel.balance &&
    before.totalClaimed === channel.totalClaimed &&
    before.withdrawRequestedAt === channel.withdrawRequestedAt &&
    before.refundNonce === channel.refundNonce &&
    before.onchainSyncedAt === channel.onchainSyncedAt
  );
}

export function entryOf(number: number, refused: readonly Range[], writes: readonly StoreWrite[]): Buffer {
  const [first] = writes;
  const charge = writes.length === 1 && first!.kind === "charge" && first!.isCompact ? first!.charge : null;
  const bodyAt = HEADER_BYTES + RANGE_BYTES * refused.length;
  const text = charge === null ? Buffer.from(JSON.stringify(writes)) : null;
  const entry = Buffer.allocUnsafe(bodyAt + (text?.length ?? CHARGE_BYTES));
  entry.writeUInt8(charge === null ? JSON_TEXT : CHARGE, 0);
  entry.writeUIntBE(number, 1, 6);
  entry.writeUInt16BE(refused.length, 7);
  refused.forEach(([from, to], index) => {
    entry.writeUIntBE(from, HEADER_BYTES + RANGE_BYTES * index, 6);
    entry.writeUIntBE(to, HEADER_BYTES + RANGE_BYTES * index + 6, 6);
  });
  if (charge === null) text!.copy(entry, bodyAt);
  else writeCharge(entry, bodyAt, charge);
  return entry;
}

export function readEntry(entry: Buffer): ReadEntry {
  const count = entry.readUInt16BE(7);
  const refused = Array.from({ length: count }, (_, index): Range => {
    const at = HEADER_BYTES + RANGE_BYTES * index;
    return [entry.readUIntBE(at, 6), entry.readUIntBE(at + 6, 6)];
  });
  const body = entry.subarray(HEADER_BYTES + RANGE_BYTES * count);
  const content =
    entry.readUInt8(0) === CHARGE
      ? { charge: body }
      : { writes: parseJson(body.toString()) as readonly StoreWrite[] };
  return { number: entry.readUIntBE(1, 6), refused, content };
}

/** A plain charge as its bytes: those of the entry that was made of it alone. */
export function chargeBytes(charge: Charge, entry: Buffer | null): Buffer {
  if (entry?.readUInt8(0) === CHARGE) return entry.subarray(entry.length - CHARGE_BYTES);
  const bytes = Buffer.alloc(CHARGE_BYTES);
  writeCharge(bytes, 0, charge);
  return bytes;
}
