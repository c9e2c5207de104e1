/** What one look of the doctor found. */

/** Well; works but should be mended; does not work; could not be looked at because of another check. */
export type Outcome = "well" | "doubtful" | "wrong" | "unknown";

export interface Check {
  readonly name: string;
  readonly verdict: Outcome;
  /** What was found; for anything but well: expected, found, remedy. One line. */
  readonly text: string;
}

export function well(name: string, text: string): Check {
  return { name, verdict: "well", text };
}
export function doubtful(name: string, text: string): Check {
  return { name, verdict: "doubtful", text };
}
export function wrong(name: string, text: string): Check {
  return { name, verdict: "wrong", text };
}
export function unknown(name: string, text: string): Check {
  return { name, verdict: "unknown", text };
}
