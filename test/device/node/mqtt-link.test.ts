import { Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { readBrokerUrl } from "#node/broker-socket";
import { systemClock } from "#node/clock";
import { type MqttLink, type MqttLinkOptions, openMqttLink } from "#node/mqtt-link";
import { provenLogin } from "#payment/login";
import { LEAVES, topicOf } from "#protocol/topics";
import { type BrokerOptions, startBroker, type TestBroker, until } from "./broker.ts";
import { BROKER_CERTIFICATE, BROKER_KEY } from "./certificate.ts";
import { DEVICE_KEY, GATEWAY_KEY } from "./fixtures.ts";

const DEVICE = DEVICE_KEY.address.slice(2);
const QUICK = { firstMs: 50, maxMs: 100 };

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const one of open.splice(0).reverse()) await one.close();
});

async function broker(options: BrokerOptions = {}): Promise<TestBroker> {
  const started = await startBroker(options);
  open.push(started);
  return started;
}

interface Watched {
  readonly link: MqttLink;
  readonly changes: boolean[];
  readonly messages: { leaf: string; bytes: number }[];
  readonly troubles: string[];
}

function watch(port: number, options: Partial<MqttLinkOptions> = {}): Watched {
  const troubles: string[] = [];
  const link = openMqttLink({
    brokerUrl: `mqtt://127.0.0.1:${port}`,
    protocolVersion: 4,
    key: DEVICE_KEY,
    gatewayPublicKey: GATEWAY_KEY.publicKey,
    keepaliveSeconds: 30,
    clock: systemClock(),
    random: Math.random,
    reconnect: QUICK,
    onTrouble: (text) => void troubles.push(text),
    ...options,
  });
  open.push(link);
  return { link, changes: [], messages: [], troubles };
}

function listen(watched: Watched): Watched {
  watched.link.onMessage((leaf, payload) => void watched.messages.push({ leaf, bytes: payload.length }));
  watched.link.onChange((up) => void watched.changes.push(up));
  return watched;
}

const isUp = (watched: Watched) => () => watched.changes.at(-1) === true;

describe("a link to a broker", () => {
  it("switches Nagle's algorithm off on its socket", async () => {
    const { port } = await broker();
    const seen = vi.spyOn(Socket.prototype, "setNoDelay");
    const watched = listen(watch(port));
    await until("the link is up", isUp(watched));
    const ours = seen.mock.contexts.findIndex((socket) => (socket as Socket).remotePort === port);
    expect(ours).toBeGreaterThanOrEqual(0);
    expect(seen.mock.calls[ours]).toEqual([true]);
  });

  it("proves the device's key at its login", async () => {
    const { port, passwords } = await broker();
    const watched = listen(watch(port));
    await until("the link is up", isUp(watched));
    const proven = provenLogin(passwords[0]!, DEVICE_KEY.address, GATEWAY_KEY.address, Date.now() / 1000);
    expect(proven).toBe(DEVICE_KEY.address);
  });

  it("logs in by a password where the broker wants that, with no clock, and keeps its own topics", async () => {
    const names: string[] = [];
    const { port, passwords, published } = await broker({
      admits: (name, password) => names.push(name) > 0 && password === "lamp light",
    });
    const clock = { ...systemClock(), wallSeconds: () => null };
    const named = listen(watch(port, { clock, login: { username: "pole-7", password: "lamp light" } }));
    await until("the link is up", isUp(named));
    named.link.publish("state", Buffer.from("{}"), true);
    await until("the state", () => published.length > 0);
    expect(published[0]!.topic).toBe(topicOf(DEVICE, "state"));
    const own = listen(watch(port, { clock, login: { username: null, password: "wrong" } }));
    await until("a refusal", () => own.troubles.length > 0);
    expect(own.troubles[0]).toContain("check the user name and the password, or the certificate");
    expect(names.slice(0, 2)).toEqual(["pole-7", DEVICE]);
    names.length = 0;
    listen(watch(port, { login: "certificate" }));
    await until("a login without a name", () => names.some((name) => !["pole-7", DEVICE].includes(name)));
    expect(passwords.slice(0, 2)).toEqual(["lamp light", "wrong"]);
  });

  it("hears its own leaves and drops what is too long, another's, or going up", async () => {
    const started = await broker();
    const watched = listen(watch(started.port));
    await until("the link is up", isUp(watched));
    started.send(topicOf(DEVICE, "offer"), new Uint8Array(LEAVES.offer.bytesMax + 1));
    started.send(topicOf(DEVICE, "grant"), new Uint8Array(43));
    await until("both drops", () => watched.link.counters.oversize === 2);
    for (const topic of [topicOf("0".repeat(40), "grant"), topicOf(DEVICE, "pay"), "elsewhere"]) {
      const forced = {
        cmd: "publish" as const,
        topic,
        payload: Buffer.from("x"),
        qos: 0 as const,
        dup: false,
        retain: false,
      };
      started.clients[0]!.publish(forced, () => {});
    }
    started.send(topicOf(DEVICE, "offer"), new Uint8Array(LEAVES.offer.bytesMax));
    started.send(topicOf(DEVICE, "grant"), new Uint8Array(42));
    await until("both messages", () => watched.messages.length === 2);
    expect(watched.messages).toEqual([
      { leaf: "offer", bytes: LEAVES.offer.bytesMax },
      { leaf: "grant", bytes: 42 },
    ]);
    expect(watched.link.counters).toMatchObject({ ignored: 3 });
  });

  it("ends a connection that sends bytes without end and no packet, and comes back", async () => {
    const started = await broker();
    const watched = listen(watch(started.port));
    await until("the link is up", isUp(watched));
    // A PUBLISH that announces 200 MB.
    started.clients[0]!.conn.write(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x64]));
    started.clients[0]!.conn.write(Buffer.alloc(1_000_000));
    await until("the link is back", () => watched.link.counters.connections === 2);
    expect(watched.troubles.join("\n")).toContain("a packet above 262144 bytes");
  });

  it("leaves a last will, delivered and retained when its socket dies", async () => {
    const started = await broker();
    const watched = listen(watch(started.port, { reconnect: { firstMs: 60_000, maxMs: 60_000 } }));
    await until("the link is up", isUp(watched));
    started.cut();
    await until("the will", () => started.published.some(({ topic }) => topic === topicOf(DEVICE, "state")));
    const will = started.published.find(({ topic }) => topic === topicOf(DEVICE, "state"))!;
    expect(will.payload.toString()).toBe('{"v":1,"status":"lost"}');
    expect(will.retain).toBe(true);
    await until("the link says down", () => watched.changes.at(-1) === false);
  });

  it("delivers what was published before an orderly close, and no will after it", async () => {
    const started = await broker();
    const watched = listen(watch(started.port));
    await until("the link is up", isUp(watched));
    watched.link.publish("state", Buffer.from("{}"), true);
    await watched.link.close();
    await until("the client is gone", () => started.aedes.connectedClients === 0);
    const states = started.published.filter(({ topic }) => topic === topicOf(DEVICE, "state"));
    expect(states.map(({ payload }) => payload.toString())).toEqual(["{}"]);
  });

  it("finds a restarted broker again with a fresh login", async () => {
    let atSeconds = Date.now() / 1000;
    const clock = { ...systemClock(), wallSeconds: () => atSeconds++ };
    const first = await startBroker();
    const watched = listen(watch(first.port, { clock }));
    await until("the link is up", isUp(watched));
    await first.close();
    await until("the link says down", () => watched.changes.at(-1) === false);
    const second = await broker({ port: first.port });
    await until("the link is up again", isUp(watched));
    expect(watched.changes).toEqual([true, false, true]);
    expect(second.passwords.at(-1)).not.toBe(first.passwords[0]);
    expect(
      provenLogin(second.passwords.at(-1)!, DEVICE_KEY.address, GATEWAY_KEY.address, atSeconds),
    ).not.toBeNull();
    second.send(topicOf(DEVICE, "grant"), new Uint8Array(42));
    await until("a message on the new connection", () => watched.messages.length === 1);
  });

  it("keeps only the newest retained state while offline, and refuses the rest", async () => {
    const started = await broker();
    const watched = watch(started.port);
    for (let i = 0; i < 100; i++) watched.link.publish("state", Buffer.from(`{"n":${i}}`), true);
    watched.link.publish("pay", new Uint8Array(99), false);
    listen(watched);
    await until("the state", () => started.published.length > 0);
    await watched.link.close();
    expect(started.published.map(({ payload }) => payload.toString())).toEqual(['{"n":99}']);
    expect(watched.link.counters.refused).toBe(1);
  });

  it("refuses to pile up unacknowledged publishes", async () => {
    const started = await broker({ acknowledges: false });
    const watched = listen(watch(started.port));
    await until("the link is up", isUp(watched));
    for (let i = 0; i < 100; i++) watched.link.publish("pay", new Uint8Array(99), false);
    expect(watched.link.counters.refused).toBe(68);
    started.cut();
    await until("the link is up again", () => watched.link.counters.connections === 2);
    watched.link.publish("pay", new Uint8Array(99), false);
    expect(watched.link.counters.refused).toBe(68);
  });

  it("refuses what does not fit its leaf, and says so", async () => {
    const started = await broker();
    const watched = listen(watch(started.port));
    await until("the link is up", isUp(watched));
    watched.link.publish("hello", new Uint8Array(LEAVES.hello.bytesMax + 1), false);
    watched.link.publish("grant", new Uint8Array(42), false);
    expect(watched.link.counters.refused).toBe(2);
    expect(watched.troubles[0]).toContain("1025 bytes");
  });
});

describe("a link that cannot connect", () => {
  it("says that the login was refused and what to check, and goes on trying", async () => {
    const started = await broker({ admits: () => false });
    const watched = listen(watch(started.port));
    await until("two tries", () => started.passwords.length >= 2);
    expect(watched.troubles[0]).toMatch(
      /refused the login of device 0x[0-9a-f]{40}: check that the gateway admits/,
    );
    expect(watched.changes).toEqual([]);
  });

  it("says that no broker listens there", async () => {
    const started = await startBroker();
    await started.close();
    const watched = listen(watch(started.port));
    await until("a word about it", () => watched.troubles.length > 0);
    expect(watched.troubles[0]).toContain("ECONNREFUSED");
  });

  it("says that the broker speaks no MQTT 5", async () => {
    const started = await broker();
    const watched = listen(watch(started.port, { protocolVersion: 5 }));
    await until("a word about it", () => watched.troubles.length > 0);
    expect(watched.troubles[0]).toContain(`mqtt://127.0.0.1:${started.port}`);
    expect(watched.changes).toEqual([]);
  });

  it("waits for a clock it can trust, because a login carries the time", async () => {
    const started = await broker();
    let atSeconds: number | null = null;
    const clock = { ...systemClock(), wallSeconds: () => atSeconds };
    const watched = listen(watch(started.port, { clock }));
    await until("a word about it", () => watched.troubles.length >= 2);
    expect(started.passwords).toEqual([]);
    atSeconds = Date.now() / 1000;
    await until("the link is up", isUp(watched));
  });

  it("is quiet once closed", async () => {
    const started = await startBroker();
    await started.close();
    const watched = listen(watch(started.port));
    await until("a word about it", () => watched.troubles.length > 0);
    await watched.link.close();
    const said = watched.troubles.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(watched.troubles).toHaveLength(said);
  });
});

describe("a link over TLS", () => {
  const tls = { cert: BROKER_CERTIFICATE, key: BROKER_KEY };

  it("connects when the certificate checks", async () => {
    const { port } = await broker({ tls });
    const watched = listen(
      watch(port, {
        brokerUrl: `mqtts://127.0.0.1:${port}`,
        tls: { ca: BROKER_CERTIFICATE, servername: "broker.test" },
      }),
    );
    await until("the link is up", isUp(watched));
    expect(watched.troubles).toEqual([]);
  });

  it("sends no login to a broker whose certificate it does not know, or that carries another name", async () => {
    const started = await broker({ tls });
    const brokerUrl = `mqtts://127.0.0.1:${started.port}`;
    const unknown = listen(watch(started.port, { brokerUrl, tls: { servername: "broker.test" } }));
    const renamed = listen(
      watch(started.port, { brokerUrl, tls: { ca: BROKER_CERTIFICATE, servername: "other.test" } }),
    );
    await until("words about both", () => unknown.troubles.length > 0 && renamed.troubles.length > 0);
    expect(unknown.troubles[0]).toMatch(/self.signed certificate/);
    expect(renamed.troubles[0]).toContain("other.test");
    expect(started.passwords).toEqual([]);
  });
});

describe("a broker URL", () => {
  it("is read with its default ports", () => {
    expect(readBrokerUrl("mqtt://host")).toEqual({ host: "host", port: 1883, secure: false, path: null });
    expect(readBrokerUrl("mqtts://[::1]/")).toEqual({ host: "::1", port: 8883, secure: true, path: null });
    expect(readBrokerUrl("ws://host/mqtt")).toEqual({ host: "host", port: 80, secure: false, path: "/mqtt" });
    expect(readBrokerUrl("wss://host:8084/a?b=c")).toEqual({
      host: "host",
      port: 8084,
      secure: true,
      path: "/a?b=c",
    });
  });

  it.each(["", "host:1883", "http://host", "mqtt://", "mqtt://user:secret@host", "mqtt://host/path"])(
    "is refused when it is %j",
    (url) => {
      expect(() => readBrokerUrl(url)).toThrow("expected mqtt(s)://host:port");
    },
  );
});
