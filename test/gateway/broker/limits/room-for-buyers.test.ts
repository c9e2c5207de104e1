// Strangers behind the same address, and strangers in all places: a light that buys gets in.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { generate } from "mqtt-packet";
import { generatePrivateKey } from "viem/accounts";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type EmbeddedBroker, openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { SERVERS, type Server } from "#gateway/config/broker-section";
import { fromHex } from "#payment/bytes";
import { type Key, openKey, recoverAddress } from "#payment/key";
import { loginToken } from "#payment/login";
import { until } from "../../fixtures.ts";

const newKey = () => openKey(fromHex(generatePrivateKey()));
const nameOf = (key: Key) => key.address.slice(2);
const GATEWAY = newKey();
const IN = 0;
const UNAVAILABLE = 3;
const CLOSED = -1;

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
  vi.useRealTimers();
});

async function newBroker(server: Server, buyers: ReadonlySet<string>, connectionsMax = 100) {
  const broker = await openEmbeddedBroker(
    {
      host: "127.0.0.1",
      server,
      port: 0,
      tls: null,
      webSocket: null,
      gateway: GATEWAY.address,
      recoverSigner: recoverAddress,
      connectionsMax,
      messages: { perSecond: 100, burst: 100 },
      barred: () => null,
      isNewcomer: (device) => !buyers.has(device),
      note: () => undefined,
    },
    () => undefined,
  );
  open.push(broker);
  return broker;
}

/** Logs in by a bare socket. @param signer who signs the login: the device itself, or one that may not */
async function logIn(
  broker: EmbeddedBroker,
  key: Key,
  signer = key,
): Promise<{ code: number; socket: Socket }> {
  const socket = connect(Number(new URL(broker.url).port), "127.0.0.1");
  open.push({ close: async () => socket.destroy() });
  socket.on("error", () => undefined);
  const code = new Promise<number>((resolve) => {
    socket.on("data", (chunk) => resolve(chunk[3]!));
    socket.on("close", () => resolve(CLOSED));
  });
  socket.write(
    generate({
      cmd: "connect",
      clientId: nameOf(key),
      username: nameOf(key),
      password: Buffer.from(loginToken(signer, GATEWAY.address, Date.now() / 1000)),
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
    }),
  );
  return { code: await code, socket };
}

describe.each(SERVERS)("spoken by %s", (server) => {
  test("lights that buy log in at once behind an address that goes on failing", async () => {
    // An address gets 50 failures back a second, which a busy machine does not use up: the limits' clock stands.
    vi.useFakeTimers({ toFake: ["performance"] });
    const buyers = Array.from({ length: 10 }, newKey);
    const broker = await newBroker(server, new Set(buyers.map(nameOf)));
    const [stranger, forger] = [newKey(), newKey()];
    let isOver = false;
    const attacker = async () => {
      while (!isOver) (await logIn(broker, stranger, forger)).socket.destroy();
    };
    const attack = Promise.all(Array.from({ length: 8 }, attacker));
    const endAttack = async () => {
      isOver = true;
      await attack;
    };
    open.push({ close: endAttack });
    await until(
      () => broker.refused.source > 100,
      30_000,
      () => `logins refused for their address, found ${JSON.stringify(broker.refused)}`,
    );
    const codes: number[] = [];
    for (const buyer of buyers) codes.push((await logIn(broker, buyer)).code);
    await endAttack();
    expect(codes).toEqual(buyers.map(() => IN));
    expect(broker.refused.login).toBeGreaterThanOrEqual(500);
  });

  test("in a broker full of strangers a light that buys takes the place of the one that has been in for longest", async () => {
    const buyers = [newKey(), newKey()] as const;
    const known = new Set(buyers.map(nameOf));
    const broker = await newBroker(server, known, 32);
    const strangers: { key: Key; socket: Socket }[] = [];
    for (let count = 0; count < 30; count += 1) {
      const key = newKey();
      const { code, socket } = await logIn(broker, key);
      expect(code).toBe(IN);
      strangers.push({ key, socket });
    }
    expect((await logIn(broker, newKey())).code).toBe(UNAVAILABLE);
    const left = once(strangers[0]!.socket, "close");
    expect((await logIn(broker, buyers[0])).code).toBe(IN);
    await left;
    // The next one has bought since it came in, so it stays.
    known.add(nameOf(strangers[1]!.key));
    const alsoLeft = once(strangers[2]!.socket, "close");
    expect((await logIn(broker, buyers[1])).code).toBe(IN);
    await alsoLeft;
    expect(broker.refused.displaced).toBe(2);
    const isIn = strangers.map(({ socket }) => !socket.destroyed);
    expect(isIn).toEqual(strangers.map((_, index) => index !== 0 && index !== 2));
  });
});
