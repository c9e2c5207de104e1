/**
 * The charging profiles that a simulated charge point holds, and what they allow.
 *
 * Promise: as OCPP composes them: the highest valid TxProfile of the transaction, else the highest TxDefaultProfile, else
 * no limit; a schedule counts from its start for its duration, and one for another transaction never.
 */
export interface HeldProfile {
  readonly id: number;
  readonly purpose: string;
  readonly stackLevel: number;
  readonly transactionId: string | null;
  /** Unix seconds by the charge point's clock. */
  readonly startSeconds: number;
  /** Infinity when it has no end. */
  readonly durationSeconds: number;
  readonly periods: readonly { readonly startPeriod: number; readonly milliwatts: number }[];
}

export class HeldProfiles {
  #held: readonly HeldProfile[] = [];

  set(profile: HeldProfile): void {
    const others = this.#held.filter(
      ({ id, purpose, stackLevel }) =>
        id !== profile.id && !(purpose === profile.purpose && stackLevel === profile.stackLevel),
    );
    this.#held = [...others, profile];
  }

  /** Profiles of transactions do not outlive them. */
  endTransaction(): void {
    this.#held = this.#held.filter(({ purpose }) => purpose !== "TxProfile");
  }

  /** @returns milliwatts; Infinity without a limit */
  limitAt(stationSeconds: number, transactionId: string | null): number {
    for (const wanted of ["TxProfile", "TxDefaultProfile"]) {
      const valid = this.#held
        .filter(
          ({ purpose, transactionId: of }) =>
            purpose === wanted && (wanted !== "TxProfile" || of === transactionId),
        )
        .filter(
          ({ startSeconds, durationSeconds: d }) =>
            stationSeconds >= startSeconds && stationSeconds < startSeconds + d,
        )
        .sort((left, right) => right.stackLevel - left.stackLevel);
      const [first] = valid;
      if (first === undefined) continue;
      const passed = stationSeconds - first.startSeconds;
      const period = first.periods.filter(({ startPeriod }) => startPeriod <= passed).at(-1);
      if (period !== undefined) return period.milliwatts;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** When what is allowed may change next, Unix seconds by the charge point's clock; Infinity when never. */
  nextChange(stationSeconds: number): number {
    const times = this.#held.flatMap(({ startSeconds, durationSeconds, periods }) => [
      startSeconds + durationSeconds,
      ...periods.map(({ startPeriod }) => startSeconds + startPeriod),
    ]);
    return Math.min(...times.filter((time) => time > stationSeconds), Number.POSITIVE_INFINITY);
  }
}
