// Unknown devices, a process of their own: each makes up a key, logs in by a bare socket, says what a light
// says, asks for a resource, pays what is not on sale, and goes without a goodbye. They come on command, some at a time.

import { connect } from "node:net";
import { generate, type IPublishPacket, parser } from "mqtt-packet";
import { generatePrivateKey } from "viem/accounts";
import { channelTagOf } from "#core/rungs";
import { hmacSha256 } from "#node/key/native-hmac";
import { openNativeKey } from "#node/key/native-key";
import { fromHex, toHex } from "#payment/bytes";
import { channelIdOf } from "#payment/channel";
import { chainIdOf } from "#payment/eip712";
import type { Key } from "#payment/key";
import { loginToken } from "#payment/login";
import { tagKeyBetween } from "#payment/tag-key";
import { voucherDigest } from "#payment/voucher";
import { encodePay } from "#protocol/frames";
import { type OfferMessage, readOffer } from "#protocol/messages";
import { openJson, sealFrame, sealJson, type Tagger } from "#protocol/tag";
import { type Leaf, topicOf } from "#protocol/topics";

const AT_ONCE = 16;
/** One that was answered nothing by then is counted as turned away. */
const PATIENCE_MS = 20_000;
/** Less than any seller's smallest quantum. */
const NOT_ON_SALE = 7;
const HEARD: readonly Leaf[] = ["offer", "grant", "response", "payment-required"];

const [port, gatewayAddress, gatewayPublicKey, resource] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];

type Ended = "refused" | "turned-away";

class Stranger {
  readonly #key: Key;
  readonly #name: string;
  readonly #tagger: Tagger;
  #packetId = 0;

  constructor() {
    this.#key = openNativeKey(fromHex(generatePrivateKey()));
    this.#name = this.#key.address.slice(2);
    const key = tagKeyBetween(this.#key, fromHex(gatewayPublicKey));
    this.#tagger = { hmac: hmacSha256, key };
  }

  /** Resolves when its socket is closed. */
  live(): Promise<Ended> {
    return new Promise((resolve) => {
      const socket = connect(Number(port), "127.0.0.1", () => socket.write(this.#login()));
      const reader = parser({ protocolVersion: 4 });
      let ended: Ended = "turned-away";
      const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
      socket.on("data", (chunk) => reader.parse(chunk));
      socket.on("error", () => undefined);
      socket.on("close", () => {
        clearTimeout(timer);
        resolve(ended);
      });
      reader.on("packet", (packet) => {
        if (packet.cmd === "connack") socket.write(this.#introduction());
        if (packet.cmd !== "publish") return;
        const { topic, payload } = packet as IPublishPacket;
        if (topic === topicOf(this.#name, "offer") && payload.length > 0) {
          const { message } = readOffer(openJson(this.#tagger, "offer", payload as Buffer)!);
          if (message !== null) socket.write(this.#pay(message));
        } else if (topic === topicOf(this.#name, "grant")) {
          ended = "refused";
          socket.destroy();
        }
      });
    });
  }

  #login(): Buffer {
    const lost = JSON.stringify({ v: 1, status: "lost" });
    return generate({
      cmd: "connect",
      clientId: this.#name,
      username: this.#name,
      password: Buffer.from(loginToken(this.#key, gatewayAddress, Date.now() / 1000)),
      protocolId: "MQTT",
      protocolVersion: 4,
      clean: true,
      keepalive: 60,
      will: { topic: topicOf(this.#name, "state"), payload: Buffer.from(lost), qos: 1, retain: true },
    });
  }

  #introduction(): Buffer {
    const described = { model: "m", firmware: "f", meter: "m", unit: "mWh", wantedUnits: 500, register: 1 };
    const state = { register: 1, credit: 0, powerMilliwatts: 60_000, levelPercent: 100, wantedPercent: 100 };
    const account = { channelId: null, charged: 0, maxClaimable: 0, granted: 0, epoch: 1 };
    const reading = { v: 1, register: 1, powerMilliwatts: 60_000, atSeconds: 0, voltageMillivolts: 230_000 };
    const request = { v: 1, id: "one", method: "POST", url: resource };
    const subscriptions = HEARD.map((leaf) => ({ topic: topicOf(this.#name, leaf), qos: 1 as const }));
    return Buffer.concat([
      generate({ cmd: "subscribe", messageId: 1, subscriptions }),
      this.#sealed("hello", { v: 1, publicKey: toHex(this.#key.publicKey), ...described }),
      this.#sealed("state", { v: 1, status: "online", ...state, starved: true, refusal: null, ...account }),
      this.#sealed("reading", reading),
      this.#publish("request", Buffer.from(JSON.stringify(request))),
    ]);
  }

  #pay({ channel, requirements }: OfferMessage): Buffer {
    const chainId = chainIdOf(requirements.network);
    const id = channelIdOf(channel!, chainId);
    const frame = encodePay({
      again: false,
      channelTag: channelTagOf(id),
      maxClaimable: NOT_ON_SALE,
      register: 1,
      validBeforeSeconds: 0,
      signature: this.#key.sign(voucherDigest(id, NOT_ON_SALE, chainId)),
    });
    return this.#publish("pay", sealFrame(this.#tagger, "pay", frame));
  }

  #sealed(leaf: Leaf, message: object): Buffer {
    return this.#publish(leaf, sealJson(this.#tagger, leaf, message));
  }

  #publish(leaf: Leaf, payload: Uint8Array): Buffer {
    this.#packetId += 1;
    const flags = { qos: 1 as const, dup: false, retain: leaf === "state" };
    const topic = topicOf(this.#name, leaf);
    const packet = { cmd: "publish" as const, topic, payload: Buffer.from(payload), ...flags };
    return generate({ ...packet, messageId: this.#packetId });
  }
}

async function come(count: number): Promise<Record<Ended, number>> {
  const counts = { refused: 0, "turned-away": 0 };
  let left = count;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      counts[await new Stranger().live()] += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return counts;
}

process.on("message", (count: number) => {
  void come(count).then((counts) => process.send?.(counts));
});
process.on("disconnect", () => process.exit(0));
process.send?.("ready");
