// A login that is refused learns why, as far as MQTT 3.1.1 can say it: CONNACK's return codes (section 3.2.2.3),
// through every door where something can be said, by both servers, and the log says the same.

import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import mqtt, { type IClientOptions } from "mqtt";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { SERVERS, type Server } from "#gateway/config/broker-section";
import { fromHex } from "#payment/bytes";
import { type Key, openKey, recoverAddress } from "#payment/key";
import { loginToken } from "#payment/login";
import { topicOf } from "#protocol/topics";
import { type Authority, type Issued, newAuthority } from "./external/authority.ts";

const newKey = () => openKey(fromHex(generatePrivateKey()));
const GATEWAY = newKey();
const nameOf = (key: Key) => key.address.slice(2);
const passwordOf = (key: Key) => loginToken(key, GATEWAY.address, Date.now() / 1000);

let authority: Authority;
let issued: Issued;
beforeAll(async () => {
  authority = await newAuthority();
  issued = await authority.issue("localhost");
});
afterAll(() => authority.remove());

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

interface Barrier {
  readonly connectionsMax?: number;
  readonly barred?: (device: string) => string | null;
}

async function newBroker(server: Server, { connectionsMax = 100, barred = () => null }: Barrier = {}) {
  const notes: [string, unknown][] = [];
  const broker = await openEmbeddedBroker(
    {
      host: "127.0.0.1",
      server,
      port: 0,
      tls: { port: 0, ...issued, clientCaFile: authority.certFile, clientCertificates: "optional" },
      webSocket: { port: 0, securePort: 0, path: "/mqtt" },
      gateway: GATEWAY.address,
      recoverSigner: recoverAddress,
      connectionsMax,
      messages: { perSecond: 100, burst: 100 },
      barred,
      isNewcomer: () => true,
      note: (_level, text, fields) => notes.push([text, fields]),
    },
    () => {},
  );
  open.push(broker);
  const urlOf = (scheme: string) => broker.urls.find((url) => url.startsWith(`${scheme}:`))!;
  return { notes, urlOf, port: Number(new URL(broker.url).port) };
}

/** CONNACK's return code, 0 when it was let in. */
function codeOf(url: string, key: Key, instead: IClientOptions = {}): Promise<number | string> {
  const client = mqtt.connect(url, {
    protocolVersion: 4,
    clientId: nameOf(key),
    username: nameOf(key),
    password: passwordOf(key),
    ca: authority.cert,
    reconnectPeriod: 0,
    ...instead,
  });
  open.push({ close: () => client.endAsync(true) });
  return new Promise((resolve) => {
    client.once("connect", () => resolve(0));
    client.once("error", (error) => resolve((error as { code?: number }).code ?? error.message));
    client.once("close", () => resolve("closed without a word"));
  });
}

const DOORS = ["mqtt", "mqtts", "ws", "wss"];

describe.each(SERVERS)("spoken by %s", (server) => {
  test.each(DOORS)("by %s each kind of refusal has its code, and the log names it", async (scheme) => {
    const shut = newKey();
    const barred = (device: string) => (device === nameOf(shut) ? "not on the list" : null);
    const { notes, urlOf } = await newBroker(server, { barred });
    const url = urlOf(scheme);
    const will = { topic: topicOf(nameOf(newKey()), "state"), payload: Buffer.from("{}") };
    const wrong: [Key, IClientOptions, number][] = [
      [newKey(), { clientId: "other" }, 2],
      [newKey(), { username: "nobody", clientId: "nobody" }, 4],
      [newKey(), { password: passwordOf(newKey()) }, 4],
      [newKey(), { password: "" }, 4],
      [newKey(), { will }, 5],
      [shut, {}, 5],
    ];
    for (const [key, instead, code] of wrong) expect(await codeOf(url, key, instead)).toBe(code);
    expect(await codeOf(url, newKey())).toBe(0);
    const refusals = notes.filter(([text]) => text.startsWith("login refused"));
    expect(refusals.map(([text]) => text)).toEqual([
      "login refused",
      "login refused",
      "login refused",
      "login refused",
      "login refused: will not allowed",
      "login refused: not enrolled",
    ]);
    const codes = refusals.map(([, fields]) => (fields as { code: string }).code);
    expect(codes).toEqual(wrong.map(([, , code]) => String(code)));
  });

  test("another device's certificate is not authorised, whatever password comes with it", async () => {
    const { urlOf } = await newBroker(server);
    const { cert, key } = await authority.issue(nameOf(newKey()));
    expect(await codeOf(urlOf("mqtts"), newKey(), { cert, key })).toBe(5);
  });

  test.each([
    [5, "MQTT"],
    [3, "MQIsdp"],
  ] as const)("MQTT of another version, %i, is refused with code 1", async (level, name) => {
    const { port } = await newBroker(server);
    const socket = connectTcp(port, "127.0.0.1");
    open.push({ close: async () => socket.destroy() });
    const key = newKey();
    const text = (value: string) => [value.length >> 8, value.length & 255, ...Buffer.from(value)];
    const body = [...text(name), level, 0xc2, 0, 60, ...(level === 5 ? [0] : [])];
    body.push(...text(nameOf(key)), ...text(nameOf(key)), ...text(passwordOf(key)));
    socket.write(Buffer.from([0x10, (body.length & 127) | 128, body.length >> 7, ...body]));
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect([...answer]).toEqual([0x20, 2, 0, 1]);
    await once(socket, "close");
  });

  test("a device that logs in over and over is refused as too frequent, not for a wrong key", async () => {
    const { urlOf, notes } = await newBroker(server);
    const key = newKey();
    const codes = [await codeOf(urlOf("mqtt"), key)];
    expect(codes[0]).toBe(0);
    // Up to the first refusal: what is allowed grows back with time, so a later login may succeed again.
    while (codes.at(-1) === 0 && codes.length < 100) codes.push(await codeOf(urlOf("mqtt"), key));
    expect(codes.at(-1)).toBe(3);
    expect(notes).toContainEqual(["login refused: too many logins", expect.objectContaining({ code: "3" })]);
  });

  test("a full broker says that it is unavailable where that costs no handshake, and elsewhere closes", async () => {
    const { urlOf } = await newBroker(server, { connectionsMax: 1 });
    expect(await codeOf(urlOf("mqtt"), newKey())).toBe(0);
    expect(await codeOf(urlOf("mqtt"), newKey())).toBe(3);
    const { hostname, port } = new URL(urlOf("ws"));
    const busy = await fetch(`http://${hostname}:${port}/mqtt`);
    expect(busy.status).toBe(503);
    expect(await codeOf(urlOf("mqtts"), newKey())).not.toBe(0);
  });
});
