// The four doors of the embedded broker, with real certificates: who comes in where, and by what proof.

import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { SERVERS, type Server } from "#gateway/config/broker-section";
import { systemClock } from "#node/clock";
import { openMqttLink } from "#node/mqtt-link";
import { fromHex } from "#payment/bytes";
import { type Key, openKey, recoverAddress } from "#payment/key";
import { loginToken } from "#payment/login";
import { topicOf } from "#protocol/topics";
import { until } from "../fixtures.ts";
import { type Authority, type Issued, newAuthority } from "./external/authority.ts";

const newKey = () => openKey(fromHex(generatePrivateKey()));
const GATEWAY = newKey();
const IDENTIFIER_REJECTED = "2";
const NOT_AUTHORISED = "5";
const nameOf = (key: Key) => key.address.slice(2);

let authority: Authority;
let stranger: Authority;
/** Of the same name as the authority. */
let impostor: Authority;
let server: Issued;
beforeAll(async () => {
  authority = await newAuthority();
  stranger = await newAuthority("a stranger");
  impostor = await newAuthority();
  server = await authority.issue("localhost");
});
afterAll(() => Promise.all([authority, stranger, impostor].map((made) => made.remove())));

/** Every promise is made by both servers. */
let spoken: Server;

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function newBroker(
  clientCertificates: "none" | "optional" | "required" = "none",
  files: Pick<Issued, "certFile" | "keyFile"> = server,
) {
  const heard: string[] = [];
  const notes: string[] = [];
  const isRequired = clientCertificates === "required";
  const broker = await openEmbeddedBroker(
    {
      host: "127.0.0.1",
      server: spoken,
      port: isRequired ? null : 0,
      tls: { port: 0, ...files, clientCaFile: authority.certFile, clientCertificates },
      webSocket: { port: isRequired ? null : 0, securePort: 0, path: "/mqtt" },
      gateway: GATEWAY.address,
      recoverSigner: recoverAddress,
      connectionsMax: 100,
      messages: { perSecond: 100, burst: 100 },
      barred: () => null,
      isNewcomer: () => true,
      note: (_level, text, fields) => notes.push(`${text} ${JSON.stringify(fields)}`),
    },
    (device, leaf, payload) => heard.push(`${device} ${leaf} ${payload.length}`),
  );
  open.push(broker);
  const urlOf = (scheme: string) => broker.urls.find((url) => url.startsWith(`${scheme}:`))!;
  return { broker, heard, notes, urlOf };
}

/** Resolves with the client once logged in, or with the reason why not. */
async function logIn(url: string, name: string, instead: IClientOptions = {}): Promise<MqttClient | string> {
  const client = mqtt.connect(url, {
    clientId: name,
    username: name,
    ca: authority.cert,
    reconnectPeriod: 0,
    ...instead,
  });
  open.push({ close: () => client.endAsync(true) });
  return new Promise((resolve) => {
    client.once("connect", () => resolve(client));
    client.once("error", (error) => resolve(String((error as { code?: unknown }).code ?? error.message)));
    client.once("close", () => resolve("closed"));
  });
}

const password = (key: Key) => loginToken(key, GATEWAY.address, Date.now() / 1000);
const certificate = ({ cert, key }: Issued) => ({ cert, key });

describe.each(SERVERS)("spoken by %s", (server) => {
  beforeAll(() => {
    spoken = server;
  });

  test.each(["mqtt", "mqtts", "ws", "wss"])(
    "by %s the real device link logs in, is heard and hears, while the other doors stand open",
    async (scheme) => {
      const { broker, heard, urlOf } = await newBroker();
      expect(broker.urls.map((url) => url.split(":")[0])).toEqual(["mqtt", "mqtts", "ws", "wss"]);
      const key = newKey();
      const got: string[] = [];
      const troubles: string[] = [];
      const link = openMqttLink({
        brokerUrl: urlOf(scheme),
        tls: { ca: authority.cert, servername: "localhost" },
        protocolVersion: 4,
        key,
        gatewayPublicKey: GATEWAY.publicKey,
        keepaliveSeconds: 5,
        clock: systemClock(),
        random: Math.random,
        onTrouble: (text) => troubles.push(text),
      });
      open.push(link);
      link.onMessage((leaf, payload) => got.push(`${leaf} ${payload.length}`));
      let isUp = false;
      link.onChange((up) => {
        isUp = up;
      });
      await until(
        () => isUp,
        10_000,
        () => `a link; ${troubles.join()}`,
      );
      link.publish("request", new Uint8Array(16_000), false);
      link.publish("pay", new Uint8Array(99), false);
      broker.publish(nameOf(key), "grant", new Uint8Array(42), false);
      broker.publish(nameOf(key), "response", new Uint8Array(65_000), false);
      await until(
        () => heard.length === 2 && got.length === 2,
        10_000,
        () => `two messages each way, found ${heard} and ${got}`,
      );
      expect(heard).toEqual([`${nameOf(key)} request 16000`, `${nameOf(key)} pay 99`]);
      expect(got).toEqual(["grant 42", "response 65000"]);
      expect(broker.connections).toBe(1);
    },
  );

  test("a certificate that names the device is proof enough, by common name or DNS name, by TLS and by WebSocket", async () => {
    const { urlOf } = await newBroker("optional");
    const [one, two] = [nameOf(newKey()), nameOf(newKey())];
    const common = certificate(await authority.issue(one));
    const alternative = certificate(await authority.issue("lamp 7", [two]));
    expect(await logIn(urlOf("mqtts"), one, common)).toBeInstanceOf(mqtt.MqttClient);
    expect(await logIn(urlOf("wss"), one, common)).toBeInstanceOf(mqtt.MqttClient);
    expect(await logIn(urlOf("mqtts"), two, alternative)).toBeInstanceOf(mqtt.MqttClient);
  });

  test("device A's certificate gives no login as B, not even with B's password", async () => {
    const { broker, urlOf, notes } = await newBroker("optional");
    const [a, b] = [newKey(), newKey()];
    const ofA = certificate(await authority.issue(nameOf(a)));
    for (const scheme of ["mqtts", "wss"]) {
      const url = urlOf(scheme);
      expect(await logIn(url, nameOf(b), ofA)).toBe(NOT_AUTHORISED);
      expect(await logIn(url, nameOf(b), { ...ofA, password: password(b) })).toBe(NOT_AUTHORISED);
      expect(await logIn(url, nameOf(a), { ...ofA, clientId: nameOf(b) })).toBe(IDENTIFIER_REJECTED);
      expect(await logIn(url, nameOf(a), { ...ofA, username: nameOf(b) })).toBe(IDENTIFIER_REJECTED);
    }
    expect(broker.refused.login).toBe(8);
    expect(notes.join()).toContain(`"certificate":"${nameOf(a)}"`);
  });

  test("a certificate of another authority proves nothing: there the password decides", async () => {
    const { broker, urlOf } = await newBroker("optional");
    const key = newKey();
    const forged = certificate(await stranger.issue(nameOf(key)));
    expect(await logIn(urlOf("mqtts"), nameOf(key), forged)).not.toBeInstanceOf(mqtt.MqttClient);
    expect(await logIn(urlOf("mqtts"), nameOf(key), { ...forged, password: password(key) })).toBeInstanceOf(
      mqtt.MqttClient,
    );
    const copied = certificate(await impostor.issue(nameOf(key)));
    expect(await logIn(urlOf("mqtts"), nameOf(key), copied)).not.toBeInstanceOf(mqtt.MqttClient);
    expect(broker.takeOvers).toBe(0);
  });

  test("where certificates are required no password helps: none, another authority's, or one without a device", async () => {
    const { broker, urlOf, notes } = await newBroker("required");
    expect(broker.urls.map((url) => url.split(":")[0])).toEqual(["mqtts", "wss"]);
    const key = newKey();
    const name = nameOf(key);
    const own = certificate(await authority.issue(name));
    const foreign = certificate(await stranger.issue(name));
    const nameless = certificate(await authority.issue("lamp 7"));
    for (const wrong of [{}, foreign, nameless]) {
      const answer = await logIn(urlOf("mqtts"), name, { ...wrong, password: password(key) });
      expect(answer).not.toBeInstanceOf(mqtt.MqttClient);
    }
    expect(broker.refused.certificate).toBe(2);
    expect(notes.filter((note) => note.startsWith("connection ended: TLS"))).toHaveLength(2);
    expect(await logIn(urlOf("mqtts"), name, own)).toBeInstanceOf(mqtt.MqttClient);
  });

  test("bounds hold on every door: a packet too long, a WebSocket of something else, noise, places", async () => {
    const { broker, urlOf } = await newBroker();
    const port = (scheme: string) => Number(new URL(urlOf(scheme)).port);
    const tooLong = Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]);

    for (const scheme of ["mqtt", "mqtts"]) {
      const socket =
        scheme === "mqtt"
          ? connectTcp(port(scheme), "127.0.0.1")
          : connectTls({
              port: port(scheme),
              host: "127.0.0.1",
              ca: authority.cert,
              servername: "localhost",
            });
      socket.on("error", () => undefined);
      await once(socket, scheme === "mqtt" ? "connect" : "secureConnect");
      const closed = once(socket, "close");
      socket.write(tooLong);
      await closed;
    }
    for (const scheme of ["ws", "wss"]) {
      const answer = (path: string, protocol: string) =>
        new Promise<string>((resolve) => {
          const url = urlOf(scheme).replace("/mqtt", path);
          const socket = new WebSocket(url, protocol, { ca: authority.cert });
          socket.on("open", () => socket.send(tooLong));
          socket.on("close", () => resolve("closed"));
          socket.on("error", () => resolve("refused"));
        });
      expect(await answer("/mqtt", "mqtt"), scheme).toBe("closed");
      expect(await answer("/other", "mqtt"), scheme).toBe("refused");
      expect(await answer("/mqtt", "chat"), scheme).toBe("refused");
    }
    expect(broker.refused.packet).toBe(4);
    // Plain bytes at a TLS door, and HTTP at a WebSocket's.
    const noise = connectTcp(port("mqtts"), "127.0.0.1");
    noise.on("error", () => undefined);
    noise.write("GET / HTTP/1.0\r\n\r\n");
    await once(noise, "close");
    expect(broker.refused.certificate).toBe(1);
    const page = await fetch(urlOf("ws").replace("ws:", "http:"));
    expect(page.status).toBe(426);
    await page.text();
    await until(
      () => broker.connections === 0,
      5_000,
      () => `no connection left, found ${broker.connections}`,
    );
  });

  test("new certificates hold for new connections; wrong ones change nothing and are reported", async () => {
    const [first, second] = [
      await authority.issue("localhost"),
      await authority.issue("localhost", ["second"]),
    ];
    const files = { certFile: first.certFile, keyFile: first.keyFile };
    const { broker, notes, urlOf } = await newBroker("none", files);
    const names = async () => {
      const { port } = new URL(urlOf("wss"));
      const socket = connectTls({
        port: Number(port),
        host: "127.0.0.1",
        ca: authority.cert,
        servername: "localhost",
      });
      await once(socket, "secureConnect");
      const { subjectaltname } = socket.getPeerCertificate();
      socket.destroy();
      return subjectaltname;
    };
    const key = newKey();
    const before = (await logIn(urlOf("mqtts"), nameOf(key), { password: password(key) })) as MqttClient;
    expect(await names()).not.toContain("second");

    writeFileSync(files.certFile, "not a certificate");
    await until(
      () => notes.some((note) => note.includes("could not be read again") && note.includes("certFile")),
      5_000,
      () => "a warning",
    );
    expect(await names()).not.toContain("second");
    broker.reload();
    expect(await names()).not.toContain("second");
    writeFileSync(files.keyFile, second.key);
    writeFileSync(files.certFile, second.cert);
    await until(
      () => notes.some((note) => note.includes("was read again")),
      5_000,
      () => "a reading",
    );
    expect(await names()).toContain("second");
    expect(before.connected).toBe(true);
    await before.publishAsync(topicOf(nameOf(key), "pay"), Buffer.alloc(99), { qos: 1 });
  });
});
