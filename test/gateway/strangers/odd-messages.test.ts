// A gateway and a seller, each a process of its own, get what nests deep by every way in, answer it, and serve on.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import mqtt, { type MqttClient } from "mqtt";
import { stringify } from "smol-toml";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SERVERS } from "#gateway/config/broker-section";
import { hmacSha256 } from "#node/key/native-hmac";
import { fromHex, toHex } from "#payment/bytes";
import { type Key, openKey } from "#payment/key";
import { loginToken } from "#payment/login";
import { tagKeyBetween } from "#payment/tag-key";
import type { ResponseMessage } from "#protocol/messages";
import { sealJson } from "#protocol/tag";
import { LEAVES, type Leaf, topicOf } from "#protocol/topics";
import { bundleUtility } from "../../simulator/seller/bundle.ts";
import { spawnUtility, type UtilityProcess } from "../../simulator/seller/process.ts";
import { type Ground, prepareGround } from "../fixtures.ts";
import { spawnGateway } from "../processes/gateway-process.ts";
import { QUANTUM } from "../purchase/agreement.ts";

let ground: Ground;
let seller: UtilityProcess;
let sellerUrl: string;
beforeAll(async () => {
  ground = await prepareGround();
  const keyFile = ground.keyFile(ground.anvil.accounts[0]!.privateKey);
  seller = spawnUtility(await bundleUtility(ground.directory()), [
    ...["--rpc", ground.anvil.rpcUrl, "--data", join(ground.directory(), "data"), "--receiver-key", keyFile],
    ...["--token", ground.contracts.token, "--min-deposit", "2000"],
  ]);
  sellerUrl = await seller.ready;
});
afterAll(async () => {
  seller.child.kill("SIGTERM");
  await seller.ended;
  await ground.stop();
});

const deep = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const TOO_DEEP = "expected JSON nested at most 32 deep, found deeper";

const heardBy = (client: MqttClient) =>
  new Promise<Buffer>((resolve) => client.once("message", (_topic, payload) => resolve(payload)));

/** A device of its own: logged in, known by its hello. */
async function logIn(brokerUrl: string, key: Key): Promise<MqttClient> {
  const name = key.address.slice(2);
  const client = mqtt.connect(brokerUrl, {
    clientId: name,
    username: name,
    password: loginToken(key, ground.gatewayKey.address, Date.now() / 1000),
    reconnectPeriod: 0,
  });
  await new Promise<void>((resolve) => client.once("connect", () => resolve()));
  for (const leaf of ["response", "payment-required", "offer"] as const)
    await client.subscribeAsync(topicOf(name, leaf), { qos: 1 });
  const tagger = { hmac: hmacSha256, key: tagKeyBetween(key, ground.gatewayKey.publicKey) };
  const described = { model: "m", firmware: "f", meter: "m", unit: "mWh", wantedUnits: 500, register: 0 };
  const hello = sealJson(tagger, "hello", { v: 1, publicKey: toHex(key.publicKey), ...described });
  const offered = heardBy(client);
  await client.publishAsync(topicOf(name, "hello"), Buffer.from(hello), { qos: 1 });
  await offered;
  return client;
}

test.each(SERVERS)(
  "a gateway that speaks MQTT by %s answers what nests deep, and goes on selling",
  async (server) => {
    const http = { port: 0 };
    const config = ground.config(sellerUrl, {
      broker: { server },
      http,
      forward: { origins: [sellerUrl], allowPrivate: true },
    });
    const file = join(ground.directory(), "gateway.toml");
    writeFileSync(file, stringify(config));
    const gateway = spawnGateway(["--config", file]);
    let isGone = false;
    void gateway.ended.then(() => {
      isGone = true;
    });
    const httpUrl = new Promise<string>((resolve) => {
      gateway.child.on("message", (message: { httpUrl?: string }) => resolve(message.httpUrl!));
    });
    const brokerUrl = await gateway.ready;
    const key = openKey(fromHex(generatePrivateKey()));
    const name = key.address.slice(2);
    const client = await logIn(brokerUrl, key);
    const said = async (leaf: Leaf, text: string): Promise<ResponseMessage> => {
      const answered = heardBy(client);
      await client.publishAsync(topicOf(name, leaf), text, { qos: 1 });
      return JSON.parse((await answered).toString()) as ResponseMessage;
    };

    for (const member of ["id", "method", "url", "body", "v", "surprise"]) {
      const answer = await said("request", `{"v":1,"method":"GET","${member}":${deep(8_000)}}`);
      expect(answer).toMatchObject({ status: 400, error: `request: ${TOO_DEEP}` });
    }
    const url = `${sellerUrl}/v1/energy?quantum=${QUANTUM}`;
    const request = { v: 1, id: "known", method: "POST", url };
    expect(await said("request", JSON.stringify(request))).toMatchObject({
      id: "known",
      paymentRequired: {},
    });
    for (const payload of [
      deep(7_600),
      `{"payload":${deep(7_600)}}`,
      `{"x402Version":2,"payload":${deep(7_600)}}`,
    ]) {
      const answer = await said("payment", `{"v":1,"id":"known","payment":${payload}}`);
      expect(answer).toMatchObject({ id: "known", status: 400, error: `payment: ${TOO_DEEP}` });
    }
    // Leaves without an answer, unsealed, and what the API is sent: nothing of it ends the process either.
    for (const leaf of ["hello", "state", "reading", "pay"] as const) {
      await client.publishAsync(topicOf(name, leaf), deep(Math.floor(LEAVES[leaf].bytesMax / 2)), { qos: 1 });
    }
    const body = deep(2_000);
    const asked = await fetch(`${await httpUrl}/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    expect(asked.status).toBeLessThan(500);
    await client.endAsync();

    const light = ground.light(brokerUrl);
    await light.untilCharged(3 * QUANTUM);
    await light.stop();
    expect(isGone).toBe(false);
    gateway.child.kill("SIGTERM");
    const { code, stdout, stderr } = await gateway.ended;
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).not.toMatch(/unhandled rejection|detached work failed|uncaught exception/);
  },
);

test("a seller answers headers that nest deep by 402, and goes on selling", async () => {
  const url = `${sellerUrl}/v1/energy?quantum=${QUANTUM}`;
  const payments = [
    deep(4_000),
    `{"x402Version":2,"accepted":${deep(2_000)},"payload":${deep(2_000)}}`,
    `{"x402Version":2,"accepted":{},"payload":{"type":"voucher","voucher":${deep(4_000)},"channelConfig":${deep(1_000)}}}`,
    '{"x402Version":2,"accepted":{"toString":null,"valueOf":null},"payload":{"toString":null}}',
  ];
  for (const payment of payments) {
    const headers = { "payment-signature": Buffer.from(payment).toString("base64") };
    const answer = await fetch(url, { method: "POST", headers });
    expect(answer.status).toBe(402);
    expect(answer.headers.get("payment-required")).not.toBeNull();
    const posted = await fetch(url, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: deep(1_000),
    });
    expect(posted.status).toBe(402);
  }
  expect(await (await fetch(`${sellerUrl}/livez`)).json()).toMatchObject({ status: "ok" });
  expect(seller.child.exitCode).toBeNull();
});
