/**
 * Whether a device may sign a receipt of use that its seller has signed.
 *
 * Promise (P1): it signs only what it knows itself: the counters of its own channel as they stand, the register that it
 * stated, a second that its clock can confirm, under terms that it has checked; never less than it has signed before.
 */

import type { State } from "#core/state";
import type { Acknowledged } from "#market/judge";
import type { Terms } from "#market/terms-of-sale";
import { receiptSigner, type SignedReceipt } from "#market/usage-receipt";
import { chainIdOf } from "#payment/eip712";
import { CLOCKS_APART_SECONDS } from "./market-rules.ts";

interface Known {
  readonly channel: State["channel"];
  /** As it was stated when the receipt was asked for. */
  readonly register: number;
  /** Checked, by their hash; undefined for unknown ones. */
  termsOf(hash: string): Terms | undefined;
  readonly keys: readonly string[];
  /** Null while the clock is not set. */
  readonly nowSeconds: number | null;
  readonly before: Acknowledged | undefined;
}

/** "not-yet": the seller is ahead of this device, or behind it, by an answer on its way. */
export type Judged = "sign" | "not-yet" | "never";

export function judgeReceipt({ receipt, seller }: SignedReceipt, known: Known): Judged {
  const { channel, register, keys, nowSeconds, before } = known;
  if (channel === null || channel.id !== receipt.channelId || nowSeconds === null) return "not-yet";
  const { terms } = channel;
  const under = known.termsOf(receipt.termsHash);
  const isOfThisSale =
    under !== undefined &&
    under.payTo === terms.payTo &&
    under.asset === terms.asset &&
    under.network === terms.network &&
    receipt.chainId === chainIdOf(terms.network) &&
    receipt.register === register;
  if (!isOfThisSale) return "never";
  if (Math.abs(receipt.toSeconds - nowSeconds) > CLOCKS_APART_SECONDS) return "never";
  if (receipt.toSeconds < under.fromSeconds || receipt.toSeconds >= under.untilSeconds) return "never";
  const signer = receiptSigner(receipt, seller);
  if (signer === null || (signer !== terms.payTo && !keys.includes(signer))) return "never";
  if (receipt.charged !== channel.charged || receipt.granted !== channel.granted) return "not-yet";
  const isLess =
    before !== undefined &&
    (receipt.toSeconds < before.toSeconds ||
      receipt.charged < before.charged ||
      receipt.granted < before.granted ||
      receipt.register < before.register);
  return isLess ? "never" : "sign";
}
