/**
 * The WebSocket server to which one charge point connects: OCPP-J with strict schemas, basic authentication, TLS.
 *
 * Promise: one charge point by its identity and password, one connection at a time: a newer one of the same charge point
 * takes the place of the older, everybody else is refused and named. A message that breaks its schema is answered with an
 * error and reaches nothing; after BAD_MESSAGES_MAX in a row, and for one longer than MESSAGE_BYTES_MAX, the connection
 * ends. Of a storm of messages, those beyond MESSAGES_MAX within STORM_MS end the connection.
 */
import { timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { RPCServer } from "ocpp-rpc";
import { detach } from "#core/detach";
import type { Clock } from "#core/ports";
import { Watt402Error } from "#payment/watt402-error";
import { speak } from "./dialects.ts";
import type { Dialect, DialectParts, OcppVersion } from "./ports.ts";
import { OCPP_21 } from "./schemas-2.1.ts";

export const SUBPROTOCOLS: Readonly<Record<string, OcppVersion>> = {
  "ocpp2.1": "2.1",
  "ocpp2.0.1": "2.0.1",
  "ocpp1.6": "1.6",
};

const MESSAGE_BYTES_MAX = 65_536;
const BAD_MESSAGES_MAX = 20;
/** Of one connection, within STORM_MS: a charge point says a few words at each report, and a queue after an outage. */
export const MESSAGES_MAX = 3000;
export const STORM_MS = 60_000;
const CALL_TIMEOUT_MS = 30_000;
const PING_MS = 30_000;

export interface CentralSystemParts {
  readonly host: string;
  readonly port: number;
  readonly identity: string;
  /** Null lets the charge point in by its identity alone. */
  readonly password: Buffer | null;
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly clock: Clock;
  readonly dialect: Omit<DialectParts, "call">;
  /** A charge point is there, or gone with null. */
  readonly onStation: (commands: Dialect["commands"] | null) => void;
  /** One line about somebody or something that was refused. */
  readonly onOddity: (found: string) => void;
  /** Called before and after each call to the charge point. */
  readonly onWait?: ((waits: boolean) => void) | undefined;
}

export interface CentralSystem {
  readonly port: number;
  close(): Promise<void>;
}

/** What this file uses of a connection of `ocpp-rpc`. */
interface Client {
  readonly protocol?: string;
  handle(method: string, answer: (call: { readonly params: unknown }) => unknown): void;
  call(method: string, params: unknown): Promise<unknown>;
  close(options: {
    readonly code?: number;
    readonly reason?: string;
    readonly force?: boolean;
  }): Promise<unknown>;
  on(event: "close" | "message", take: () => void): void;
}

export async function openCentralSystem(parts: CentralSystemParts): Promise<CentralSystem> {
  const rpc = new RPCServer({
    protocols: Object.keys(SUBPROTOCOLS),
    strictMode: true,
    strictModeValidators: [OCPP_21],
    maxBadMessages: BAD_MESSAGES_MAX,
    callTimeoutMs: CALL_TIMEOUT_MS,
    pingIntervalMs: PING_MS,
    wssOptions: { maxPayload: MESSAGE_BYTES_MAX },
  });
  rpc.auth((accept, reject, { identity, password, protocols, remoteAddress }) => {
    const fault = refuse(parts, identity, password);
    if (fault !== null) {
      parts.onOddity(`${remoteAddress ?? "somebody"}: ${fault}`);
      reject(fault.startsWith("password") ? 401 : 404, "refused");
    } else if (!Object.keys(SUBPROTOCOLS).some((name) => protocols.has(name))) {
      const found = [...protocols].join(", ").slice(0, 60);
      parts.onOddity(
        `expected one of ${Object.keys(SUBPROTOCOLS).join(", ")}, found ${found || "no subprotocol"}`,
      );
      reject(400, "no common subprotocol");
    } else accept();
  });
  let present: Client | null = null;
  rpc.on("client", (client: Client) => {
    if (present !== null) {
      parts.onOddity("the charge point connected again; its older connection ends");
      close(present);
    }
    present = client;
    client.on("close", () => {
      if (present !== client) return;
      present = null;
      parts.onStation(null);
    });
    parts.onStation(speakWith(client, parts));
  });
  rpc.on("error", (error: Error) => parts.onOddity(error.message));
  const server = parts.tls === null ? createServer() : createTlsServer({ ...parts.tls });
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    detach(rpc.handleUpgrade(request, socket, head), () => socket.destroy());
  });
  await listen(server, parts);
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await rpc.close({ force: true });
    },
  };
}

function refuse(parts: CentralSystemParts, identity: string, password: Buffer | undefined): string | null {
  if (identity !== parts.identity) {
    return `expected the charge point ${JSON.stringify(parts.identity)}, found ${JSON.stringify(identity.slice(0, 48))}`;
  }
  if (parts.password === null) return null;
  const given = password ?? Buffer.alloc(0);
  const right = given.length === parts.password.length && timingSafeEqual(given, parts.password);
  return right ? null : `password: expected that of ${JSON.stringify(parts.identity)}, found another`;
}

async function listen(server: Server, { host, port }: CentralSystemParts): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new Watt402Error(
          "in-use",
          `charger.port: expected to listen on ${host}:${port}, found ${error.code}; is another device running?`,
        ),
      ),
    );
    server.listen(port, host, () => resolve());
  });
}

/** Joins one connection to the version it speaks. */
function speakWith(client: Client, parts: CentralSystemParts): Dialect["commands"] {
  const { onWait, clock, onOddity } = parts;
  const call = async (method: string, params: Readonly<Record<string, unknown>>) => {
    onWait?.(true);
    try {
      return await client.call(method, params);
    } finally {
      onWait?.(false);
    }
  };
  const version = SUBPROTOCOLS[client.protocol ?? ""] ?? "1.6";
  const dialect = speak(version, { ...parts.dialect, call });
  for (const [method, answer] of Object.entries(dialect.answers)) {
    client.handle(method, ({ params }) => answer(params as never));
  }
  let messages = 0;
  let sinceMs = clock.nowMs();
  client.on("message", () => {
    if (clock.nowMs() - sinceMs > STORM_MS) {
      messages = 0;
      sinceMs = clock.nowMs();
    }
    messages += 1;
    if (messages !== MESSAGES_MAX) return;
    // What was under way fails first, and is no news.
    client.on("close", () =>
      onOddity(`expected at most ${MESSAGES_MAX} messages within ${STORM_MS / 1000} s, found a storm`),
    );
    close(client);
  });
  return dialect.commands;
}

function close(client: Client): void {
  detach(client.close({ force: true }), () => {});
}
