/**
 * What a seller charges of an amount that was signed: all of it, or as one that meters by itself, a share.
 *
 * Promise: from one atomic unit to all of it, and of the same amount always the same, so that a voucher presented again
 * after its charge was lost is charged alike.
 */

/** @returns atomic units, in 1..signedAtomic */
export type ChargedShare = (signedAtomic: number) => number;

export const WHOLE: ChargedShare = (signedAtomic) => signedAtomic;

/** @param percent 1..100 */
export function shareOf(percent: number): ChargedShare {
  return percent === 100 ? WHOLE : (signedAtomic) => Math.ceil((signedAtomic * percent) / 100);
}
