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
import type { Admission, Place } from "./admission.ts";
import { devicesIn, readCertificates, type TlsDoor } from "./certificates.ts";
import type { Refusals } from "./refusals.ts";

/** A connection that has a place and proved nothing yet. */
export interface Visitor {
  readonly stream: Duplex;
  readonly address: string;
  /** Devices that its certificate names; null without a certificate of a trusted authority. */
  readonly certified: readonly string[] | null;
  /** By this door a certificate alone proves a device. */
  readonly needsCertificate: boolean;
  readonly place: Pick<Place, "prove" | "fail">;
}

export interface DoorOptions {
  readonly host: string;
  /** Null: no door without TLS; 0: any free port, here and below. */
  readonly port: number | null;
  readonly tls: TlsDoor | null;
  readonly webSocket: WebSocketDoor | null;
}

export interface WebSocketDoor {
  readonly port: number | null;
  readonly securePort: number | null;
  readonly path: string;
}

export interface Doors {
  /** Where devices connect, as "mqtts://127.0.0.1:8883"; the plain one first. */
  readonly urls: readonly string[];
  isOpen(): boolean;
  /** Reads the certificates again; throws, and changes nothing, when they are wrong. */
  renew(): void;
  close(): Promise<void>;
}

/** From the first packet to a proven login: slow radios, and their TLS, need some of it. */
const LOGIN_TIMEOUT_MS = 30_000;

/** A peer that vanished without a word is noticed by the kernel, whatever its MQTT keep-alive. */
const TCP_KEEPALIVE_MS = 60_000;

const WEB_SOCKET_FRAME_BYTES_MAX = 131_072;
const WEB_HEADER_BYTES_MAX = 8_192;

export async function openDoors(
  options: DoorOptions,
  admission: Admission,
  refusals: Refusals,
  welcome: (visitor: Visitor) => void,
): Promise<Doors> {
  const { host, tls, webSocket } = options;
  const raw = new Map<string, RawConnection>();
  const servers: Server[] = [];
  const contexts: TlsServer[] = [];
  const urls: string[] = [];

  function greet(stream: Duplex, socket: Socket): void {
    const connection = raw.get(peerOf(socket));
    // Gone while TLS or HTTP were still talking.
    if (connection === undefined) return void stream.destroy();
    const isChecked = "authorized" in socket && socket.authorized === true;
    const certified = isChecked ? devicesIn((socket as TLSSocket).getPeerCertificate()) : null;
    welcome({
      stream,
      address: connection.address,
      certified,
      needsCertificate: "encrypted" in socket && tls?.clientCertificates === "required",
      place: connection,
    });
  }

  async function open(member: string, scheme: string, port: number, accept: (socket: Socket) => void) {
    const server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
      // Whoever resets a connection before anybody listens must not end the gateway.
      socket.on("error", () => undefined);
      const connection = admit(socket, admission, refusals);
      if (connection === null) return;
      const peer = peerOf(socket);
      raw.set(peer, connection);
      socket.on("close", () => {
        raw.delete(peer);
        connection.leave();
      });
      accept(socket);
    });
    const bound = await listen(server, member, host, port);
    servers.push(server);
    const path = scheme.startsWith("ws") ? webSocket!.path : "";
    urls.push(`${scheme}://${host.includes(":") ? `[${host}]` : host}:${bound}${path}`);
  }

  /** Accepts TLS and hands on what comes out of it. */
  function secured(door: TlsDoor, then: (socket: TLSSocket) => void): (socket: Socket) => void {
    const server = createTlsServer(
      {
        ...readCertificates(door),
        requestCert: door.clientCertificates !== "none",
        rejectUnauthorized: door.clientCertificates === "required",
        handshakeTimeout: LOGIN_TIMEOUT_MS,
      },
      (socket) => {
        socket.on("error", () => undefined);
        const connection = raw.get(peerOf(socket));
        if (connection !== undefined) connection.isSecured = true;
        then(socket);
      },
    );
    server.on("tlsClientError", (error, socket) => {
      const connection = raw.get(peerOf(socket));
      if (connection !== undefined) connection.fault = error.message;
      socket.destroy();
    });
    contexts.push(server);
    return (socket) => {
      const connection = raw.get(peerOf(socket));
      socket.prependListener("close", () => {
        if (connection === undefined) return;
        const { address, fault } = connection;
        if (!connection.isSecured) refusals.tell("certificate", { address, reason: fault });
        // A handshake is dear: whoever made it for nothing has failed.
        connection.fail();
      });
      server.emit("connection", socket);
    };
  }

  const upgraded = webSocket === null ? null : webDoor(webSocket.path, greet);
  const close = async () => {
    for (const { socket } of raw.values()) socket.destroy();
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  };
  try {
    if (options.port !== null)
      await open("broker.port", "mqtt", options.port, (socket) => greet(socket, socket));
    if (tls !== null) {
      const accept = secured(tls, (socket) => greet(socket, socket));
      await open("broker.tls.port", "mqtts", tls.port, accept);
    }
    if (upgraded !== null && webSocket?.port != null)
      await open("broker.webSocket.port", "ws", webSocket.port, upgraded);
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

interface RawConnection extends Place {
  readonly socket: Socket;
  readonly address: string;
  /** Its TLS handshake came to a good end. */
  isSecured: boolean;
  /** What was wrong with its TLS. */
  fault: string;
}

function admit(socket: Socket, admission: Admission, refusals: Refusals): RawConnection | null {
  const address = socket.remoteAddress ?? "";
  const place: Place | "full" | "source" = admission.arrive(address);
  if (typeof place === "string") {
    refusals.tell(place, { address });
    socket.destroy();
    return null;
  }
  socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
  const timer = setTimeout(() => {
    place.fail();
    socket.destroy();
  }, LOGIN_TIMEOUT_MS);
  return {
    socket,
    address,
    isSecured: false,
    fault: "the handshake was not finished",
    prove() {
      clearTimeout(timer);
      place.prove();
    },
    fail: () => place.fail(),
    leave() {
      clearTimeout(timer);
      place.leave();
    },
  };
}

/** TLS and HTTP give the socket they made another object: address and port of its peer tell which it was. */
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
      stream.on("error", () => undefined);
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
      reject(new Error(`broker ${host}:${port}: ${what}`));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
