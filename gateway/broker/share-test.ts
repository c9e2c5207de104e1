/**
 * Does a broker really deliver shared subscriptions? Some grant them and deliver nothing (aedes 1.x), and a
 * gateway that believed them would lose every payment without an error.
 *
 * Promise: "yes" only after PROBES messages to a group of two members of its own arrived exactly once each;
 * the answer comes within a bound; nothing of it reaches devices or other gateways.
 */
import { randomBytes } from "node:crypto";
import type { IClientOptions, MqttClient } from "mqtt";
import mqtt from "mqtt";

export interface ShareVerdict {
  readonly isShared: boolean;
  /** Why not; empty when it is. */
  readonly reason: string;
}

const PROBES = 16;
/** Longest from the first probe to the last. */
const ARRIVAL_MS = 3_000;
/** What comes twice comes soon after. */
const TWICE_MS = 250;
const CONNECT_MS = 5_000;

/**
 * @param options how the gateway itself connects; the members connect alike, under names of their own
 * @param folder a topic below which nobody else speaks, as "x402/1/gateway/m"
 */
export async function testShares(
  url: string,
  options: IClientOptions,
  folder: string,
): Promise<ShareVerdict> {
  const run = randomBytes(8).toString("hex");
  const topic = `${folder}/probe-${run}`;
  const filter = `$share/probe-${run}/${topic}`;
  const arrived = new Map<string, number>();
  const members: MqttClient[] = [];
  try {
    for (const name of ["a", "b"]) {
      const clientId = `${options.clientId}-${name}`;
      const client = mqtt.connect(url, { ...options, clientId, reconnectPeriod: 0, keepalive: 10 });
      members.push(client);
      // What ends a member shows in what does not arrive.
      client.on("error", () => {});
      const isAvailable = await connected(client);
      if (!isAvailable) return no("the broker says that it has no shared subscriptions");
      client.on("message", (_topic, payload) => {
        const probe = payload.toString("utf8");
        arrived.set(probe, (arrived.get(probe) ?? 0) + 1);
      });
      const [granted] = await client.subscribeAsync(filter, { qos: 1 });
      if (granted === undefined || granted.qos > 2) return no("the broker refuses a shared subscription");
    }
    for (let probe = 0; probe < PROBES; probe += 1) {
      members[0]!.publish(topic, String(probe), { qos: 1 });
    }
    await until(() => arrived.size === PROBES, ARRIVAL_MS);
    await until(() => false, TWICE_MS);
    const found = [...arrived.values()].reduce((sum, times) => sum + times, 0);
    if (arrived.size === PROBES && found === PROBES) return { isShared: true, reason: "" };
    return no(
      `expected ${PROBES} probes to a shared subscription once each, found ${arrived.size}, ${found} messages`,
    );
  } catch (error) {
    return no(error instanceof Error ? error.message : String(error));
  } finally {
    for (const client of members) client.end(true);
  }
}

function no(reason: string): ShareVerdict {
  return { isShared: false, reason };
}

/** Resolves with false when MQTT 5's CONNACK denies shared subscriptions (section 3.2.2.3.13). */
function connected(client: MqttClient): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error("a second connection to the broker took too long")),
      CONNECT_MS,
    );
    client.once("connect", ({ properties }) => {
      clearTimeout(timer);
      resolve(properties?.sharedSubscriptionAvailable !== false);
    });
    client.once("close", () => {
      clearTimeout(timer);
      reject(new Error("a second connection to the broker was closed"));
    });
  });
}

async function until(isSo: () => boolean, limitMs: number): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!isSo() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 10));
}
