/**
 * Tests whether a broker delivers to shared subscriptions. Some grant them and deliver nothing (aedes 1.x), and a
 * gateway that relied on them would lose every payment without an error.
 *
 * Promise: "yes" only after PROBES messages to a group of two members of its own arrived exactly once each;
 * the answer comes within a bound; nothing of it reaches devices or other gateways.
 */
import { randomBytes } from "node:crypto";
import type { IClientOptions, MqttClient } from "mqtt";
import { openProbeClient, until } from "./probe-client.ts";

interface SharedSubscriptionFinding {
  readonly isShared: boolean;
  /** Why not; empty when it is. */
  readonly reason: string;
}

const PROBES = 16;
/** Longest from the first probe to the last. */
const ARRIVAL_MS = 3_000;
/** A second copy of a message arrives soon after the first. */
const TWICE_MS = 250;

/**
 * @param options how the gateway itself connects; the members connect alike, under names of their own
 * @param folder a topic below which no other client publishes, as "x402/1/gateway/m"
 */
export async function probeSharedSubscriptions(
  url: string,
  options: IClientOptions,
  folder: string,
): Promise<SharedSubscriptionFinding> {
  const run = randomBytes(8).toString("hex");
  const topic = `${folder}/probe-${run}`;
  const filter = `$share/probe-${run}/${topic}`;
  const arrived = new Map<string, number>();
  const members: MqttClient[] = [];
  try {
    for (const name of ["a", "b"]) {
      const clientId = `${options.clientId}-${name}`;
      const { client, connack } = await openProbeClient(url, { ...options, clientId });
      members.push(client);
      // MQTT 5 section 3.2.2.3.13.
      if (connack.properties?.sharedSubscriptionAvailable === false) {
        return no("the broker says that it has no shared subscriptions");
      }
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

function no(reason: string): SharedSubscriptionFinding {
  return { isShared: false, reason };
}
