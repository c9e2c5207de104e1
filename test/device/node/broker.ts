/** A real broker on a free port, with its connections in the test's hands. */
import { createServer as createPlain, type Server, type Socket } from "node:net";
import { createServer as createSecure } from "node:tls";
import { Aedes, type AuthenticateError, type Client, type PublishPacket } from "aedes";

export interface TestBroker {
  readonly port: number;
  readonly aedes: Aedes;
  /** Passwords presented, oldest first. */
  readonly passwords: string[];
  /** Messages of clients and wills, oldest first. */
  readonly published: { readonly topic: string; readonly payload: Buffer; readonly retain: boolean }[];
  readonly clients: Client[];
  send(topic: string, payload: Uint8Array, retain?: boolean): void;
  /** Ends every connection without a word, as a cable pulled. */
  cut(): void;
  close(): Promise<void>;
}

export interface BrokerOptions {
  readonly port?: number;
  readonly admits?: (device: string, password: string) => boolean;
  /** False holds every publish unacknowledged. */
  readonly acknowledges?: boolean;
  readonly tls?: { readonly cert: string; readonly key: string };
}

const NOT_AUTHORIZED = 5;

export async function startBroker(options: BrokerOptions = {}): Promise<TestBroker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const passwords: string[] = [];
  const published: { topic: string; payload: Buffer; retain: boolean }[] = [];
  const clients: Client[] = [];
  aedes.authenticate = (_client, device, password, done) => {
    passwords.push(String(password));
    if (options.admits?.(String(device), String(password)) ?? true) return done(null, true);
    done(Object.assign(new Error("refused"), { returnCode: NOT_AUTHORIZED }) as AuthenticateError, null);
  };
  aedes.authorizePublish = (_client, _packet, done) => {
    if (options.acknowledges ?? true) done(null);
  };
  aedes.on("client", (client) => void clients.push(client));
  aedes.on("publish", ({ topic, payload, retain }) => {
    if (topic.startsWith("$SYS")) return;
    published.push({ topic, payload: Buffer.from(payload), retain });
  });
  const server: Server = options.tls ? createSecure(options.tls, aedes.handle) : createPlain(aedes.handle);
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("expected a TCP port");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: address.port,
    aedes,
    passwords,
    published,
    clients,
    send: (topic, payload, retain = false) => {
      const packet: PublishPacket = {
        cmd: "publish",
        topic,
        payload: Buffer.from(payload),
        qos: 1,
        dup: false,
        retain,
      };
      aedes.publish(packet, () => {});
    },
    cut,
    close: async () => {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      cut();
      await closed;
    },
  };
}

/** Waits until a condition holds; fails naming it after ten seconds. */
export async function until(what: string, holds: () => boolean, limitMs = 10_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`expected within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
