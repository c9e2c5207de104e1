/**
 * A broker inside the gateway: aedes on TCP, one login per device, deny by default.
 *
 * Promise: a connection that proves no device gets nothing; a message that access.ts does not allow ends
 * its connection; small packets leave at once (no Nagle), or a purchase would wait 40 ms for an ACK.
 */
import { createServer, type Server, type Socket } from "node:net";
import { Aedes, type AuthenticateError, type Client } from "aedes";
import { LEAVES, readTopic, TOPIC_PREFIX, topicOf } from "#protocol/topics";
import type { Note } from "../purchase/ports.ts";
import { mayPublish, maySubscribe, proveDevice } from "./access.ts";
import type { Broker, Receive } from "./broker.ts";
import { guardPackets } from "./packet-guard.ts";

export interface EmbeddedOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** The gateway's address: logins are made for it. */
  readonly gateway: string;
  readonly connectionsMax: number;
  readonly note: Note;
}

const CONNECT_TIMEOUT_MS = 30_000;

/** Packets that a connection may send before it is logged in. */
const QUEUE_LIMIT = 42;

/** Topic and packet id of a publish, a login with its will: generous, and nothing beside the payload. */
const PACKET_OVERHEAD_BYTES = 4_096;
const PACKET_BYTES_MAX =
  PACKET_OVERHEAD_BYTES + Math.max(...Object.values(LEAVES).map(({ bytesMax }) => bytesMax));

export async function openEmbeddedBroker(options: EmbeddedOptions, receive: Receive): Promise<Broker> {
  const { host, port, gateway, note } = options;
  const sockets = new Set<Socket>();
  const aedes = await Aedes.createBroker({
    connectTimeout: CONNECT_TIMEOUT_MS,
    queueLimit: QUEUE_LIMIT,
    preConnect(_client, packet, done) {
      // A session kept for a client that stays away would gather messages for ever; devices need none.
      packet.clean = true;
      done(null, true);
    },
    authenticate(client, username, password, done) {
      const login = { clientId: client.id, username: username ?? "", password: password?.toString() ?? "" };
      const { device, reason } = proveDevice(login, gateway, Date.now() / 1000);
      if (device !== null) return done(null, true);
      note("warn", "login refused", { clientId: client.id.slice(0, 64), reason });
      done(refusedLogin(reason), false);
    },
    authorizePublish(client, packet, done) {
      const allowed =
        client !== null && mayPublish(client.id, packet.topic, packet.payload.length, packet.retain);
      if (allowed) return done(null);
      note("warn", "publish refused", {
        clientId: client?.id.slice(0, 64),
        topic: packet.topic.slice(0, 120),
      });
      done(new Error("not allowed"));
    },
    authorizeSubscribe(client, subscription, done) {
      if (maySubscribe(client.id, subscription.topic)) return done(null, subscription);
      note("warn", "subscription refused", {
        clientId: client.id.slice(0, 64),
        topic: subscription.topic.slice(0, 120),
      });
      done(null, null);
    },
  });
  aedes.on("clientError", (client: Client, error: Error) => {
    note("info", "connection ended", { clientId: client.id.slice(0, 64), reason: error.message });
  });
  await subscribeAll(aedes, receive);

  const server = createServer((socket) => {
    if (sockets.size >= options.connectionsMax) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.setNoDelay(true);
    guardPackets(socket, PACKET_BYTES_MAX);
    socket.on("close", () => sockets.delete(socket));
    aedes.handle(socket);
  });
  const bound = await listen(server, host, port).catch(async (error) => {
    // Its heartbeat would keep a process alive that has nothing to serve.
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    throw error;
  });
  return {
    url: `mqtt://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    publish(device, leaf, payload, retained) {
      const packet = { cmd: "publish" as const, topic: topicOf(device, leaf), qos: 1 as const, dup: false };
      aedes.publish({ ...packet, payload: Buffer.from(payload), retain: retained }, () => {});
    },
    isUp: () => server.listening,
    retain(topic, text) {
      const packet = { cmd: "publish" as const, topic, qos: 1 as const, dup: false, retain: true };
      aedes.publish({ ...packet, payload: Buffer.from(text) }, () => {});
    },
    async close() {
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function subscribeAll(aedes: Aedes, receive: Receive): Promise<void> {
  return new Promise((resolve) => {
    aedes.subscribe(
      `${TOPIC_PREFIX}#`,
      (packet, done) => {
        const read = readTopic(packet.topic);
        // Our own publishes come by here too.
        if (read !== null && LEAVES[read.leaf].direction === "up")
          receive(read.device, read.leaf, packet.payload as Buffer);
        done();
      },
      () => resolve(),
    );
  });
}

function refusedLogin(reason: string): AuthenticateError {
  // MQTT 3.1.1 section 3.2.2.3: return code 5, not authorised.
  return Object.assign(new Error(reason), { returnCode: 5 }) as AuthenticateError;
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const what =
        error.code === "EADDRINUSE" ? "the port is in use; choose another broker.port" : error.message;
      reject(new Error(`broker ${host}:${port}: ${what}`));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
