/**
 * The whole way, seen from a pole: the device as a process with a meter and a relay, MQTT, a real gateway,
 * the seller, the chain. It is lit while it is paid for, dark when it starves, and lit again.
 */
import { expect } from "vitest";
import { toHex } from "#payment/bytes";
import { until } from "../../device/node/broker.ts";
import { openLossyProxy } from "../../gateway/faults/lossy-proxy.ts";
import type { Ground } from "../../gateway/fixtures.ts";
import { dataOf, ledgerRows, QUANTUM, startSeller, UNITS } from "../../gateway/purchase/agreement.ts";
import { type Program, runDevice } from "./device-process.ts";
import type { Pole } from "./simulated-light.ts";

const LASTING_MS = 1500;

/** Atomic units at the evening's end. */
export interface Paid {
  readonly charged: number;
  readonly settled: number;
}

/** @param meter the lines of `[meter.driver]`; the pole's own on TCP without them */
export async function livePaidEvening(
  ground: Ground,
  program: Program,
  pole: Pole,
  meter?: string,
): Promise<Paid> {
  const seller = await startSeller(ground);
  const road = await openLossyProxy(seller.url, () => false);
  const config = ground.config(road.url);
  const gateway = await ground.gateway(config);
  pole.configure({
    brokerUrl: gateway.brokerUrl,
    gatewayPublicKey: toHex(ground.gatewayKey.publicKey),
    network: ground.network,
    asset: ground.contracts.token,
    wantedUnits: UNITS,
    ...(meter === undefined ? {} : { meter }),
  });
  const device = runDevice(program, ["--config", pole.config]);
  const charged = () =>
    ledgerRows(dataOf(config)).channels.reduce((sum, channel) => sum + channel.charged, 0);
  try {
    await until("ten purchases", () => charged() >= 10 * QUANTUM, 30_000);
    await until("light", () => pole.lit(), 5000);

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
    expect(burned).toBeLessThanOrEqual((charged() / QUANTUM + 1) * UNITS);

    road.leadTo(seller.url);
    await until("light again", () => pole.lit(), 30_000);
    const before = charged();
    await until("more purchases", () => charged() >= before + 5 * QUANTUM, 30_000);

    device.process.kill("SIGTERM");
    expect((await device.ended).code).toBe(0);
    expect(pole.lit()).toBe(false);
    expect(device.errors()).toBe("");
    await gateway.stop();
    return { charged: charged(), settled: (await seller.stop()).settles.amountAtomic };
  } finally {
    device.process.kill("SIGKILL");
    await road.close();
  }
}
