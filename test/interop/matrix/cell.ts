// One cell of the matrix: a route, played by two programs of which one is ours, and what was really seen.

import type { Route } from "./routes.ts";

export interface Cell {
  /** The part that is ours. */
  readonly side: "buyer" | "seller";
  readonly route: string;
  /** The stock package on the other side. */
  readonly against: string;
  readonly passed: boolean;
  /** Why not, in the words of the program that refused or of the check that failed; empty when passed. */
  readonly refusal: string;
  readonly milliseconds: number;
}

/** What does not agree with a purchase as it must be. */
export class Disagreement extends Error {}

export function agree(what: string, found: unknown, expected: unknown): void {
  if (String(found) !== String(expected))
    throw new Disagreement(`${what}: expected ${String(expected)}, found ${String(found)}`);
}

/** Of a refusal, characters in the table's notes. */
const REFUSAL_MAX = 300;

/** Plays a cell; whatever is thrown is its refusal. */
export async function playCell(
  side: Cell["side"],
  { name: route }: Pick<Route, "name">,
  against: string,
  play: () => Promise<void>,
): Promise<Cell> {
  const startedMs = performance.now();
  const cell = (passed: boolean, refusal: string): Cell => {
    const milliseconds = Math.round(performance.now() - startedMs);
    return { side, route, against, passed, refusal, milliseconds };
  };
  try {
    await play();
    return cell(true, "");
  } catch (error) {
    return cell(false, (error as Error).message.split("\n")[0]!.slice(0, REFUSAL_MAX));
  }
}
