/**
 * A second connection of the gateway, to test what a broker does.
 *
 * Promise: open or refused within a bound; it never connects again by itself.
 */

import mqtt, { type IClientOptions, type IConnackPacket, type MqttClient } from "mqtt";
import { Watt402Error } from "#payment/watt402-error";

export interface ProbeClient {
  readonly client: MqttClient;
  readonly connack: IConnackPacket;
}

const CONNECT_MS = 5_000;
const KEEPALIVE_SECONDS = 10;

/** Rejects, with the broker's reason where it gave one, when there is no connection. */
export function openProbeClient(url: string, options: IClientOptions): Promise<ProbeClient> {
  const client = mqtt.connect(url, { ...options, reconnectPeriod: 0, keepalive: KEEPALIVE_SECONDS });
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => {
      clearTimeout(timer);
      client.end(true);
      reject(new Watt402Error("unreachable", reason));
    };
    const timer = setTimeout(() => fail("a second connection to the broker took too long"), CONNECT_MS);
    client.once("connect", (connack) => {
      clearTimeout(timer);
      resolve({ client, connack });
    });
    // What ends an open connection shows in what does not arrive.
    client.on("error", (error) => fail(error.message || String((error as { code?: string }).code)));
    client.once("close", () => fail("a second connection to the broker was closed"));
  });
}

/** Waits for a condition, and no longer than the limit; returns whether it came true. */
export async function until(isSo: () => boolean, limitMs: number): Promise<boolean> {
  const endMs = performance.now() + limitMs;
  while (!isSo() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 10));
  return isSo();
}
