// The board's own MQTT client against a broker that is none of ours.

import mqtt from "mqtt";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { systemClock } from "#node/clock";
import { LEAVES } from "#protocol/topics";
import { openBoardLink } from "../../../device/espruino/mqtt/board-link.ts";
import { type Mosquitto, startMosquitto } from "../../gateway/broker/external/mosquitto.ts";
import { until } from "../node/broker.ts";
import { BYTES, boardNet } from "./board-net.ts";

const DEVICE = "12".repeat(20);
const LOST = '{"v":1,"status":"lost"}';
const topic = (leaf: string) => `x402/1/${DEVICE}/${leaf}`;

let mosquitto: Mosquitto;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  mosquitto = await startMosquitto();
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => mosquitto.end());

/** @param cut ends the board's sockets without a goodbye */
function board(cut: { now: () => void } = { now: () => {} }) {
  const ups: boolean[] = [];
  const heard: string[] = [];
  const net = boardNet(() => 3);
  const link = openBoardLink({
    net: {
      connect(to, connected) {
        const socket = net.connect(to, connected);
        cut.now = () => socket.end();
        return socket;
      },
    },
    host: "127.0.0.1",
    port: mosquitto.port,
    device: DEVICE,
    login: () => "a sealed login",
    keepaliveSeconds: 2,
    bytes: BYTES,
    clock: systemClock(),
    random: () => 0,
    onTrouble: () => {},
  });
  closing.push(() => link.close());
  link.onMessage((leaf, payload) => heard.push(`${leaf} ${BYTES.textOf(payload)}`));
  link.onChange((up) => ups.push(up));
  return { link, ups, heard };
}

async function listener() {
  const published: { readonly leaf: string; readonly text: string; readonly qos: number }[] = [];
  const client = await mqtt.connectAsync(mosquitto.url, { protocolVersion: 4, reconnectPeriod: 100 });
  closing.push(() => client.endAsync(true));
  client.on("message", (name, payload, { qos }) => {
    published.push({ leaf: name.slice(name.lastIndexOf("/") + 1), text: payload.toString("latin1"), qos });
  });
  await client.subscribeAsync(`x402/1/${DEVICE}/+`, { qos: 1 });
  return { client, published };
}

test("a board pays and is answered through Mosquitto, byte for byte, and hears a retained offer first", async () => {
  const { client, published } = await listener();
  await client.publishAsync(topic("offer"), "{}", { qos: 1, retain: true });
  const { link, heard } = board();
  await until("the retained offer is heard", () => heard.includes("offer {}"));
  const frame = new Uint8Array(LEAVES.pay.bytesMax).map((_, at) => (at * 7) & 255);
  link.publish("pay", frame, false);
  await until("the pay arrives", () => published.some(({ leaf }) => leaf === "pay"));
  expect(published.find(({ leaf }) => leaf === "pay")).toEqual({
    leaf: "pay",
    text: BYTES.textOf(frame),
    qos: 1,
  });
  await client.publishAsync(topic("grant"), Buffer.from([0, 0xff, 0x80]), { qos: 1 });
  await until("the grant is heard", () => heard.includes("grant \x00\xff\x80"));
  await client.publishAsync(topic("offer"), "", { qos: 1, retain: true });
});

test("Mosquitto keeps a silent board's connection by its pings, and publishes its will when it is cut", async () => {
  const cut = { now: () => {} };
  const { published } = await listener();
  const { ups } = board(cut);
  await until("it is up", () => ups.length === 1);
  // Mosquitto disconnects a client that is silent for one and a half of its keep-alive times.
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  expect(ups).toEqual([true]);
  cut.now();
  await until("the will is published", () => published.some(({ text }) => text === LOST));
  await until("it is up again", () => ups.length === 3);
});

test("what Mosquitto died without acknowledging arrives when it is back, once more", async () => {
  const { published } = await listener();
  const { link, ups } = board();
  await until("it is up", () => ups.length === 1);
  mosquitto.freeze();
  link.publish("pay", BYTES.bytesOf("a rung"), false);
  await mosquitto.kill();
  await until("it is lost", () => ups.at(-1) === false);
  await mosquitto.start();
  await until("the rung arrives", () => published.some(({ text }) => text === "a rung"));
  expect(link.counters).toEqual({ connections: 2, resent: 1, refused: 0 });
});
