/**
 * Whether the node answers, known before a payment has to wait for it.
 *
 * Promise: asking costs nothing while somebody asked within the last second, and ends within LOOK_TIMEOUT_MS; a change
 * is logged once, with the node's origin: the rest of its URL may hold a key and is never written.
 */
import { within } from "#node/deadline";

/** Between two looks of its own accord. */
export const LOOK_EVERY_MS = 5_000;
export const LOOK_TIMEOUT_MS = 1_500;
/** What was found is believed this long. */
const FRESH_MS = 1_000;

interface ChainWatchParts {
  readonly rpcUrl: string;
  /** Asks the node for anything; rejects when it does not answer. */
  readonly ask: () => Promise<unknown>;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  readonly log: (line: string) => void;
}

export class ChainWatch {
  readonly #parts: ChainWatchParts;
  readonly origin: string;
  #trouble: string | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<string | undefined> | undefined;

  constructor(parts: ChainWatchParts) {
    this.#parts = parts;
    this.origin = new URL(parts.rpcUrl).origin;
  }

  /** What is wrong with the node, as last seen; undefined while it answers. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** What is wrong with the node now. Never rejects. */
  look(): Promise<string | undefined> {
    if (this.#looking !== undefined) return this.#looking;
    if (this.#parts.nowMs() - this.#lookedAtMs < FRESH_MS) return Promise.resolve(this.#trouble);
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** What `work` resolves with; undefined once the node does not answer any more. */
  async whileItAnswers<T>(work: Promise<T>): Promise<T | undefined> {
    let isOver = false;
    const outcome = work.finally(() => {
      isOver = true;
    });
    const lost = (async () => {
      while (!isOver && (await this.look()) === undefined) await pause(FRESH_MS / 2);
      return undefined;
    })();
    const first = await Promise.race([outcome, lost]);
    // The watch ends too when the work does.
    return isOver ? outcome : first;
  }

  async #look(): Promise<string | undefined> {
    const { ask, log, nowMs } = this.#parts;
    const found = await answered(ask());
    this.#lookedAtMs = nowMs();
    const before = this.#trouble;
    this.#trouble = found === undefined ? undefined : `chain ${this.origin} does not answer (${found})`;
    if (this.#trouble !== undefined && before === undefined) {
      log(`${this.#trouble}: vouchers are sold on, deposits, exact payments and claims wait for it`);
    }
    if (this.#trouble === undefined && before !== undefined) log(`chain ${this.origin} answers again`);
    return this.#trouble;
  }
}

/** Undefined when `asked` resolves in time; else why not, in a word. */
async function answered(asked: Promise<unknown>): Promise<string | undefined> {
  const reason = asked.then(
    () => undefined,
    (error: Error & { details?: string }) => (error.details ?? error.message).split("\n")[0]!.slice(0, 100),
  );
  return within(LOOK_TIMEOUT_MS, reason, () => `nothing within ${LOOK_TIMEOUT_MS} ms`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
