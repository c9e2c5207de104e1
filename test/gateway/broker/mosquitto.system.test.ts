// The adapter against Mosquitto, where it is installed.

import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mqtt from "mqtt";
import { expect, test } from "vitest";
import { openExternalBroker } from "#gateway/broker/external";
import { topicOf } from "#protocol/topics";
import { until } from "../ground.ts";

const DEVICE = "12".repeat(20);
const isInstalled = spawnSync("mosquitto", ["-h"]).error === undefined;

test.runIf(isInstalled).each([4, 5] as const)(
  "pay and grant pass through Mosquitto by MQTT version %i",
  async (version) => {
    const port = await freePort();
    const directory = mkdtempSync(join(tmpdir(), "watt402-mosquitto-"));
    const file = join(directory, "mosquitto.conf");
    writeFileSync(file, `listener ${port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n`);
    const mosquitto = spawn("mosquitto", ["-c", file], { stdio: "ignore" });
    const heard: string[] = [];
    const broker = await openExternalBroker(
      {
        url: `mqtt://127.0.0.1:${port}`,
        version,
        username: null,
        password: null,
        caFile: null,
        clientId: "gateway",
        note: () => {},
      },
      (device, leaf, payload) => heard.push(`${device} ${leaf} ${payload.length}`),
    );
    const device = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
      protocolVersion: version,
      reconnectPeriod: 100,
    });
    try {
      const got: number[] = [];
      device.on("message", (_topic, payload) => got.push(payload.length));
      device.subscribe(topicOf(DEVICE, "grant"), { qos: 1 });
      await until(
        () => device.connected,
        10_000,
        () => "a connection",
      );
      await until(
        () => {
          device.publish(topicOf(DEVICE, "pay"), Buffer.alloc(99), { qos: 1 });
          return heard.length > 0;
        },
        10_000,
        () => "a pay",
      );
      expect(heard[0]).toBe(`${DEVICE} pay 99`);
      broker.publish(DEVICE, "grant", new Uint8Array(42), false);
      await until(
        () => got.length > 0,
        5_000,
        () => "a grant",
      );
      expect(got).toEqual([42]);
    } finally {
      await device.endAsync(true);
      await broker.close();
      mosquitto.kill("SIGTERM");
      rmSync(directory, { recursive: true });
    }
  },
);

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
