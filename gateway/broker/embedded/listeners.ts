/**
 * The broker's doors: TCP, TLS, and WebSocket over either, side by side.
 *
 * Promise: whichever door a connection comes by, it has a place before a byte of it is read, sends small
 * packets at once (no Nagle, or a purchase would wait 40 ms for an ACK), and is closed when it has not
 * proved a device in time. New certificates hold for the connections that come after.
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

/** A connection that has a place and proved nothing yet. */
export interface IncomingConnection extends Pick<ConnectionSlot, "speak" | "mayBeJudged" | "prove" | "fail"> {
  readonly stream: Duplex;
  readonly address: string;
  /** Devices that its certificate names; null without a certificate of a trusted authority. */
  readonly certified: readonly string[] | null;
  /** By this door a certificate alone proves a device. */
  readonly needsCertificate: boolean;
}

export interface ListenerOptions {
  readonly host: string;
  /** Null: no door without TLS; 0: any free port, here and below. */
  readonly port: number | null;
  readonly tls: TlsListener | null;
  readonly webSocket: WebSocketListener | null;
  /** Longest to a whole CONNECT, milliseconds; absent: 10 s. */
  readonly connectTimeoutMs?: number;
}

export interface WebSocketListener {
  readonly port: number | null;
  readonly securePort: number | null;
  readonly path: string;
}

export interface Listeners {
  /** Where devices connect, as "mqtts://127.0.0.1:8883"; the plain one first. */
  readonly urls: readonly string[];
  isOpen(): boolean;
  /** Reads the certificates again; throws, and changes nothing, when they are wrong. */
  renew(): void;
  close(): Promise<void>;
}

/** From the first packet to a proven login: slow radios, and their TLS, need some of it. */
const LOGIN_TIMEOUT_MS = 30_000;
/** From the first packet to a whole CONNECT, TLS and WebSocket included: the slowest radios' handshakes fit. */
const CONNECT_TIMEOUT_MS = 10_000;
/** One look for all: a timer for each would weigh more than its connection. */
const LOGIN_LOOK_MS = 500;

/** A peer that vanished without a word is noticed by the kernel, whatever its MQTT keep-alive. */
const TCP_KEEPALIVE_MS = 60_000;

const WEB_SOCKET_FRAME_BYTES_MAX = 131_072;
const WEB_HEADER_BYTES_MAX = 8_192;

export async function openListeners(
  options: ListenerOptions,
  admission: Admission,
  refusals: Refusals,
  welcome: (visitor: IncomingConnection) => void,
): Promise<Listeners> {
  const { host, tls, webSocket } = options;
  const arrivals = new Set<Arrival>();
  /** Those that proved nothing yet, in the order in which they came. */
  const unproven = new Set<Arrival>();
  /** By their peers, where TLS or HTTP give the socket they made another object. */
  const wrapped = new Map<string, Arrival>();
  const servers: Server[] = [];
  const contexts: TlsServer[] = [];
  const urls: string[] = [];

  function greet(stream: Duplex, socket: Socket): void {
    const arrival = wrapped.get(peerOf(socket));
    // Gone while TLS or HTTP were still talking.
    if (arrival === undefined) {
      stream.destroy();
      return;
    }
    const isChecked = "authorized" in socket && socket.authorized === true;
    arrival.stream = stream;
    arrival.certified = isChecked ? devicesIn((socket as TLSSocket).getPeerCertificate()) : null;
    arrival.needsCertificate = "encrypted" in socket && tls?.clientCertificates === "required";
    welcome(arrival);
  }

  /** Knows a connection again by what its socket tells of its peer. */
  function wrap(arrival: Arrival): void {
    const peer = peerOf(arrival.socket);
    wrapped.set(peer, arrival);
    arrival.socket.on("close", () => wrapped.delete(peer));
  }

  async function open(member: string, scheme: string, port: number, accept: (arrival: Arrival) => void) {
    const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
      // Whoever resets a connection before anybody listens must not end the gateway.
      socket.on("error", nothing);
      const address = socket.remoteAddress ?? "";
      const makeRoom = (why: MakesRoom) => {
        refusals.tell(why, { address });
        socket.destroy();
      };
      const place = admission.arrive(address, makeRoom, !scheme.endsWith("s"));
      if (typeof place === "string") {
        refusals.tell(place, { address });
        turnAway(socket, scheme);
        return;
      }
      socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
      const arrival = new Arrival(socket, address, place, unproven);
      arrivals.add(arrival);
      socket.on("close", () => {
        arrivals.delete(arrival);
        arrival.leave();
      });
      accept(arrival);
    });
    const bound = await listen(server, member, host, port);
    servers.push(server);
    const path = scheme.startsWith("ws") ? webSocket!.path : "";
    urls.push(`${scheme}://${host.includes(":") ? `[${host}]` : host}:${bound}${path}`);
  }

  /** Accepts TLS and hands on what comes out of it. */
  function secured(door: TlsListener, then: (socket: TLSSocket) => void): (arrival: Arrival) => void {
    const server = createTlsServer(
      {
        ...readCertificates(door),
        requestCert: door.clientCertificates !== "none",
        rejectUnauthorized: door.clientCertificates === "required",
        handshakeTimeout: LOGIN_TIMEOUT_MS,
      },
      (socket) => {
        socket.on("error", nothing);
        const arrival = wrapped.get(peerOf(socket));
        if (arrival !== undefined) arrival.isSecured = true;
        then(socket);
      },
    );
    server.on("tlsClientError", (error, socket) => {
      const arrival = wrapped.get(peerOf(socket));
      if (arrival !== undefined) arrival.fault = error.message;
      socket.destroy();
    });
    contexts.push(server);
    return (arrival) => {
      wrap(arrival);
      arrival.socket.prependListener("close", () => {
        const { address, fault } = arrival;
        if (!arrival.isSecured) refusals.tell("certificate", { address, reason: fault });
        // A handshake is dear: whoever made it for nothing has failed. One that sent nothing made none.
        if (arrival.socket.bytesRead > 0) arrival.fail();
      });
      server.emit("connection", arrival.socket);
    };
  }

  const upgraded = webSocket === null ? null : webDoor(webSocket.path, greet);
  const looking = setInterval(() => {
    const nowMs = performance.now();
    const connectMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    for (const arrival of unproven) {
      const ageMs = nowMs - arrival.sinceMs;
      if (ageMs < connectMs) return;
      if (arrival.hasSpoken && ageMs < LOGIN_TIMEOUT_MS) continue;
      // Silence costs next to nothing, so it does not count against those behind the same address.
      if (arrival.hasSpoken) arrival.fail();
      else refusals.tell("silent", { address: arrival.address });
      arrival.socket.destroy();
    }
  }, LOGIN_LOOK_MS);
  const close = async () => {
    clearInterval(looking);
    for (const { socket } of arrivals) socket.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  };
  try {
    if (options.port !== null) await open("broker.port", "mqtt", options.port, welcome);
    if (tls !== null) {
      const accept = secured(tls, (socket) => greet(socket, socket));
      await open("broker.tls.port", "mqtts", tls.port, accept);
    }
    if (upgraded !== null && webSocket?.port != null) {
      await open("broker.webSocket.port", "ws", webSocket.port, (arrival) => {
        wrap(arrival);
        upgraded(arrival.socket);
      });
    }
    if (upgraded !== null && webSocket?.securePort != null && tls !== null) {
      await open("broker.webSocket.securePort", "wss", webSocket.securePort, secured(tls, upgraded));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    urls,
    isOpen: () => servers.every((server) => server.listening),
    renew() {
      if (tls === null) return;
      const options = readCertificates(tls);
      for (const server of contexts) server.setSecureContext(options);
    },
    close,
  };
}

/** A connection from its first byte on, whatever is spoken over it. */
class Arrival implements IncomingConnection {
  readonly socket: Socket;
  readonly address: string;
  stream: Duplex;
  certified: readonly string[] | null = null;
  needsCertificate = false;
  /** Its TLS handshake came to a good end. */
  isSecured = false;
  /** Its login is here, whole. */
  hasSpoken = false;
  /** What was wrong with its TLS. */
  fault = "the handshake was not finished";
  /** Whole monotonic milliseconds. */
  readonly sinceMs = Math.floor(performance.now());
  readonly #place: ConnectionSlot;
  readonly #unproven: Set<Arrival>;

  /** @param unproven it is one of them until it is proven or gone */
  constructor(socket: Socket, address: string, place: ConnectionSlot, unproven: Set<Arrival>) {
    this.socket = socket;
    this.stream = socket;
    this.address = address;
    this.#place = place;
    this.#unproven = unproven;
    unproven.add(this);
  }

  speak(): void {
    this.hasSpoken = true;
    this.#place.speak();
  }

  mayBeJudged(device: string, isNewcomer: boolean): boolean {
    return this.#place.mayBeJudged(device, isNewcomer);
  }

  prove(device: string, isNewcomer: boolean): boolean {
    if (!this.#place.prove(device, isNewcomer)) return false;
    this.#unproven.delete(this);
    return true;
  }

  fail(): boolean {
    return this.#place.fail();
  }

  leave(): void {
    this.#unproven.delete(this);
    this.#place.leave();
  }
}

function nothing(): void {}

/** What is said without reading a byte to whoever finds no place; behind TLS saying it would cost a handshake. */
const NO_PLACE: Readonly<Record<string, Buffer | undefined>> = {
  mqtt: connackPacket(UNAVAILABLE),
  ws: Buffer.from("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
};

function turnAway(socket: Socket, scheme: string): void {
  const said = NO_PLACE[scheme];
  if (said === undefined) {
    socket.destroy();
    return;
  }
  socket.write(said);
  socket.destroySoon();
}

/** Address and port of its peer tell which socket it was. */
function peerOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localPort}`;
}

/** Speaks HTTP to whoever comes, as far as to a WebSocket of MQTT. */
function webDoor(path: string, greet: (stream: Duplex, socket: Socket) => void): (socket: Socket) => void {
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
      greet(stream, request.socket);
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
