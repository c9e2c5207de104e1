/** The whole way: the device as a process with a meter and a relay, MQTT, a real gateway, the seller, the chain. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { toHex } from "#payment/bytes";
import { until } from "../device/node/broker.ts";
import { dataOf, ledgerRows, QUANTUM, startSeller } from "../gateway/agreement.ts";
import { type Ground, prepareGround } from "../gateway/ground.ts";
import { openLossyProxy } from "../gateway/lossy-proxy.ts";
import { bundledDevice, type Program, runDevice } from "./device-process.ts";
import { raisePole } from "./pole.ts";

/** A quantum of 500 mWh lasts a quarter of a second. */
const LOAD_WATTS = 7200;
const UNITS_PER_QUANTUM = 500;
const LASTING_MS = 1500;

let ground: Ground;
let program: Program;
beforeAll(async () => {
  ground = await prepareGround();
  program = await bundledDevice();
});
afterAll(async () => {
  program.remove();
  await ground.stop();
});

describe("a light on a pole", () => {
  it("is lit while it is paid for, dark when it starves, lit again, and every atomic unit is accounted for", async () => {
    const seller = await startSeller(ground);
    const road = await openLossyProxy(seller.url, () => false);
    const config = ground.config(road.url);
    const gateway = await ground.gateway(config);
    const pole = await raisePole(LOAD_WATTS);
    pole.configure({
      brokerUrl: gateway.brokerUrl,
      gatewayPublicKey: toHex(ground.gatewayKey.publicKey),
      network: ground.network,
      asset: ground.contracts.token,
      wantedUnits: UNITS_PER_QUANTUM,
    });
    const device = runDevice(program, ["--config", pole.config]);
    const charged = () =>
      ledgerRows(dataOf(config)).channels.reduce((sum, channel) => sum + channel.charged, 0);
    try {
      await until("ten purchases", () => charged() >= 10 * QUANTUM, 30_000);
      expect(pole.lit()).toBe(true);

      road.leadTo("http://127.0.0.1:1");
      // A busy machine may let the light starve for a moment; without a seller it stays dark.
      let litAtMs = performance.now();
      await until(
        "lasting darkness without a seller",
        () => {
          if (pole.lit()) litAtMs = performance.now();
          return performance.now() - litAtMs > LASTING_MS;
        },
        30_000,
      );
      expect(device.lines().findLast(({ msg }) => msg === "lamp")).toMatchObject({ levelPercent: 0 });
      const burned = pole.energyMilliwattHours();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      expect(pole.energyMilliwattHours()).toBe(burned);
      // E2, from the meter's and the ledger's side: no more light than was paid for, and one quantum.
      expect(burned).toBeLessThanOrEqual((charged() / QUANTUM + 1) * UNITS_PER_QUANTUM);

      road.leadTo(seller.url);
      await until("light again", () => pole.lit(), 30_000);
      const before = charged();
      await until("more purchases", () => charged() >= before + 5 * QUANTUM, 30_000);

      device.process.kill("SIGTERM");
      expect((await device.ended).code).toBe(0);
      expect(pole.lit()).toBe(false);
      expect(device.errors()).toBe("");
      await gateway.stop();
      const total = charged();
      expect((await seller.stop()).settles.amountAtomic).toBe(total);
    } finally {
      device.process.kill("SIGKILL");
      await road.close();
      await pole.remove();
    }
  });
});
