// Lights that come back at once, from one address, as after a power cut behind one router.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import mqtt from "mqtt";
import { generatePrivateKey } from "viem/accounts";
import { afterEach, expect, test } from "vitest";
import { openEmbeddedBroker } from "#gateway/broker/embedded/embedded";
import { SERVERS } from "#gateway/config/broker-section";
import { nativeCurve, signersOn } from "#node/key/native-curve";
import { fromHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { loginToken } from "#payment/login";
import { topicOf } from "#protocol/topics";
import { until } from "../../fixtures.ts";
import { bundleOf } from "../../processes/bundle.ts";

const LIGHTS = 10_000;
/** A light's back-off is a minute at most: four rounds of it. */
const ALL_IN_MS = 240_000;
const gateway = openKey(fromHex(generatePrivateKey()));

const open: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

test.each(SERVERS)(
  "%s: ten thousand lights behind one address come back at once and are all in again; those that are in go on paying",
  async (server) => {
    const broker = await openEmbeddedBroker(
      {
        server,
        host: "127.0.0.1",
        port: 0,
        tls: null,
        webSocket: null,
        gateway: gateway.address,
        recoverSigner: signersOn(nativeCurve()),
        connectionsMax: 20_000,
        messages: { perSecond: 100, burst: 1_000 },
        barred: () => null,
        isNewcomer: () => true,
        note: () => {},
      },
      (device, leaf) => {
        if (leaf === "pay") broker.publish(device, "grant", new Uint8Array(42), false);
      },
    );
    open.push(() => broker.close());
    const directory = mkdtempSync(join(tmpdir(), "watt402-storm-"));
    open.push(() => rmSync(directory, { recursive: true }));
    const program = await bundleOf(fileURLToPath(new URL("./storm-process.ts", import.meta.url)), directory);
    const lights = fork(program, [new URL(broker.url).port, String(LIGHTS), gateway.address]);
    open.push(() => lights.kill("SIGKILL"));
    await reported(lights);

    const payer = openKey(fromHex(generatePrivateKey()));
    const name = payer.address.slice(2);
    const client = await mqtt.connectAsync(broker.url, {
      clientId: name,
      username: name,
      password: loginToken(payer, gateway.address, Date.now() / 1000),
      reconnectPeriod: 0,
    });
    open.push(() => client.endAsync(true));
    await client.subscribeAsync(topicOf(name, "grant"), { qos: 1 });

    for (const round of ["first", "again"]) {
      const tripsMs: number[] = [];
      let isOver = false;
      const paying = (async () => {
        while (!isOver) {
          const start = performance.now();
          const answer = new Promise<void>((resolve) => client.once("message", () => resolve()));
          client.publish(topicOf(name, "pay"), Buffer.alloc(99), { qos: 1 });
          await answer;
          tripsMs.push(performance.now() - start);
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      })();
      const start = performance.now();
      lights.send("come");
      const [{ attempts }] = (await reported(lights)) as [{ attempts: number }];
      const tookMs = performance.now() - start;
      isOver = true;
      await paying;
      tripsMs.sort((left, right) => left - right);
      const rssMebibytes = process.memoryUsage().rss / 2 ** 20;
      console.info(
        `${round}: ${LIGHTS} lights in after ${Math.round(tookMs)} ms and ${attempts} attempts; a payment meanwhile took ` +
          `${Math.round(tripsMs[Math.floor(tripsMs.length / 2)]!)} ms (median), ${Math.round(tripsMs.at(-1)!)} ms at most; ` +
          `${Math.round(rssMebibytes)} MiB`,
      );
      // Those that gave up are noticed when their turn comes.
      await until(
        () => broker.connections === LIGHTS + 1,
        60_000,
        () => `${LIGHTS + 1} connections, found ${broker.connections}`,
      );
      expect(tookMs).toBeLessThan(ALL_IN_MS);
      expect(tripsMs.at(-1)).toBeLessThan(5_000);
      expect(rssMebibytes).toBeLessThan(2_048);
      expect(broker.refused.login + broker.refused.full).toBe(0);
      lights.send("cut");
      await until(
        () => broker.connections === 1,
        60_000,
        () => `one connection, found ${broker.connections}`,
      );
    }
    expect(client.connected).toBe(true);
  },
  3_000_000,
);

function reported(child: ChildProcess): Promise<unknown[]> {
  return once(child, "message");
}
