/**
 * A charge point's connection to its central system: OCPP-J over a real WebSocket, with a queue for when there is none.
 *
 * Promise: calls go out one at a time and in order; those to be kept wait for a connection, at most QUEUE_MAX, and are
 * sent again when it is lost before they were answered; the others are dropped without one. It connects anew after
 * RECONNECT_MS for as long as it is wanted.
 */
import { createRPCError, RPCClient } from "ocpp-rpc";
import { detach } from "#core/detach";
import type { Clock } from "#core/ports";
import type { OcppVersion } from "#hardware/charger/ocpp/ports";
import { OCPP_21 } from "#hardware/charger/ocpp/schemas-2.1";

export const QUEUE_MAX = 500;
const RECONNECT_MS = 10_000;
const CALL_TIMEOUT_MS = 30_000;

export interface StationLinkParts {
  /** Without the identity, as ws://127.0.0.1:9220. */
  readonly url: string;
  readonly identity: string;
  readonly password: string | null;
  readonly version: OcppVersion;
  readonly clock: Clock;
  readonly handlers: Readonly<Record<string, (params: never) => Readonly<Record<string, unknown>>>>;
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

interface Client {
  connect(): Promise<unknown>;
  call(method: string, params: unknown): Promise<unknown>;
  close(options: { readonly force?: boolean }): Promise<unknown>;
  handle(method: string | Handler, answer?: Handler): void;
  on(event: "close" | "error", take: () => void): void;
}
type Handler = (call: { readonly method: string; readonly params: unknown }) => unknown;

export class StationLink {
  readonly #parts: StationLinkParts;
  readonly #queue: Queued[] = [];
  #client: Client | null = null;
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
    const client = this.#newClient();
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
    await client?.close({ force: true }).catch(() => {});
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
    detach(this.#client?.close({ force: true }) ?? Promise.resolve(), () => {});
    this.#client = null;
    this.#open = false;
    if (!this.#wanted || this.#cancelConnect !== null) return;
    const { clock } = this.#parts;
    this.#cancelConnect = clock.at(clock.nowMs() + RECONNECT_MS, () => {
      this.#cancelConnect = null;
      this.connect();
    });
  }

  #newClient(): Client {
    const { url, identity, password, version, handlers } = this.#parts;
    const options = {
      endpoint: url,
      identity,
      ...(password === null ? {} : { password }),
      protocols: [`ocpp${version}`],
      strictMode: true,
      strictModeValidators: [OCPP_21],
      reconnect: false,
      callTimeoutMs: CALL_TIMEOUT_MS,
      pingIntervalMs: 0,
    };
    const client = new RPCClient(
      options as unknown as ConstructorParameters<typeof RPCClient>[0],
    ) as unknown as Client;
    client.handle(({ method, params }) => {
      const answer = handlers[method];
      if (answer !== undefined) return answer(params as never);
      throw createRPCError("NotImplemented", `${method} is not implemented`, {});
    });
    client.on("close", () => {
      if (this.#client === client) this.#lost();
    });
    return client;
  }
}
