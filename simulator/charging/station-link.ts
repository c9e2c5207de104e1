/**
 * A charge point's connection to its central system, whatever carries it, with a queue for when there is none.
 *
 * Promise: calls go out one at a time and in order; those to be kept wait for a connection, at most QUEUE_MAX, and are
 * sent again when it is lost before they were answered; the others are dropped without one. It connects anew after
 * RECONNECT_MS for as long as it is wanted.
 */
import { detach } from "#core/detach";
import type { Clock } from "#core/ports";
import type { StationHandlers } from "./station-voice.ts";

export const QUEUE_MAX = 500;
const RECONNECT_MS = 10_000;

/** One connection. */
export interface StationSocket {
  connect(): Promise<unknown>;
  /** Rejects with an error that has a member `rpcErrorCode` when the other side refused, else because it is lost. */
  call(method: string, params: Readonly<Record<string, unknown>>): Promise<unknown>;
  close(): Promise<unknown>;
}

/** Makes a connection, not open yet. @param onClosed called when it was open and is not any more */
export type Dial = (handlers: StationHandlers, onClosed: () => void) => StationSocket;

export interface StationLinkParts {
  readonly dial: Dial;
  readonly clock: Clock;
  readonly handlers: StationHandlers;
  readonly onConnected: () => void;
  /** Called before and after what the other side has to answer. */
  readonly onWait: (waits: boolean) => void;
}

interface Queued {
  readonly method: string;
  readonly params: () => Readonly<Record<string, unknown>>;
  readonly kept: boolean;
  readonly answered: (answer: Readonly<Record<string, unknown>> | null) => void;
}

export class StationLink {
  readonly #parts: StationLinkParts;
  readonly #queue: Queued[] = [];
  #client: StationSocket | null = null;
  #open = false;
  #busy = false;
  #wanted = false;
  #cancelConnect: (() => void) | null = null;

  constructor(parts: StationLinkParts) {
    this.#parts = parts;
  }

  isOpen(): boolean {
    return this.#open;
  }

  connect(): void {
    this.#wanted = true;
    this.#cancelConnect?.();
    this.#cancelConnect = null;
    if (this.#client !== null) return;
    const { dial, handlers } = this.#parts;
    const client = dial(handlers, () => {
      if (this.#client === client) this.#lost();
    });
    this.#client = client;
    this.#parts.onWait(true);
    const connected = client.connect().then(
      () => {
        if (this.#client !== client) return;
        this.#open = true;
        this.#parts.onConnected();
        this.#pump();
      },
      () => {
        if (this.#client === client) this.#lost();
      },
    );
    detach(
      connected.finally(() => this.#parts.onWait(false)),
      () => {},
    );
  }

  /** Breaks the connection; it comes back only when asked to. */
  async drop(): Promise<void> {
    this.#wanted = false;
    this.#cancelConnect?.();
    this.#cancelConnect = null;
    const client = this.#client;
    this.#client = null;
    this.#open = false;
    await client?.close().catch(() => {});
  }

  /**
   * @param params made when it is sent: an id that an earlier answer gave is known by then
   * @param answered with null when it was refused, or dropped
   */
  send(
    method: string,
    params: Queued["params"],
    kept: boolean,
    answered: Queued["answered"] = () => {},
  ): void {
    if ((!kept && !this.#open) || this.#queue.length >= QUEUE_MAX) answered(null);
    else {
      this.#queue.push({ method, params, kept, answered });
      this.#pump();
    }
  }

  #pump(): void {
    const client = this.#client;
    const next = this.#queue[0];
    if (this.#busy || !this.#open || client === null || next === undefined) return;
    this.#busy = true;
    this.#parts.onWait(true);
    const done = client.call(next.method, next.params()).then(
      (answer) => {
        this.#queue.shift();
        next.answered(answer as Readonly<Record<string, unknown>>);
      },
      (error: object) => {
        // Lost with the connection: what is kept is sent again by the next one.
        const lost = !("rpcErrorCode" in error);
        if (lost && this.#client === client) this.#lost();
        if (lost && next.kept) return;
        this.#queue.shift();
        next.answered(null);
      },
    );
    detach(
      done.finally(() => {
        this.#busy = false;
        this.#parts.onWait(false);
        this.#pump();
      }),
      () => {},
    );
  }

  #lost(): void {
    detach(this.#client?.close() ?? Promise.resolve(), () => {});
    this.#client = null;
    this.#open = false;
    if (!this.#wanted || this.#cancelConnect !== null) return;
    const { clock } = this.#parts;
    this.#cancelConnect = clock.at(clock.nowMs() + RECONNECT_MS, () => {
      this.#cancelConnect = null;
      this.connect();
    });
  }
}
