/**
 * One HTTP request and its whole answer, with nothing between undici's dispatcher and the caller.
 *
 * Promise: it ends within its time, whatever the other side does or does not; one timer serves all that are under
 * way.
 */
import type { Agent, Dispatcher } from "undici";

export interface Reply {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Ends requests that last too long: all have the same limit, so they come due in the order they began. */
export class Deadlines {
  readonly #limitMs: number;
  readonly #underWay = new Set<PendingRequest>();
  #timer: NodeJS.Timeout | null = null;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  begin(pending: PendingRequest): void {
    pending.dueMs = performance.now() + this.#limitMs;
    this.#underWay.add(pending);
    if (this.#timer === null) this.#arm(this.#limitMs);
  }

  end(pending: PendingRequest): void {
    this.#underWay.delete(pending);
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => this.#look(), delayMs);
    // What waits for an answer holds its socket, and that holds the process.
    this.#timer.unref();
  }

  #look(): void {
    this.#timer = null;
    const nowMs = performance.now();
    for (const pending of this.#underWay) {
      if (pending.dueMs > nowMs) {
        this.#arm(Math.ceil(pending.dueMs - nowMs));
        return;
      }
      this.#underWay.delete(pending);
      pending.abort(new Error(`timeout: no whole answer within ${this.#limitMs} ms`));
    }
  }
}

/** Rejects with what the network, the other side's bytes or the time limit ended it by. */
export function sendRequest(
  agent: Agent,
  request: Dispatcher.DispatchOptions,
  deadlines: Deadlines,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    agent.dispatch(request, new PendingRequest(deadlines, resolve, reject));
  });
}

class PendingRequest implements Dispatcher.DispatchHandler {
  /** Monotonic milliseconds. */
  dueMs = 0;
  readonly #deadlines: Deadlines;
  readonly #resolve: (reply: Reply) => void;
  readonly #reject: (reason: Error) => void;
  #controller: Dispatcher.DispatchController | null = null;
  #ended: Error | null = null;
  #status = 0;
  #headers: Reply["headers"] = {};
  #first: Buffer | null = null;
  #more: Buffer[] | null = null;

  constructor(deadlines: Deadlines, resolve: (reply: Reply) => void, reject: (reason: Error) => void) {
    this.#deadlines = deadlines;
    this.#resolve = resolve;
    this.#reject = reject;
    deadlines.begin(this);
  }

  abort(reason: Error): void {
    this.#ended = reason;
    this.#reject(reason);
    this.#controller?.abort(reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It waited for a connection longer than it may last.
    if (this.#ended !== null) controller.abort(this.#ended);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Reply["headers"]): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#first === null) this.#first = chunk;
    else this.#more = [...(this.#more ?? []), chunk];
  }

  onResponseEnd(): void {
    this.#deadlines.end(this);
    const body = this.#more === null ? this.#first : Buffer.concat([this.#first!, ...this.#more]);
    this.#resolve({ status: this.#status, headers: this.#headers, body: body?.toString() ?? "" });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#deadlines.end(this);
    this.#reject(error);
  }
}
