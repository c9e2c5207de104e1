/**
 * Work in slices: how what takes a board seconds lets metering, messages and the watchdog in between.
 */
export interface Sliced {
  /**
   * Does one slice of bounded work; true when it was the last one. Not to be called after that. A plain
   * function, no method: a caller that joins works passes it on as it is, for a call costs a board 10,000 instructions.
   */
  readonly step: () => boolean;
}

export interface Sequence extends Sliced {
  /** Begins again at the first part. */
  restart(): void;
}

/** Parts one after the other, each called until it says true, one call a slice. */
export function inOrder(parts: readonly (() => boolean)[]): Sequence {
  let at = 0;
  return {
    restart() {
      at = 0;
    },
    step() {
      if (parts[at]!()) at++;
      return at === parts.length;
    },
  };
}
