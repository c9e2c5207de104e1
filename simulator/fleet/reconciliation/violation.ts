/** A broken invariant of device/INVARIANTS.md, with both values. */
export interface Violation {
  readonly invariant: "E1" | "E2" | "M1" | "M2" | "M3" | "M4" | "P1" | "T1" | "S1" | "L1";
  /** The light's name, "fleet" or "world". */
  readonly light: string;
  readonly expected: string;
  readonly actual: string;
}
