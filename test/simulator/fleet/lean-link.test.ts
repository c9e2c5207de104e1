// The lean link does for a fleet what the device's own link does, against the gateway's broker.

import { randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type EmbeddedBroker, openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { systemClock } from "#node/clock";
import type { HostLink } from "#node/host";
import { openKey, recoverAddress } from "#payment/key";
import { openFaultProxy } from "#simulator/fleet/fault-proxy";
import { LeanLinks } from "#simulator/fleet/lights/lean-link";
import { until } from "../../gateway/fixtures.ts";

const GATEWAY = openKey(randomBytes(32)).address;
const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function newBroker(): Promise<{ broker: EmbeddedBroker; heard: string[] }> {
  const heard: string[] = [];
  const broker = await openEmbeddedBroker(
    {
      server: "direct",
      host: "127.0.0.1",
      port: 0,
      tls: null,
      webSocket: null,
      gateway: GATEWAY,
      recoverSigner: recoverAddress,
      connectionsMax: 100,
      messages: { perSecond: 1_000, burst: 1_000 },
      barred: () => null,
      isNewcomer: () => true,
      note: () => {},
    },
    (_device, leaf, payload) => heard.push(`${leaf} ${Buffer.from(payload)}`),
  );
  open.push(broker);
  return { broker, heard };
}

function newLink(brokerUrl: string, keepaliveSeconds = 60) {
  const key = openKey(randomBytes(32));
  const troubles: string[] = [];
  const changes: boolean[] = [];
  const got: string[] = [];
  const link: HostLink = new LeanLinks({
    brokerUrl,
    gatewayAddress: GATEWAY,
    keepaliveSeconds,
    clock: systemClock(),
    random: Math.random,
    reconnect: { firstMs: 50, maxMs: 200 },
    onTrouble: (text) => troubles.push(text),
  }).open(key);
  open.push(link);
  link.onMessage((leaf, payload) => got.push(`${leaf} ${Buffer.from(payload)}`));
  const up = (times: number) =>
    until(
      () => changes.filter(Boolean).length >= times,
      10_000,
      () => `connected ${times} times; ${troubles.join()}`,
    );
  return { link, device: key.address.slice(2), troubles, changes, got, up };
}

test("it is heard and hears, its kept state first, and an offer that waited", async () => {
  const { broker, heard } = await newBroker();
  const { link, device, changes, got, up } = newLink(broker.url);
  broker.publish(device, "offer", Buffer.from("waited"), true);
  link.publish("state", Buffer.from("old"), true);
  link.publish("state", Buffer.from("kept"), true);
  link.publish("pay", Buffer.from("refused while offline"), false);
  link.onChange((isUp) => changes.push(isUp));
  await up(1);
  link.publish("pay", Buffer.from("1"), false);
  await until(
    () => heard.length === 2 && got.length === 1,
    5_000,
    () => `two messages up and one down, found ${heard} and ${got}`,
  );
  for (let count = 0; count < 200; count += 1)
    broker.publish(device, "grant", Buffer.from(`${count}`), false);
  await until(
    () => got.length === 201,
    5_000,
    () => `201 messages, found ${got.length}`,
  );
  expect(heard).toEqual(["state kept", "pay 1"]);
  expect(got).toEqual(["offer waited", ...Array.from({ length: 200 }, (_, count) => `grant ${count}`)]);
});

test("a broken connection is reported and made again; the broker publishes the will, and a disconnect discards it", async () => {
  const { broker, heard } = await newBroker();
  const relay = await openFaultProxy(broker.url);
  open.push(relay);
  const { link, changes, troubles, up } = newLink(relay.url);
  link.onChange((isUp) => changes.push(isUp));
  await up(1);
  relay.drop();
  await up(2);
  expect(changes).toEqual([true, false, true]);
  expect(troubles).toHaveLength(1);
  expect(heard).toEqual(['state {"v":1,"status":"lost"}']);
  await link.close();
  await until(
    () => broker.connections === 0,
    5_000,
    () => "no connection left",
  );
  expect(heard).toHaveLength(1);
});

test("it speaks before its keep-alive time is over, so a silent light stays connected", async () => {
  const { broker } = await newBroker();
  const { link, changes, up } = newLink(broker.url, 1);
  link.onChange((isUp) => changes.push(isUp));
  await up(1);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  expect(changes).toEqual([true]);
});

test("a broker ends a connection that is silent for one and a half keep-alive times", async () => {
  const { broker, heard } = await newBroker();
  const { port } = new URL(broker.url);
  // A links that loses what the light says once it is connected.
  let isLost = false;
  const sockets: Socket[] = [];
  const links = createServer((near) => {
    const far = connect(Number(port), "127.0.0.1");
    sockets.push(near, far);
    near.on("data", (bytes) => isLost || far.write(bytes));
    far.on("data", (bytes) => near.write(bytes));
    for (const socket of [near, far]) socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => links.listen(0, "127.0.0.1", resolve));
  open.push({
    async close() {
      for (const socket of sockets) socket.destroy();
      links.close();
    },
  });
  const address = links.address() as { port: number };
  const { link, changes, up } = newLink(`mqtt://127.0.0.1:${address.port}`, 1);
  link.onChange((isUp) => changes.push(isUp));
  await up(1);
  isLost = true;
  await until(
    () => heard.length > 0,
    10_000,
    () => "the will of a light that is silent",
  );
  expect(heard[0]).toBe('state {"v":1,"status":"lost"}');
});

test("a broker that is absent, or refuses every login, is reported in a line and tried again", async () => {
  const { link, changes, troubles } = newLink("mqtt://127.0.0.1:1");
  link.onChange((isUp) => changes.push(isUp));
  await until(
    () => troubles.length >= 3,
    10_000,
    () => "three attempts",
  );
  expect(troubles[0]).toContain("mqtt://127.0.0.1:1");
  expect(() => newLink("mqtts://127.0.0.1:1")).toThrow(/expected mqtt:\/\//);
});
