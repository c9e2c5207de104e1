/**
 * The byte stream to a broker: TCP or TLS.
 *
 * Promise: Nagle's algorithm is off, or an answer sent just after an acknowledgement would wait 40 ms
 * for the peer's delayed one; a certificate that does not check ends the connection.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

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
}

const PLAIN_PORT = 1883;
const SECURE_PORT = 8883;

/** Reads `mqtt://host[:port]` or `mqtts://host[:port]`. Throws on anything else. */
export function readBrokerUrl(url: string): BrokerAddress {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  const secure = parsed?.protocol === "mqtts:";
  const bare = parsed !== null && parsed.username === "" && ["", "/"].includes(parsed.pathname);
  if (!bare || parsed.hostname === "" || (!secure && parsed.protocol !== "mqtt:")) {
    throw new Error(`broker: expected mqtt://host:port or mqtts://host:port, found "${url}"`);
  }
  const port = parsed.port === "" ? (secure ? SECURE_PORT : PLAIN_PORT) : Number(parsed.port);
  return { host: parsed.hostname.replace(/^\[|\]$/g, ""), port, secure };
}

/** Opens the stream; errors come as the socket's "error" event. */
export function openBrokerSocket(address: BrokerAddress, tls: TlsFiles): Socket {
  const { host, port } = address;
  const socket = address.secure
    ? connectTls({ servername: host, ...tls, host, port })
    : connectTcp({ host, port });
  socket.setNoDelay(true);
  return socket;
}
