/**
 * How often each of many may do something: token buckets, by name.
 *
 * Promise: memory is bounded however many names come by; a name that was silent long enough to be full
 * again is forgotten, and no client gains by that. When more names come than are kept, the oldest start anew.
 */

export interface Rate {
  readonly perSecond: number;
  /** At once, after a silence. */
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

export class RateLimits {
  readonly #rate: Rate;
  readonly #namesMax: number;
  readonly #nowMs: () => number;
  /** Two generations: what was not asked for during one whole filling is full. */
  #recent = new Map<string, Bucket>();
  #older = new Map<string, Bucket>();
  #turnedAtMs: number;

  /** @param nowMs monotonic milliseconds */
  constructor(rate: Rate, namesMax: number, nowMs: () => number) {
    this.#rate = rate;
    this.#namesMax = namesMax;
    this.#nowMs = nowMs;
    this.#turnedAtMs = nowMs();
  }

  /** Names remembered now: at most twice `namesMax`. */
  get size(): number {
    return this.#recent.size + this.#older.size;
  }

  has(name: string): boolean {
    return this.#bucketOf(name).tokens >= 1;
  }

  /** Takes one; false, and nothing is taken, when none is left. */
  take(name: string): boolean {
    const bucket = this.#bucketOf(name);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #bucketOf(name: string): Bucket {
    const nowMs = this.#nowMs();
    const { perSecond, burst } = this.#rate;
    const fillMs = (burst / perSecond) * 1000;
    if (nowMs - this.#turnedAtMs >= fillMs || this.#recent.size >= this.#namesMax) {
      this.#older = this.#recent;
      this.#recent = new Map();
      this.#turnedAtMs = nowMs;
    }
    const recent = this.#recent.get(name);
    const bucket = recent ?? this.#older.get(name) ?? { tokens: burst, atMs: nowMs };
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1000) * perSecond);
    bucket.atMs = nowMs;
    if (recent === undefined) this.#recent.set(name, bucket);
    return bucket;
  }
}
