/**
 * Documents that the device's own gateway hands out and takes, asked for over the general transport.
 *
 * Promise: a question that is not answered is asked again with back-off, a bounded number of times, and then answered with
 * null; at most QUESTIONS_MAX are open at once. Nothing that is answered is believed here: its reader checks signatures.
 */
import type { Clock, Random } from "#core/ports";
import { nextAttemptMs, type Retry } from "#core/rungs";
import { type RequestMessage, readResponse } from "#protocol/messages";

/** An answer of status 200; null: none, or another one. */
type Take = (body: string | null) => void;

interface Question {
  readonly request: RequestMessage;
  readonly take: Take;
  attempts: number;
  cancel: () => void;
}

interface DocumentsParts {
  readonly clock: Pick<Clock, "nowMs" | "at">;
  readonly random: Random;
  send(payload: Uint8Array): void;
}

const QUESTIONS_MAX = 4;
const ATTEMPTS_MAX = 8;
const RETRY: Retry = { firstMs: 2_000, maxMs: 60_000 };
const ID_PREFIX = "own-";

export class GatewayDocuments {
  readonly #parts: DocumentsParts;
  readonly #open = new Map<string, Question>();
  #isUp = false;
  #asked = 0;

  constructor(parts: DocumentsParts) {
    this.#parts = parts;
  }

  ask(method: RequestMessage["method"], url: string, body: string | null, take: Take): void {
    if (this.#open.size >= QUESTIONS_MAX) {
      take(null);
      return;
    }
    this.#asked += 1;
    const id = `${ID_PREFIX}${this.#asked}`;
    const request = { v: 1 as const, id, method, url, ...(body === null ? {} : { body }) };
    const question = { request, take, attempts: 0, cancel: () => {} };
    this.#open.set(id, question);
    this.#send(question);
  }

  linkChanged(up: boolean): void {
    this.#isUp = up;
    if (up) for (const question of this.#open.values()) this.#send(question);
  }

  /** True for an answer that was asked for here. */
  take(payload: Uint8Array): boolean {
    const { message } = readResponse(new TextDecoder().decode(payload));
    const question = message === null ? undefined : this.#open.get(message.id);
    if (message === null || question === undefined) return false;
    // What the gateway cannot look at now is asked again by itself.
    const isLater = message.status === 503 || message.status === 403;
    if (!isLater) this.#finish(question, message.status === 200 ? message.body : null);
    return true;
  }

  stop(): void {
    for (const { cancel } of this.#open.values()) cancel();
    this.#open.clear();
  }

  #send(question: Question): void {
    question.cancel();
    if (!this.#isUp) return;
    question.attempts += 1;
    if (question.attempts > ATTEMPTS_MAX) {
      this.#finish(question, null);
      return;
    }
    this.#parts.send(new TextEncoder().encode(JSON.stringify(question.request)));
    const { clock, random } = this.#parts;
    question.cancel = clock.at(nextAttemptMs(RETRY, question.attempts, clock.nowMs(), random()), () =>
      this.#send(question),
    );
  }

  #finish(question: Question, body: string | null): void {
    question.cancel();
    if (this.#open.delete(question.request.id)) question.take(body);
  }
}
