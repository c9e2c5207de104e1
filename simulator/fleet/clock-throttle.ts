/**
 * Why a fleet's clock slows down: lights that wait for an answer, or for their connection.
 *
 * Promise: a light waiting longer than its share of simulated time holds the clock to real speed; one
 * that has waited half a minute of real time no longer does, for then it is an outage, not load.
 */

interface Wait {
  readonly sinceMs: number;
  readonly realMs: number;
}

const OUTAGE_MS = 30_000;

export class ClockThrottle {
  private readonly patienceMs: number;
  private readonly realMs: () => number;
  /** Outages that are meant; while there is one, waiting is what is to be seen. */
  private outages = 0;
  /** In the order in which the waits began, so the first is the oldest. */
  private readonly waits = new Map<string, Wait>();

  /**
   * @param patienceMs simulated time that an answer may take before the clock slows down
   * @param realMs real time, monotonic milliseconds
   */
  constructor(patienceMs: number, realMs: () => number) {
    this.patienceMs = patienceMs;
    this.realMs = realMs;
  }

  /** Something began to wait; beginning again does not restart it. */
  begin(key: string, nowMs: number): void {
    if (!this.waits.has(key)) this.waits.set(key, { sinceMs: nowMs, realMs: this.realMs() });
  }

  /** Something is known to be no outage, however long it takes. */
  renew(key: string): void {
    const wait = this.waits.get(key);
    if (wait) this.waits.set(key, { ...wait, realMs: this.realMs() });
  }

  end(key: string): void {
    this.waits.delete(key);
  }

  /** An outage that is meant begins: nothing slows the clock down until it ends. */
  beginOutage(): void {
    this.outages++;
  }

  endOutage(): void {
    this.outages--;
  }

  /** Simulated time from which on the clock runs at real speed; Infinity when no light waits. */
  atMs(): number {
    if (this.outages > 0) return Number.POSITIVE_INFINITY;
    const outage = this.realMs() - OUTAGE_MS;
    for (const wait of this.waits.values()) {
      if (wait.realMs > outage) return wait.sinceMs + this.patienceMs;
    }
    return Number.POSITIVE_INFINITY;
  }
}
