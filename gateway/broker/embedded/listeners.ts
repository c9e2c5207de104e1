/**
 * The broker's listeners: TCP, TLS, and WebSocket over either, side by side.
 *
 * Promise: a connection has a slot before a byte of it is read, sends small packets at once (no Nagle, or a
 * purchase would wait 40 ms for an ACK), and is closed when it is not authenticated in time, by whichever
 * listener it comes. New certificates hold for the connections that come after.
 */

import { createServer as createHttpServer } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { createWebSocketStream, WebSocketServer } from "ws";
import { Watt402Error } from "#payment/watt402-error";
import { devicesIn, readCertificates, type TlsListener } from "../../config/certificates.ts";
import { connackPacket, UNAVAILABLE } from "../auth/connack.ts";
import type { Refusals } from "../auth/refusals.ts";
import type { Admission, ConnectionSlot, MakesRoom } from "../limits/admission.ts";

/** A connection that has a slot and is not authenticated yet. */
export interface IncomingConnection
  extends Pick<ConnectionSlot, "loginReceived" | "mayAuthenticate" | "admit" | "fail"> {
  readonly stream: Duplex;
  readonly address: string;
  /** Devices that its certificate names; null without a certificate of a trusted authority. */
  readonly certified: readonly string[] | null;
  /** By this listener a certificate alone authenticates a device. */
  readonly needsCertificate: boolean;
}

export interface ListenerOptions {
  readonly host: string;
  /** Null: no listener without TLS; 0: any free port, here and below. */
  readonly port: number | null;
  readonly tls: TlsListener | null;
  readonly webSocket: WebSocketListener | null;
  /** Longest to a whole CONNECT, milliseconds; absent: 10 s. */
  readonly connectTimeoutMs?: number;
}

interface WebSocketListener {
  readonly port: number | null;
  readonly securePort: number | null;
  readonly path: string;
}

/** From the first byte to an authenticated login: slow radios, and their TLS, need some of it. */
const LOGIN_TIMEOUT_MS = 30_000;
/** From the first packet to a whole CONNECT, TLS and WebSocket included: the slowest radios' handshakes fit. */
const CONNECT_TIMEOUT_MS = 10_000;
/** One timer for all: a timer for each would weigh more than its connection. */
const LOGIN_LOOK_MS = 500;

/** The kernel notices a peer that vanished, whatever its MQTT keep-alive. */
const TCP_KEEPALIVE_MS = 60_000;

const WEB_SOCKET_FRAME_BYTES_MAX = 131_072;
const WEB_HEADER_BYTES_MAX = 8_192;

/** Rejects, and leaves nothing open, when a port or a certificate cannot be had. */
export async function openListeners(
  options: ListenerOptions,
  admission: Admission,
  refusals: Refusals,
  accept: (incoming: IncomingConnection) => void,
): Promise<Listeners> {
  const listeners = new Listeners(options, admission, refusals, accept);
  try {
    await listeners.open();
    return listeners;
  } catch (error) {
    await listeners.close();
    throw error;
  }
}

export class Listeners {
  /** Where devices connect, as "mqtts://127.0.0.1:8883"; the plain one first. */
  readonly urls: string[] = [];
  readonly #options: ListenerOptions;
  readonly #admission: Admission;
  readonly #refusals: Refusals;
  readonly #accept: (incoming: IncomingConnection) => void;
  readonly #connections = new Set<AcceptedSocket>();
  /** Those that are not authenticated yet, in the order in which they came. */
  readonly #unauthenticated = new Set<AcceptedSocket>();
  /** By their peers, where TLS or HTTP give the socket they made another object. */
  readonly #wrapped = new Map<string, AcceptedSocket>();
  readonly #servers: Server[] = [];
  readonly #tlsServers: TlsServer[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(
    options: ListenerOptions,
    admission: Admission,
    refusals: Refusals,
    accept: (incoming: IncomingConnection) => void,
  ) {
    this.#options = options;
    this.#admission = admission;
    this.#refusals = refusals;
    this.#accept = accept;
    this.#timer = setInterval(() => this.#endLate(), LOGIN_LOOK_MS);
  }

  async open(): Promise<void> {
    const { port, tls, webSocket } = this.#options;
    if (port !== null) await this.#listen("broker.port", "mqtt", port, this.#accept);
    if (tls !== null) {
      const accept = this.#secured(tls, (socket) => this.#handOn(socket, socket));
      await this.#listen("broker.tls.port", "mqtts", tls.port, accept);
    }
    if (webSocket === null) return;
    const upgraded = upgradeToWebSocket(webSocket.path, (stream, socket) => this.#handOn(stream, socket));
    if (webSocket.port !== null) {
      await this.#listen("broker.webSocket.port", "ws", webSocket.port, (incoming) => {
        this.#wrap(incoming);
        upgraded(incoming.socket);
      });
    }
    if (webSocket.securePort !== null && tls !== null) {
      const accept = this.#secured(tls, upgraded);
      await this.#listen("broker.webSocket.securePort", "wss", webSocket.securePort, accept);
    }
  }

  isOpen(): boolean {
    return this.#servers.every((server) => server.listening);
  }

  /** Reads the certificates again; throws, and changes nothing, when they are wrong. */
  renew(): void {
    const { tls } = this.#options;
    if (tls === null) return;
    const certificates = readCertificates(tls);
    for (const server of this.#tlsServers) server.setSecureContext(certificates);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    for (const { socket } of this.#connections) socket.destroy();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  async #listen(
    member: string,
    scheme: string,
    port: number,
    accept: (incoming: AcceptedSocket) => void,
  ): Promise<void> {
    const { host, webSocket } = this.#options;
    const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
      const incoming = this.#admit(socket, scheme);
      if (incoming !== null) accept(incoming);
    });
    const bound = await listen(server, member, host, port);
    this.#servers.push(server);
    const path = scheme.startsWith("ws") ? webSocket!.path : "";
    this.urls.push(`${scheme}://${host.includes(":") ? `[${host}]` : host}:${bound}${path}`);
  }

  /** Gives a new socket a slot; null, and the socket refused, when there is none for it. */
  #admit(socket: Socket, scheme: string): AcceptedSocket | null {
    // A client that resets its connection before anything else listens must not end the gateway.
    socket.on("error", nothing);
    const address = socket.remoteAddress ?? "";
    const makeRoom = (why: MakesRoom) => {
      this.#refusals.report(why, { address });
      socket.destroy();
    };
    const slot = this.#admission.arrive(address, makeRoom, !scheme.endsWith("s"));
    if (typeof slot === "string") {
      this.#refusals.report(slot, { address });
      refuse(socket, scheme);
      return null;
    }
    socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
    const incoming = new AcceptedSocket(socket, address, slot, this.#unauthenticated);
    this.#connections.add(incoming);
    socket.on("close", () => {
      this.#connections.delete(incoming);
      incoming.leave();
    });
    return incoming;
  }

  /** Hands on the stream of MQTT that TLS or a WebSocket made of a socket. */
  #handOn(stream: Duplex, socket: Socket): void {
    const incoming = this.#wrapped.get(peerOf(socket));
    // Closed while TLS or HTTP were still under way.
    if (incoming === undefined) {
      stream.destroy();
      return;
    }
    const isChecked = "authorized" in socket && socket.authorized === true;
    incoming.stream = stream;
    incoming.certified = isChecked ? devicesIn((socket as TLSSocket).getPeerCertificate()) : null;
    const { tls } = this.#options;
    incoming.needsCertificate = "encrypted" in socket && tls?.clientCertificates === "required";
    this.#accept(incoming);
  }

  /** Remembers a connection by its peer, until it closes. */
  #wrap(incoming: AcceptedSocket): void {
    const peer = peerOf(incoming.socket);
    this.#wrapped.set(peer, incoming);
    incoming.socket.on("close", () => this.#wrapped.delete(peer));
  }

  /** Accepts TLS and hands on the socket inside. */
  #secured(listener: TlsListener, then: (socket: TLSSocket) => void): (incoming: AcceptedSocket) => void {
    const server = createTlsServer(
      {
        ...readCertificates(listener),
        requestCert: listener.clientCertificates !== "none",
        rejectUnauthorized: listener.clientCertificates === "required",
        handshakeTimeout: LOGIN_TIMEOUT_MS,
      },
      (socket) => {
        socket.on("error", nothing);
        const incoming = this.#wrapped.get(peerOf(socket));
        if (incoming !== undefined) incoming.isSecured = true;
        then(socket);
      },
    );
    server.on("tlsClientError", (error, socket) => {
      const incoming = this.#wrapped.get(peerOf(socket));
      if (incoming !== undefined) incoming.fault = error.message;
      socket.destroy();
    });
    this.#tlsServers.push(server);
    return (incoming) => {
      this.#wrap(incoming);
      incoming.socket.prependListener("close", () => {
        const { address, fault } = incoming;
        if (!incoming.isSecured) this.#refusals.report("certificate", { address, reason: fault });
        // A handshake is expensive: one without a login is a failure. A client that sent nothing made none.
        if (incoming.socket.bytesRead > 0) incoming.fail();
      });
      server.emit("connection", incoming.socket);
    };
  }

  /** Ends connections that are not authenticated in time. */
  #endLate(): void {
    const nowMs = performance.now();
    const connectMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    for (const incoming of this.#unauthenticated) {
      const ageMs = nowMs - incoming.sinceMs;
      if (ageMs < connectMs) return;
      if (incoming.hasLogin && ageMs < LOGIN_TIMEOUT_MS) continue;
      // Silence costs next to nothing, so it does not count against those behind the same address.
      if (incoming.hasLogin) incoming.fail();
      else this.#refusals.report("silent", { address: incoming.address });
      incoming.socket.destroy();
    }
  }
}

/** A connection from its first byte on, over TCP, TLS or WebSocket. */
class AcceptedSocket implements IncomingConnection {
  readonly socket: Socket;
  readonly address: string;
  stream: Duplex;
  certified: readonly string[] | null = null;
  needsCertificate = false;
  /** Its TLS handshake came to a good end. */
  isSecured = false;
  /** Its login was received, whole. */
  hasLogin = false;
  /** What was wrong with its TLS. */
  fault = "the handshake was not finished";
  /** Whole monotonic milliseconds. */
  readonly sinceMs = Math.floor(performance.now());
  readonly #slot: ConnectionSlot;
  readonly #unauthenticated: Set<AcceptedSocket>;

  /** @param unauthenticated it is one of them until it is authenticated or closed */
  constructor(socket: Socket, address: string, slot: ConnectionSlot, unauthenticated: Set<AcceptedSocket>) {
    this.socket = socket;
    this.stream = socket;
    this.address = address;
    this.#slot = slot;
    this.#unauthenticated = unauthenticated;
    unauthenticated.add(this);
  }

  loginReceived(): void {
    this.hasLogin = true;
    this.#slot.loginReceived();
  }

  mayAuthenticate(device: string, isNewcomer: boolean): boolean {
    return this.#slot.mayAuthenticate(device, isNewcomer);
  }

  admit(device: string, isNewcomer: boolean): boolean {
    if (!this.#slot.admit(device, isNewcomer)) return false;
    this.#unauthenticated.delete(this);
    return true;
  }

  fail(): boolean {
    return this.#slot.fail();
  }

  leave(): void {
    this.#unauthenticated.delete(this);
    this.#slot.leave();
  }
}

function nothing(): void {}

/** Answer to a connection for which there is no slot, without reading a byte; behind TLS it would cost a handshake. */
const NO_SLOT: Readonly<Record<string, Buffer | undefined>> = {
  mqtt: connackPacket(UNAVAILABLE),
  ws: Buffer.from("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
};

function refuse(socket: Socket, scheme: string): void {
  const answer = NO_SLOT[scheme];
  if (answer === undefined) {
    socket.destroy();
    return;
  }
  socket.write(answer);
  socket.destroySoon();
}

/** Identifies a socket by address and port of its peer. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localPort}`;
}

/** Serves HTTP as far as the upgrade to a WebSocket of MQTT. */
function upgradeToWebSocket(
  path: string,
  handOn: (stream: Duplex, socket: Socket) => void,
): (socket: Socket) => void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: WEB_SOCKET_FRAME_BYTES_MAX,
    perMessageDeflate: false,
    // MQTT 3.1.1 section 6: the subprotocol is "mqtt".
    handleProtocols: (offered) => (offered.has("mqtt") ? "mqtt" : false),
  });
  const web = createHttpServer({ maxHeaderSize: WEB_HEADER_BYTES_MAX }, (_request, response) => {
    response.writeHead(426, { connection: "close", upgrade: "websocket" });
    response.end("this port speaks MQTT over WebSocket\n");
  });
  web.on("clientError", (_error, socket) => socket.destroy());
  web.on("upgrade", (request, socket, head) => {
    const isMqtt = String(request.headers["sec-websocket-protocol"] ?? "")
      .split(/, */)
      .includes("mqtt");
    if (request.url?.split("?")[0] !== path || !isMqtt) {
      socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (opened) => {
      const stream = createWebSocketStream(opened);
      stream.on("error", nothing);
      handOn(stream, request.socket);
    });
  });
  return (socket) => web.emit("connection", socket);
}

function listen(server: Server, member: string, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const what =
        error.code === "EADDRINUSE" ? `the port is in use; choose another ${member}` : error.message;
      reject(new Watt402Error("in-use", `broker ${host}:${port}: ${what}`));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
