/**
 * Receipts of use: what a seller has charged and granted on a channel up to a second, signed by it and by the device.
 *
 * Promise: counters are cumulative, so any two receipts of a channel state what was sold between them, whichever others
 * are lost; the chain and the terms are in what is signed. The register is stated by the device: the seller signs
 * what it was given, and only the device's own signature stands for it.
 */
import { z } from "zod";
import { COUNTER_MAX } from "#core/units";
import { fromHex, type Hex, wordOfBytes32, wordOfInteger } from "#payment/bytes";
import { contractlessSeparator, hashStruct, typedDataDigest, typeHash } from "#payment/eip712";
import { recoverAddress } from "#payment/key";
import { SIGNATURE } from "./signed-offer.ts";

const RECEIPT_TYPE_HASH = typeHash(
  "UsageReceipt(bytes32 channelId,uint256 charged,uint256 granted,uint256 register,uint256 toSeconds,bytes32 termsHash)",
);

const counter = z.int().min(0).max(COUNTER_MAX);
const bytes32 = z.string().regex(/^0x[0-9a-f]{64}$/);

const RECEIPT = z.strictObject({
  channelId: bytes32,
  chainId: z.int().min(1),
  /** Cumulative on the channel: atomic units, units, and units of the device's own meter. */
  charged: counter,
  granted: counter,
  register: counter,
  /** When the counters stood so by the seller's clock, Unix seconds. */
  toSeconds: z.int().min(0).max(4_294_967_295),
  /** Of the terms in force then. */
  termsHash: bytes32,
});

const SIGNED_RECEIPT = z.strictObject({
  receipt: RECEIPT,
  seller: SIGNATURE,
  /** Null: the device has not signed. */
  device: SIGNATURE.nullable(),
});

export type UsageReceipt = z.infer<typeof RECEIPT>;
export type SignedReceipt = z.infer<typeof SIGNED_RECEIPT>;

/** Null for what is none. */
export function readSignedReceipt(document: unknown): SignedReceipt | null {
  const read = SIGNED_RECEIPT.safeParse(document);
  return read.success ? read.data : null;
}

/** The 32 bytes that both sign. */
export function receiptDigest(receipt: UsageReceipt): Uint8Array {
  const { channelId, chainId, charged, granted, register, toSeconds } = receipt;
  const separator = contractlessSeparator({ name: "watt402 usage receipt", version: "1", chainId });
  return typedDataDigest(
    separator,
    hashStruct(RECEIPT_TYPE_HASH, [
      wordOfBytes32(channelId),
      ...[charged, granted, register, toSeconds].map(wordOfInteger),
      wordOfBytes32(receipt.termsHash),
    ]),
  );
}

/** Who signed a receipt, in lower case; null for no signature of this curve. */
export function receiptSigner(receipt: UsageReceipt, signature: string): Hex | null {
  return recoverAddress(receiptDigest(receipt), fromHex(signature));
}
