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

  put(charge: Charge): void {
    const written = Buffer.alloc(CHARGE_BYTES);
    writeCharge(written, 0, charge);
    this.copy(charge.account.purchases, written, 0);
  }

  /**
   * Puts the charge written in `from` at `start`, the account's `purchases`-th. One older than the one in its
   * place changes nothing: a journal may be replayed.
   */
  copy(purchases: number, from: Buffer, start: number): void {
    const at = (purchases % KEPT_ANSWERS) * CHARGE_BYTES;
    if (at >= this.bytes.length) {
      const slots = Math.min(KEPT_ANSWERS, 2 * (at / CHARGE_BYTES + 1));
      const grown = Buffer.alloc(slots * CHARGE_BYTES);
      this.bytes.copy(grown);
      this.bytes = grown;
    }
    if (chargedAt(this.bytes, at) >= chargedAt(from, start)) return;
    from.copy(this.bytes, at, start, start + CHARGE_BYTES);
  }

  /** Where the charge up to `charged` is written; -1 when it is none of the newest. */
  find(charged: number): number {
    for (let at = 0; at < this.bytes.length; at += CHARGE_BYTES) {
      if (chargedAt(this.bytes, at) === charged) return at;
    }
    return -1;
  }
}
