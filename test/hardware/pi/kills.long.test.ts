import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { until } from "../../device/node/broker.ts";
import { ASSET, NETWORK, SELLER, startGateway } from "../gateway.ts";
import { bundledDevice, runDevice } from "./device-process.ts";
import { raisePole } from "./simulated-light.ts";

const KILLS = 200;
const GATEWAY_KEY = openKey(new Uint8Array(32).fill(9));
const LOAD_WATTS = 720;
/** Longest life of one process behind its first purchase, milliseconds. */
const LIFE_MS = 300;

describe("a device under load", () => {
  it(`is killed ${KILLS} times without a word: nothing charged twice, no register that falls`, async () => {
    const program = await bundledDevice();
    const pole = await raisePole(LOAD_WATTS);
    const gateway = await startGateway(GATEWAY_KEY);
    try {
      pole.configure({
        brokerUrl: `mqtt://127.0.0.1:${gateway.broker.port}`,
        gatewayPublicKey: toHex(GATEWAY_KEY.publicKey),
        network: NETWORK,
        asset: ASSET,
        payees: [SELLER],
        wantedUnits: 20,
      });
      for (let kill = 0; kill < KILLS; kill++) {
        const before = gateway.vouchers.length;
        const device = runDevice(program, ["--config", pole.config]);
        // One life in four ends while it still starts; the others in the middle of buying.
        if (kill % 4 === 3) await new Promise((resolve) => setTimeout(resolve, (kill * 37) % 1500));
        else {
          await until(
            `a purchase in life ${kill}: ${device.errors()}`,
            () => gateway.vouchers.length > before,
            30_000,
          );
          await new Promise((resolve) => setTimeout(resolve, (kill * 53) % LIFE_MS));
        }
        device.process.kill("SIGKILL");
        expect((await device.ended).signal).toBe("SIGKILL");
        expect(device.errors()).toBe("");
        // What the service's ExecStopPost does.
        writeFileSync(join(pole.tree.root, "class/leds/lamp/brightness"), "0");
      }
      const last = runDevice(program, ["--config", pole.config]);
      const { charged } = gateway;
      await until("a purchase after all of it", () => gateway.charged > charged, 30_000);
      last.process.kill("SIGTERM");
      expect((await last.ended).code).toBe(0);

      console.info(
        `${KILLS} kills: ${gateway.vouchers.length} vouchers of ${gateway.charged / 100} rungs, ` +
          `${gateway.granted} mWh granted, ${Math.round(pole.energyMilliwattHours())} mWh burned`,
      );
      expect(gateway.wrong).toEqual([]);
      const rungs = [...new Set(gateway.vouchers)];
      expect(rungs).toEqual(rungs.map((_, i) => (i + 1) * 100));
      expect(gateway.charged).toBe(rungs.length * 100);
      for (const [i, register] of gateway.registers.entries()) {
        expect(register).toBeGreaterThanOrEqual(gateway.registers[i - 1] ?? 0);
      }
      expect(gateway.registers.at(-1)).toBeLessThanOrEqual(pole.energyMilliwattHours());
    } finally {
      await gateway.close();
      await pole.remove();
      program.remove();
    }
  }, 900_000);
});
