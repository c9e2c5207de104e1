/** An invariant of device/INVARIANTS.md that a world saw broken. */
export type Invariant = "E1" | "E2" | "M1" | "M2" | "M3" | "M4" | "P1" | "T1" | "S1" | "L1";

export interface WorldViolation {
  readonly invariant: Invariant;
  readonly atMs: number;
  readonly told: string;
}
