/**
 * The rungs that one device signed on one channel, as an observer saw them on their way to the link.
 *
 * Promise: a rung is counted as bought once, when the channel's counter rose to it, whole or in part.
 */
import type { Payment } from "#core/events";

export class RungBook {
  /** Distinct rungs the seller answered for, and the money of their sum, atomic units. */
  made = 0;
  madeAtomic = 0;
  private pending: Payment | null = null;
  private sentAtMs = 0;
  private signedMax = 0;
  private answeredMax = 0;
  private readonly signedRungs = new Set<number>();

  /** The highest amount that was signed, atomic units. */
  signed(): number {
    return this.signedMax;
  }

  /** Different rungs that were signed and not answered for. */
  get openRungs(): number {
    return this.signedRungs.size - (this.signedRungs.has(this.answeredMax) ? 1 : 0);
  }

  /** What the seller charged of the rung whose answer is still missing: all of it, a part, or nothing. */
  unanswered(charged: number): number {
    return this.pending === null ? 0 : Math.max(0, charged - baseOf(this.pending));
  }

  /** True for a rung below one that was signed before, and that was none of them itself. */
  isLower({ maxClaimable }: Payment): boolean {
    return maxClaimable < this.signedMax && !this.signedRungs.has(maxClaimable);
  }

  /** Takes a payment that leaves; true when a purchase begins with it. */
  begin(payment: Payment, atMs: number): boolean {
    const { maxClaimable } = payment;
    this.signedMax = Math.max(this.signedMax, maxClaimable);
    this.signedRungs.add(maxClaimable);
    if (maxClaimable === this.pending?.maxClaimable || maxClaimable <= this.answeredMax) return false;
    this.pending = payment;
    this.sentAtMs = atMs;
    return true;
  }

  /** Takes the channel's counter; when the purchase was begun that ended with it, else null. */
  charged(charged: number): number | null {
    const { pending } = this;
    if (pending === null || charged <= baseOf(pending)) return null;
    this.made += 1;
    this.madeAtomic += charged - baseOf(pending);
    this.pending = null;
    this.answeredMax = pending.maxClaimable;
    // A rung that was charged can only be a repetition of itself from now on.
    for (const rung of this.signedRungs) if (rung < pending.maxClaimable) this.signedRungs.delete(rung);
    return this.sentAtMs;
  }
}

/** What was charged before a payment: a seller charges any part of what is signed above it. */
function baseOf({ maxClaimable, amountAtomic }: Payment): number {
  return maxClaimable - amountAtomic;
}
