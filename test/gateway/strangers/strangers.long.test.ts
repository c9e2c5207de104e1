// Ten thousand keys that anybody can make up leave no more in the gateway's memory than the first thousand did.

import { afterAll, beforeAll, expect, test } from "vitest";
import { SERVERS } from "#gateway/config/broker-section";
import { type Ground, prepareGround } from "../fixtures.ts";
import { weighStrangers } from "./strangers.ts";

const DEVICES_MAX = 500;
const MIB = 2 ** 20;

let ground: Ground;
beforeAll(async () => {
  ground = await prepareGround();
});
afterAll(() => ground.stop());

test.each(SERVERS)(
  "spoken by %s, memory is flat over ten thousand strangers",
  async (server) => {
    const weighed = await weighStrangers(ground, server, [1_000, 4_000, 10_000], DEVICES_MAX);
    for (const { strangers, heapBytes, externalBytes, rows } of weighed) {
      const mebibytes = [heapBytes, externalBytes].map((bytes) => (bytes / MIB).toFixed(1)).join(" + ");
      console.info(`${server}: ${strangers} strangers: ${mebibytes} MiB; rows ${JSON.stringify(rows)}`);
    }
    const [first, , last] = weighed;
    expect(last!.heapBytes + last!.externalBytes - first!.heapBytes - first!.externalBytes).toBeLessThan(
      2 * MIB,
    );
  },
  1_800_000,
);
