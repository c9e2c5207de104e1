/**
 * The byte stream to a broker: TCP or TLS, and WebSocket over either where only the web's ports are open.
 *
 * Promise: Nagle's algorithm is off, or an answer sent just after an acknowledgement would wait 40 ms
 * for the peer's delayed one; a certificate that does not check ends the connection.
 */

import { connect as connectTcp, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { createWebSocketStream, WebSocket } from "ws";
import { Watt402Error } from "#payment/watt402-error";

export interface TlsFiles {
  /** PEM of the authorities to trust; the platform's when absent. */
  readonly ca?: string;
  /** PEM of the device's own certificate and key, for brokers that ask. */
  readonly cert?: string;
  readonly key?: string;
  /** Name that the broker's certificate must carry; the URL's host when absent. */
  readonly servername?: string;
}

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** Of the WebSocket; null without one. */
  readonly path: string | null;
}

const PORTS: Readonly<Record<string, number>> = { "mqtt:": 1883, "mqtts:": 8883, "ws:": 80, "wss:": 443 };

/** More than the broker ever sends in one packet. */
const FRAME_BYTES_MAX = 262_144;
const HANDSHAKE_MS = 10_000;

/** Reads `mqtt://host[:port]`, `mqtts://...`, `ws://host[:port]/path` or `wss://...`. Throws on anything else. */
export function readBrokerUrl(url: string): BrokerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  const scheme = parsed?.protocol ?? "";
  const isWeb = scheme.startsWith("ws");
  const bare = parsed !== null && parsed.username === "" && (isWeb || ["", "/"].includes(parsed.pathname));
  if (!bare || parsed.hostname === "" || PORTS[scheme] === undefined) {
    throw new Watt402Error(
      "config-invalid",
      `broker: expected mqtt(s)://host:port or ws(s)://host:port/path, found "${url}"`,
    );
  }
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ""),
    port: parsed.port === "" ? PORTS[scheme] : Number(parsed.port),
    secure: scheme === "mqtts:" || scheme === "wss:",
    path: isWeb ? parsed.pathname + parsed.search : null,
  };
}

/** Opens the connection under it all; errors come as the socket's "error" event. */
export function openBrokerSocket(address: BrokerAddress, tls: TlsFiles): Socket {
  const { host, port } = address;
  const socket = address.secure
    ? connectTls({ servername: host, ...tls, host, port })
    : connectTcp({ host, port });
  socket.setNoDelay(true);
  return socket;
}

/** Opens the stream that MQTT is spoken on; errors come as its "error" event. */
export function openBrokerStream(address: BrokerAddress, tls: TlsFiles): Duplex {
  const { host, port, path } = address;
  if (path === null) return openBrokerSocket(address, tls);
  // The socket is ours already, TLS and all: for the WebSocket it is plain.
  const socket = new WebSocket(`ws://${host.includes(":") ? `[${host}]` : host}:${port}${path}`, "mqtt", {
    createConnection: () => openBrokerSocket(address, tls),
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
    handshakeTimeout: HANDSHAKE_MS,
  });
  return createWebSocketStream(socket);
}
