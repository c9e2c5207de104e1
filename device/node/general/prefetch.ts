/**
 * Data of the way ahead, bought before it is needed and while there is a link.
 *
 * Promise: at most `aheadMax` pieces are held or on order at once, those that come first on the way first; each piece of a
 * drive is ordered once, and what was refused is not asked for again on that drive.
 */
import { detach } from "#core/detach";
import type { OneOffResult } from "./one-off-buyer.ts";
import type { OneOffOrder } from "./one-off-order.ts";

export interface PrefetchCounts {
  bought: number;
  refused: number;
  unknown: number;
  spentAtomic: number;
  /** Used out of what was held, and not there when it was needed. */
  used: number;
  missed: number;
}

export class Prefetch {
  readonly counts: PrefetchCounts = { bought: 0, refused: 0, unknown: 0, spentAtomic: 0, used: 0, missed: 0 };
  readonly #buy: (order: OneOffOrder) => Promise<OneOffResult>;
  readonly #aheadMax: number;
  /** By the order's id; null while it is on order, or was refused. */
  readonly #held = new Map<string, string | null>();
  #isBuying = false;
  #wanted: readonly OneOffOrder[] = [];

  /** @param aheadMax pieces, at least 1 */
  constructor(buy: (order: OneOffOrder) => Promise<OneOffResult>, aheadMax: number) {
    this.#buy = buy;
    this.#aheadMax = aheadMax;
  }

  /** What lies ahead now, the nearest first; what is behind is forgotten. */
  want(ahead: readonly OneOffOrder[]): void {
    this.#wanted = ahead.slice(0, this.#aheadMax);
    const near = new Set(this.#wanted.map(({ id }) => id));
    for (const id of [...this.#held.keys()]) if (!near.has(id)) this.#held.delete(id);
    this.#buyNext();
  }

  /** The data of a piece that the device is at; null when it is not there. */
  use(id: string): string | null {
    const data = this.#held.get(id) ?? null;
    if (data === null) this.counts.missed += 1;
    else this.counts.used += 1;
    return data;
  }

  /** Pieces held. */
  get held(): number {
    return [...this.#held.values()].filter((data) => data !== null).length;
  }

  #buyNext(): void {
    const next = this.#isBuying ? undefined : this.#wanted.find(({ id }) => !this.#held.has(id));
    if (next === undefined) return;
    this.#isBuying = true;
    this.#held.set(next.id, null);
    const bought = this.#buy(next).then((result) => {
      this.#isBuying = false;
      this.#take(next.id, result);
      this.#buyNext();
    });
    // A purchase answers with a value; what throws is a bug, and stops the prefetching alone.
    detach(bought, () => {});
  }

  #take(id: string, result: OneOffResult): void {
    const { counts } = this;
    counts[result.kind] += 1;
    if (result.kind === "refused") return;
    counts.spentAtomic += result.amountAtomic;
    if (result.kind === "bought" && this.#held.has(id)) this.#held.set(id, result.body);
  }
}
