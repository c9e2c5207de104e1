/**
 * Work without an awaiting caller.
 *
 * Promise: it always ends. Its failure is counted for the process and reported once; a failure
 * without a handler does not leave the process as an unhandled rejection.
 */

let failures = 0;

/** Starts nothing: `work` runs already. @param onFailure says in the log what could not be done, and why */
export function detach(work: PromiseLike<unknown>, onFailure: (error: unknown) => void): void {
  work.then(undefined, (error: unknown) => {
    countFailure();
    onFailure(error);
  });
}

/** Counts a failure that reached the process itself. */
export function countFailure(): void {
  failures += 1;
}

/** Failures of detached work since the process started, and those that reached the process itself. */
export function failureCount(): number {
  return failures;
}
