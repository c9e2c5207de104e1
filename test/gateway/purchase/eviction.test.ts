// What strangers fill is emptied again: sessions, exchanges and the fleet's view make room for those that come.

import { expect, test } from "vitest";
import { GeneralTransport } from "#gateway/purchase/general/forward";
import { Fleet } from "#gateway/telemetry/fleet-view";
import { toHex } from "#payment/bytes";
import { NETWORK, newBench, QUANTUM, TOKEN } from "./fixtures.ts";
import { open, Speaker } from "./speaker.ts";

const DEVICES_MAX = 20;

function full(known: { connected: Set<string> } | null) {
  const bench = newBench();
  let nowSeconds = bench.parts().now();
  const limits = {
    devicesMax: DEVICES_MAX,
    purchasesMax: 100,
    ...(known === null ? {} : { isConnected: (device: string) => known.connected.has(device) }),
  };
  const opened = open(bench, { now: () => nowSeconds }, limits);
  const { sessions, gateway, said, settled } = opened;
  const hello = async (speaker = new Speaker(gateway)) => {
    known?.connected.add(speaker.device);
    sessions.receive(speaker.device, "hello", speaker.hello());
    await settled();
    return speaker;
  };
  const channelOf = ({ device }: Speaker) =>
    [...bench.ledger.channels.values()].find((channel) => channel.device === device)!.id;
  const buy = async (speaker: Speaker, rungs = 1) => {
    const offer = speaker.offersIn(said.filter(({ payload }) => payload.length > 0)).at(-1)!;
    sessions.receive(speaker.device, "pay", speaker.pay(offer, channelOf(speaker), rungs * QUANTUM));
    await settled();
    return speaker.grantsIn(said).at(-1);
  };
  const pass = (seconds: number) => {
    nowSeconds += seconds;
  };
  return { ...opened, hello, buy, pass };
}

test("twenty keys that said hello and left keep the twenty-first, honest light out of nothing", async () => {
  const known = { connected: new Set<string>() };
  const { hello, buy, sessions, said } = full(known);
  const strangers: Speaker[] = [];
  for (let count = 0; count < DEVICES_MAX; count += 1) strangers.push(await hello());
  known.connected.clear();
  const light = await hello();
  expect(await buy(light)).toMatchObject({ refusal: null, charged: QUANTUM });
  expect(sessions.size).toBe(DEVICES_MAX);
  // The offer of the one that made room is taken back: brokers keep none for devices that left.
  const back = said.filter(
    ({ leaf, payload, retained }) => leaf === "offer" && retained && payload.length === 0,
  );
  expect(back.map(({ device }) => device)).toEqual([strangers[0]!.device]);
});

test("who has paid stays before who has not, who is present stays at all, and who was forgotten goes on buying", async () => {
  const known = { connected: new Set<string>() };
  const { hello, buy, said, sessions } = full(known);
  const buyer = await hello();
  await buy(buyer);
  const strangers: Speaker[] = [];
  for (let count = 1; count < DEVICES_MAX; count += 1) strangers.push(await hello());
  known.connected.delete(buyer.device);
  const late = await hello();
  // Only the buyer is absent: it makes room, and loses nothing by it.
  expect(late.offersIn(said)).toHaveLength(1);
  known.connected.delete(strangers[3]!.device);
  expect(await buy(buyer, 2)).toMatchObject({ refusal: null, charged: 2 * QUANTUM });
  expect(sessions.size).toBe(DEVICES_MAX);
  known.connected.delete(strangers[5]!.device);
  const emptied = () => said.filter(({ payload }) => payload.length === 0).map(({ device }) => device);
  await hello();
  expect(emptied()).toEqual([buyer.device, strangers[3]!.device, strangers[5]!.device]);
});

test("at a broker of others silence means that a device left: newcomers after two minutes, buyers after a quarter of an hour", async () => {
  const { hello, buy, said, pass } = full(null);
  const buyer = await hello();
  await buy(buyer);
  for (let count = 1; count < DEVICES_MAX; count += 1) await hello();
  expect((await hello()).offersIn(said)).toEqual([]);
  pass(120);
  const emptied = () => said.filter(({ payload }) => payload.length === 0).map(({ device }) => device);
  expect((await hello()).offersIn(said)).toHaveLength(1);
  expect(emptied()).toHaveLength(1);
  expect(emptied()).not.toContain(buyer.device);
});

test("ten thousand strangers' requests leave no more exchanges than the bound, and a paid one stays", async () => {
  const payment = {
    x402Version: 2,
    accepted: {
      scheme: "exact",
      network: "eip155:1",
      amount: "1",
      asset: `0x${"c0".repeat(20)}`,
      payTo: `0x${"b0".repeat(20)}`,
      maxTimeoutSeconds: 60,
      extra: {},
    },
    payload: { nonce: 1 },
  };
  const said: { device: string; text: string }[] = [];
  let paid = 0;
  const forward = new GeneralTransport({
    devices: {
      publish: (device, _leaf, payload) => said.push({ device, text: new TextDecoder().decode(payload) }),
    },
    fetch: async (_request, presented) => {
      if (presented === null)
        return { kind: "payment-required", paymentRequired: { x402Version: 2, accepts: [] } };
      paid += 1;
      return { kind: "answer", status: 200, body: "good", settlement: null };
    },
    origins: ["https://api.example.org"],
  });
  const say = (device: string, leaf: "request" | "payment", message: object) =>
    forward.receive(device, leaf, new TextEncoder().encode(JSON.stringify({ v: 1, id: "a", ...message })));
  const request = { method: "GET", url: "https://api.example.org/x" };
  const light = "ab".repeat(20);
  const first = "00".repeat(20);
  await say(first, "request", request);
  await say(light, "request", request);
  await say(light, "payment", { payment });
  for (let stranger = 1; stranger <= 10_000; stranger += 1) {
    await say(stranger.toString(16).padStart(40, "0"), "request", request);
  }
  await say(first, "payment", { payment });
  expect(said.at(-1)!.text).toContain("no request with this id is remembered");
  await say(light, "payment", { payment });
  expect(said.at(-1)).toMatchObject({ device: light });
  expect(said.at(-1)!.text).toContain("good");
  expect(paid).toBe(1);
});

test("the fleet's view gives the positions of lights that left to those that come, and shows them as new", () => {
  let nowSeconds = 1_800_000_000;
  const fleet = new Fleet({
    locations: new Map(),
    lightsMax: 3,
    tokens: [{ network: NETWORK, asset: TOKEN }],
    now: () => nowSeconds,
  });
  const nameOf = (index: number) => toHex(new Uint8Array(20).fill(index)).slice(2);
  const lost = (index: number) => fleet.observe({ type: "lost", device: nameOf(index) });
  for (const index of [1, 2, 3, 4]) lost(index);
  expect(fleet.lights.map(({ device }) => device)).toEqual([1, 2, 3].map(nameOf));
  const { revision } = fleet;
  fleet.observe({ type: "evicted", device: nameOf(2) });
  lost(4);
  expect(fleet.lights.map(({ device }) => device)).toEqual([1, 4, 3].map(nameOf));
  expect(fleet.light(nameOf(2))).toBeNull();
  expect(fleet.changedSince(revision, 10).map(({ index }) => index)).toEqual([1]);
  expect(fleet.lights[1]!.bornRevision).toBeGreaterThanOrEqual(revision);
  nowSeconds += 120;
  lost(5);
  expect(fleet.lights).toHaveLength(3);
  expect(fleet.light(nameOf(5))).not.toBeNull();
  const { lights } = fleet.summary();
  expect(Object.values(lights).reduce((sum, count) => sum + count, 0)).toBe(3);
});
