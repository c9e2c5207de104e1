/** A broken promise of DESIGN section 7, with both values. */
export interface Violation {
  readonly invariant: "E1" | "E2" | "M1" | "M2" | "M3" | "L1";
  /** The light's name, or "fleet". */
  readonly light: string;
  readonly expected: string;
  readonly actual: string;
}
