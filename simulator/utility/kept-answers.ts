// The newest charges of one channel, ring-wise in one block of bytes, so that a payment presented again is
// answered as it was. Its owner writes the block where it lasts.

import { CHARGE_BYTES, type Charge, chargedAt, writeCharge } from "./charge.ts";

/** Answers kept per channel: a buyer repeats its newest payments, older ones are refused uncharged. */
export const KEPT_ANSWERS = 64;

export class KeptAnswers {
  /** Whole charges; it grows to KEPT_ANSWERS of them. */
  bytes: Buffer;

  constructor(bytes: Buffer = Buffer.alloc(0)) {
    this.bytes = bytes;
  }

  /** A charge older than the one in its place changes nothing: a journal may be replayed. */
  put(charge: Charge): void {
    const at = (charge.account.purchases % KEPT_ANSWERS) * CHARGE_BYTES;
    if (at >= this.bytes.length) {
      const slots = Math.min(KEPT_ANSWERS, 2 * (at / CHARGE_BYTES + 1));
      const grown = Buffer.alloc(slots * CHARGE_BYTES);
      this.bytes.copy(grown);
      this.bytes = grown;
    }
    if (chargedAt(this.bytes, at) < charge.account.charged) writeCharge(this.bytes, at, charge);
  }

  /** Where the charge up to `charged` is written; -1 when it is none of the newest. */
  find(charged: number): number {
    for (let at = 0; at < this.bytes.length; at += CHARGE_BYTES) {
      if (chargedAt(this.bytes, at) === charged) return at;
    }
    return -1;
  }
}
