/**
 * A charge point's real WebSocket to its central system: OCPP-J by `ocpp-rpc`, with strict schemas.
 *
 * Promise: a call without an answer within CALL_TIMEOUT_MS is lost; a method without a handler is answered NotImplemented.
 */
import { createRPCError, RPCClient } from "ocpp-rpc";
import type { OcppVersion } from "#hardware/charger/ocpp/ports";
import { OCPP_21 } from "#hardware/charger/ocpp/schemas-2.1";
import type { Dial } from "./station-link.ts";

const CALL_TIMEOUT_MS = 30_000;

export interface StationAddress {
  /** Without the identity, as ws://127.0.0.1:9220. */
  readonly url: string;
  readonly identity: string;
  readonly password: string | null;
  readonly version: OcppVersion;
}

/** What this file uses of a connection of `ocpp-rpc`. */
interface Client {
  connect(): Promise<unknown>;
  call(method: string, params: unknown): Promise<unknown>;
  close(options: { readonly force?: boolean }): Promise<unknown>;
  handle(answer: (call: { readonly method: string; readonly params: unknown }) => unknown): void;
  on(event: "close", take: () => void): void;
}

export function dialWebSocket({ url, identity, password, version }: StationAddress): Dial {
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
  return (handlers, onClosed) => {
    const client = new RPCClient(
      options as unknown as ConstructorParameters<typeof RPCClient>[0],
    ) as unknown as Client;
    client.handle(({ method, params }) => {
      const answer = handlers[method];
      if (answer !== undefined) return answer(params as never);
      throw createRPCError("NotImplemented", `${method} is not implemented`, {});
    });
    client.on("close", onClosed);
    return {
      connect: () => client.connect(),
      call: (method, params) => client.call(method, params),
      close: () => client.close({ force: true }),
    };
  };
}
