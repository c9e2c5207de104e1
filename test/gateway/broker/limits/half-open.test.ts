// Connections that never say who they are: a short time for each, and room for those behind the same address.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import mqtt from "mqtt";
import { generatePrivateKey } from "viem/accounts";
import { afterEach, describe, expect, test } from "vitest";
import { openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { SERVERS, type Server } from "#gateway/config/broker-section";
import { fromHex } from "#payment/bytes";
import { openKey, recoverAddress } from "#payment/key";
import { loginToken } from "#payment/login";
import { until } from "../../fixtures.ts";
import { newAuthority } from "../external/authority.ts";

const newKey = () => openKey(fromHex(generatePrivateKey()));
const GATEWAY = newKey();
/** A quarter of the places, and at most so many, are an address's for those that proved nothing. */
const HALF_OPEN = 1_000;

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function newBroker(server: Server, connectTimeoutMs?: number) {
  const authority = await newAuthority();
  const issued = await authority.issue("localhost");
  open.push({ close: () => authority.remove() });
  const broker = await openEmbeddedBroker(
    {
      host: "127.0.0.1",
      server,
      port: 0,
      tls: { port: 0, ...issued, clientCaFile: null, clientCertificates: "none" },
      webSocket: { port: 0, securePort: 0, path: "/mqtt" },
      gateway: GATEWAY.address,
      recoverSigner: recoverAddress,
      connectionsMax: 4 * HALF_OPEN,
      messages: { perSecond: 100, burst: 100 },
      barred: () => null,
      isNewcomer: () => true,
      note: () => undefined,
      ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    },
    () => undefined,
  );
  open.push(broker);
  return { broker, authority };
}

async function halfOpen(url: string, bytes: Buffer): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.on("error", () => undefined);
  open.push({ close: async () => socket.destroy() });
  await once(socket, "connect");
  if (bytes.length > 0) socket.write(bytes);
  return socket;
}

/** The beginning of a CONNECT, of a TLS record, of a request: whatever fits the listener least or best. */
const BEGINNINGS = [Buffer.alloc(0), Buffer.from([0x10, 0x40, 0, 4, 77, 81])];

describe.each(SERVERS)("spoken by %s", (server) => {
  test("a thousand half-open connections of one address keep none of its honest lights out, by no listener", async () => {
    const { broker, authority } = await newBroker(server);
    const plain = broker.urls[0]!;
    for (let count = 0; count < HALF_OPEN; count += 1) await halfOpen(plain, BEGINNINGS[count % 2]!);
    await until(
      () => broker.connections === HALF_OPEN,
      10_000,
      () => `${HALF_OPEN} connections, found ${broker.connections}`,
    );
    for (const url of broker.urls) {
      const key = newKey();
      const client = mqtt.connect(url, {
        clientId: key.address.slice(2),
        username: key.address.slice(2),
        password: loginToken(key, GATEWAY.address, Date.now() / 1000),
        ca: authority.cert,
        reconnectPeriod: 0,
      });
      open.push({ close: () => client.endAsync(true) });
      const outcome = await new Promise<string>((resolve) => {
        client.once("connect", () => resolve("in"));
        client.once("error", (error) => resolve(error.message));
        client.once("close", () => resolve("closed"));
      });
      expect(outcome, url).toBe("in");
    }
    expect(broker.refused.source).toBe(0);
    expect(broker.refused.silent).toBeGreaterThan(0);
  });

  test("by every listener a connection without a whole CONNECT is ended in a short time, and does not count as a failure", async () => {
    const { broker } = await newBroker(server, 300);
    const sockets: Socket[] = [];
    for (const url of broker.urls) {
      for (const bytes of BEGINNINGS) sockets.push(await halfOpen(url, bytes));
    }
    await until(
      () => broker.connections === 0 && sockets.every(({ destroyed, closed }) => destroyed || closed),
      10_000,
      () => `no connection, found ${broker.connections}`,
    );
    expect(broker.refused.silent).toBeGreaterThanOrEqual(BEGINNINGS.length);
  });
});
