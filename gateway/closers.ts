/**
 * What was opened, to be closed in the reverse order.
 *
 * Promise: each part is closed once, whether the others fail or hang; all of them together are waited for at most
 * LIMIT_MS, a part with a limit of its own for that long.
 */
import { within } from "#node/deadline";
import { noteFailure } from "./purchase/faults/note-failure.ts";
import type { Logger } from "./purchase/ports.ts";

const LIMIT_MS = 2_500;

interface Closer {
  readonly part: string;
  readonly close: () => unknown;
  readonly limitMs: number | null;
}

export class Closers {
  readonly #note: Logger;
  readonly #closers: Closer[] = [];
  #closing: Promise<void> | null = null;

  constructor(note: Logger) {
    this.#note = note;
  }

  /** @param limitMs waited for so long whatever the others took; null: by what is left of LIMIT_MS */
  add(part: string, close: () => unknown, limitMs: number | null = null): void {
    this.#closers.push({ part, close, limitMs });
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    const endMs = performance.now() + LIMIT_MS;
    for (const { part, close, limitMs } of this.#closers.reverse()) {
      try {
        await within(limitMs ?? endMs - performance.now(), Promise.resolve(close()), () => undefined);
      } catch (error) {
        noteFailure(this.#note, "closing a part of the gateway", { part })(error);
      }
    }
  }
}
