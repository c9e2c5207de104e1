// Any x402 resource, paid over MQTT by the official client: the device makes its payload itself, the gateway
// carries PaymentRequired, PaymentPayload and SettleResponse unchanged.

import { x402Client } from "@x402/core/client";
import type { PaymentRequired } from "@x402/core/types";
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import mqtt, { type MqttClient } from "mqtt";
import { createPublicClient, type Hex, http } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hmacSha256 } from "#node/key/native-hmac";
import { fromHex, toHex } from "#payment/bytes";
import { type Key, openKey } from "#payment/key";
import { loginToken } from "#payment/login";
import { tagKeyBetween } from "#payment/tag-key";
import {
  type PaymentRequiredMessage,
  type ResponseMessage,
  readPaymentRequired,
  readResponse,
} from "#protocol/messages";
import { sealJson } from "#protocol/tag";
import { type Leaf, topicOf } from "#protocol/topics";
import { mint } from "#simulator/chain/deploy";
import { type Ground, prepareGround } from "../gateway/fixtures.ts";
import { startStockSeller } from "./stock-seller.ts";

const AMOUNT = 100;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

/** A device on the general leaves, after its hello. */
class Buyer {
  readonly key: Key;
  readonly #client: MqttClient;
  readonly #device: string;
  #take: (leaf: Leaf, text: string) => void = () => {};

  private constructor(key: Key, client: MqttClient) {
    this.key = key;
    this.#client = client;
    this.#device = key.address.slice(2);
    client.on("message", (topic, payload) => this.#take(topic.split("/").at(-1) as Leaf, payload.toString()));
  }

  static async connect(brokerUrl: string, secret: Hex): Promise<Buyer> {
    const key = openKey(fromHex(secret));
    const device = key.address.slice(2);
    const password = loginToken(key, ground.gatewayKey.address, Date.now() / 1000);
    const client = await mqtt.connectAsync(brokerUrl, {
      clientId: device,
      username: device,
      password,
      reconnectPeriod: 0,
    });
    const buyer = new Buyer(key, client);
    for (const leaf of ["payment-required", "response", "offer"] as const) {
      await client.subscribeAsync(topicOf(device, leaf), { qos: 1 });
    }
    const tagger = { hmac: hmacSha256, key: tagKeyBetween(key, ground.gatewayKey.publicKey) };
    const described = {
      model: "buyer",
      firmware: "1",
      meter: "none",
      unit: "request",
      wantedUnits: 1,
      register: 0,
    };
    const offered = buyer.#next();
    const hello = sealJson(tagger, "hello", { v: 1, publicKey: toHex(key.publicKey), ...described });
    await client.publishAsync(topicOf(device, "hello"), Buffer.from(hello), { qos: 1 });
    await offered;
    return buyer;
  }

  async say(leaf: "request" | "payment", message: object): Promise<PaymentRequiredMessage | ResponseMessage> {
    const answer = this.#next();
    await this.#client.publishAsync(topicOf(this.#device, leaf), JSON.stringify({ v: 1, ...message }), {
      qos: 1,
    });
    const [answered, text] = await answer;
    const { message: read, error } = answered === "response" ? readResponse(text) : readPaymentRequired(text);
    if (read === null) throw new Error(`${answered}: ${error}`);
    return read;
  }

  #next(): Promise<[Leaf, string]> {
    return new Promise((resolve) => {
      this.#take = (leaf, text) => resolve([leaf, text]);
    });
  }

  close(): Promise<void> {
    return this.#client.endAsync();
  }
}

function officialClient(secret: Hex): x402Client {
  const account = privateKeyToAccount(secret);
  const chain = createPublicClient({ transport: http(ground.anvil.rpcUrl), pollingInterval: 20 });
  const signer = toClientEvmSigner(account, chain as Parameters<typeof toClientEvmSigner>[1]);
  return new x402Client()
    .register(ground.network, new ExactEvmScheme(account))
    .register(ground.network, new BatchSettlementEvmScheme(signer))
    .setSpendControls({
      allowedAssets: [
        { network: ground.network, asset: ground.contracts.token, maxAmountPerPayment: "10000000" },
      ],
    });
}

test.each([
  ["exact", [1, 2]],
  ["batch-settlement", [4, 5]],
] as const)(
  "a device pays a resource by %s over MQTT with the official client's payload",
  async (scheme, accounts) => {
    const seller = await startStockSeller(ground, scheme, { amountAtomic: AMOUNT, accounts });
    const gateway = await ground.gateway(
      ground.config(seller.url, {
        seller: { kind: "fixed", unitsPerPayment: 1_000, unit: "request" },
        forward: { origins: [seller.url] },
      }),
    );
    const secret = generatePrivateKey();
    const buyer = await Buyer.connect(gateway.brokerUrl, secret);
    await mint(ground.anvil, buyer.key.address, 1_000_000n);
    const client = officialClient(secret);

    const asked = await buyer.say("request", { id: "a", method: "GET", url: seller.url });
    const paymentRequired = (asked as PaymentRequiredMessage).paymentRequired as PaymentRequired;
    expect(paymentRequired).toMatchObject({ x402Version: 2, accepts: [{ scheme, amount: String(AMOUNT) }] });
    const payment = await client.createPaymentPayload(paymentRequired);
    const paid = await buyer.say("payment", { id: "a", payment });
    expect(paid).toMatchObject({
      id: "a",
      status: 200,
      body: '{"energy":"one portion"}',
      settlement: { success: true, network: ground.network },
    });

    // The same payment: the same answer, and no second charge.
    expect(await buyer.say("payment", { id: "a", payment })).toEqual(paid);
    expect(seller.served).toBe(1);
    const changed = { ...payment, payload: { ...payment.payload, more: 1 } };
    expect(await buyer.say("payment", { id: "a", payment: changed })).toMatchObject({
      status: 409,
      body: "",
    });
    expect(await buyer.say("request", { id: "a", method: "GET", url: `${seller.url}?other` })).toMatchObject({
      status: 409,
    });

    // A payment that is none is asked for again, unchanged.
    await buyer.say("request", { id: "b", method: "GET", url: seller.url });
    const refused = (await buyer.say("payment", { id: "b", payment })) as ResponseMessage;
    if (scheme === "exact") {
      expect(refused.status).toBe(402);
      expect(JSON.parse(refused.body)).toMatchObject({ x402Version: 2, accepts: [{ scheme }] });
    }
    expect(seller.served).toBeLessThanOrEqual(2);

    expect(
      await buyer.say("request", { id: "c", method: "GET", url: "http://169.254.169.254/latest" }),
    ).toMatchObject({
      status: 400,
      error: expect.stringContaining("listed origins"),
    });
    expect(await buyer.say("payment", { id: "nobody", payment })).toMatchObject({
      status: 400,
      id: "nobody",
    });
    await buyer.close();
    await gateway.stop();
    await seller.close();
  },
);
