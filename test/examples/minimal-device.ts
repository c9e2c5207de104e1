/**
 * The machine in another program: joined to a lamp, a meter and an MQTT client of its own, it buys from a gateway.
 *
 *     npx tsx test/examples/minimal-device.ts
 */
import { randomBytes } from "node:crypto";
import mqtt, { type MqttClient } from "mqtt";
import { type HostLink, openJournal, startHost, systemClock } from "watt402/device";
import type { Gateway } from "watt402/gateway";
import { fromHex, type Key, loginToken, openKey } from "watt402/payment";
import { isLeaf, LEAVES, readTopic, topicOf } from "watt402/protocol";
import { ALMANAC, chargedTo, DESCRIPTION, SimulatedLamp, settingsOn } from "./light.ts";
import { Market, until } from "./market.ts";

/** The port that joins the machine to any MQTT client: publish on one's own topics, hear the gateway's answers. */
class OwnLink implements HostLink {
  readonly #client: MqttClient;
  readonly #device: string;

  constructor(key: Key, { brokerUrl, address }: Gateway) {
    this.#device = key.address.slice(2);
    this.#client = mqtt.connect(brokerUrl, {
      clientId: this.#device,
      username: this.#device,
      password: loginToken(key, address, Date.now() / 1000),
      will: {
        topic: topicOf(this.#device, "state"),
        payload: Buffer.from('{"v":1,"status":"lost"}'),
        qos: 1,
        retain: true,
      },
    });
  }

  publish(leaf: string, payload: Uint8Array, retain: boolean): void {
    // While offline nothing is kept: the machine sends again what matters.
    if (this.#client.connected && isLeaf(leaf)) {
      this.#client.publish(topicOf(this.#device, leaf), Buffer.from(payload), { qos: 1, retain });
    }
  }

  onMessage(take: (leaf: string, payload: Uint8Array) => void): void {
    this.#client.on("message", (topic, payload) => take(readTopic(topic)!.leaf, payload));
  }

  onChange(take: (up: boolean) => void): void {
    const leaves = Object.keys(LEAVES).filter(isLeaf);
    const down = leaves.filter((leaf) => LEAVES[leaf].direction === "down");
    const topics = down.map((leaf) => topicOf(this.#device, leaf));
    this.#client.on("connect", () => this.#client.subscribe(topics, { qos: 1 }, () => take(true)));
    this.#client.on("close", () => take(false));
  }

  close(): Promise<void> {
    return this.#client.endAsync();
  }
}

const market = await Market.open();
try {
  const seller = await market.sellElectricity();
  const gateway = await market.openGateway(seller.url);
  const clock = systemClock();
  const key = openKey(randomBytes(32));
  const lamp = new SimulatedLamp(clock);
  const host = startHost({
    settings: settingsOn(market.chain),
    key,
    gatewayPublicKey: fromHex(gateway.publicKey),
    clock,
    chainSeconds: clock.wallSeconds,
    random: Math.random,
    meter: lamp,
    lamp,
    journal: openJournal(`${market.folder}/device.journal`),
    link: new OwnLink(key, gateway),
    almanac: ALMANAC,
    describe: DESCRIPTION,
  });
  market.add(host);
  await until("five purchases", () => chargedTo(host) >= 500);
  const { register, channel, levelPercent } = host.state();
  console.log(
    `${key.address} burns at ${levelPercent} %: metered ${register.total} mWh, ` +
      `was granted ${channel?.granted} mWh for ${channel?.charged} atomic units`,
  );
} finally {
  await market.stop();
}
