/**
 * MQTT 5 where the broker speaks it, 3.1.1 where it does not.
 *
 * Promise: settles on the version by which a connection comes up; a broker replaced by one of the other
 * kind is found out again.
 */
import type { MqttClient } from "mqtt";

/** CONNACK of MQTT 3.1.1 (section 3.2.2.3) and of 5 (section 3.2.2.2): this version is not spoken here. */
const VERSION_REFUSED: readonly unknown[] = [1, 132];

/** Some old brokers close without a CONNACK. */
const SILENT_CLOSES_MAX = 2;

/**
 * Makes a client that reconnects change its version when it is refused.
 * @param report receives one line about each change
 */
export function fallBackOn(client: MqttClient, report: (line: string) => void): void {
  const five = client.options.properties;
  let silentCloses = 0;
  let isUnanswered = false;

  function change(why: string): void {
    silentCloses = 0;
    const isFive = client.options.protocolVersion === 5;
    client.options.protocolVersion = isFive ? 4 : 5;
    client.options.properties = isFive ? undefined : five;
    report(`the broker ${why} MQTT ${isFive ? "5" : "3.1.1"}: MQTT ${isFive ? "3.1.1" : "5"} is tried`);
  }

  client.on("connect", () => {
    silentCloses = 0;
    isUnanswered = false;
  });
  client.on("packetsend", ({ cmd }) => {
    if (cmd === "connect") isUnanswered = true;
  });
  client.on("packetreceive", () => {
    isUnanswered = false;
  });
  client.on("error", (error) => {
    if (VERSION_REFUSED.includes((error as { code?: unknown }).code)) change("refuses");
  });
  client.on("close", () => {
    if (isUnanswered) silentCloses += 1;
    isUnanswered = false;
    if (silentCloses >= SILENT_CLOSES_MAX) change("does not answer");
  });
}
