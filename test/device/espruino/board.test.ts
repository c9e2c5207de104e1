// The board's own bundle where only a board's language exists, on the real path: MQTT, gateway, HTTP, seller, chain.

import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Payment } from "#core/events";
import { bundleForBoard } from "#hardware/espruino/build/bundle";
import { faultLine } from "#hardware/espruino/build/lint";
import { systemClock } from "#node/clock";
import type { HostParts } from "#node/host";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { openKey } from "#payment/key";
import { ESP32_PAGES, FlashChip } from "#simulator/hardware/flash-chip";
import {
  type BoardRun,
  SIMULATED_LIGHT,
  startBoardHost,
  startTimeServer,
} from "#simulator/hardware/simulated-board-host";
import { type Ground, prepareGround, until } from "../../gateway/fixtures.ts";
import { dataOf, ledgerRows, QUANTUM, startSeller } from "../../gateway/purchase/agreement.ts";

const LOAD_MILLIWATTS = 3_600_000;

let ground: Ground;
let bundle = "";
beforeAll(async () => {
  const built = await bundleForBoard(SIMULATED_LIGHT, "Light");
  expect(built.faults.map(faultLine)).toEqual([]);
  bundle = built.code;
  ground = await prepareGround();
}, 180_000);
afterAll(() => ground.stop());

class BoardLight {
  readonly secret = new Uint8Array(randomBytes(32));
  readonly key = openKey(this.secret);
  readonly chip = new FlashChip(ESP32_PAGES);
  readonly paid: Payment[] = [];
  readonly said: string[] = [];
  run: BoardRun | null = null;
  private energy = 0;
  private level = 0;
  private sinceMs = 0;
  private readonly clock = systemClock();

  /** @param darkMs time before the lamp is to be lit */
  async start(brokerUrl: string, darkMs: number): Promise<void> {
    const { port, hostname } = new URL(brokerUrl);
    const time = await startTimeServer();
    const lightAtMinute = ((Date.now() + darkMs) / 60_000) % 1440;
    const token = ground.contracts.token.toLowerCase();
    const parts: HostParts = {
      settings: {
        policy: {
          schemes: ["batch-settlement"],
          network: ground.network,
          asset: token,
          contracts: [BATCH_SETTLEMENT_ADDRESS],
          payees: [],
          unit: "mWh",
          priceCeiling: 1_000_000,
          quantumMaxAtomic: 10_000,
          dailyBudgetAtomic: 1_000_000_000,
          unpaid: { kind: "off" },
        },
        meter: { rollOverAt: 0, powerMaxMilliwatts: 2 * LOAD_MILLIWATTS },
        ratedMilliwatts: LOAD_MILLIWATTS,
        lowMarkPermille: 700,
        retry: { firstMs: 200, maxMs: 2000 },
        tickMs: 1000,
        readingMs: 5000,
        signsOnDemand: false,
        levelWithoutClock: 0,
      },
      key: this.key,
      gatewayPublicKey: ground.gatewayKey.publicKey,
      clock: this.clock,
      chainSeconds: () => null,
      random: Math.random,
      meter: { read: (done) => done({ raw: Math.floor(this.meter()), powerMilliwatts: this.power() }) },
      lamp: {
        set: (levelPercent) => {
          this.meter();
          this.level = levelPercent;
        },
      },
      journal: { load: () => null, store: (_, done) => done(null) },
      link: { publish() {}, onMessage() {}, onChange() {}, close: async () => {} },
      almanac: {
        plan: () => [
          { minuteOfDay: 0, levelPercent: 0 },
          { minuteOfDay: lightAtMinute, levelPercent: 100 },
        ],
      },
      describe: { model: "board", firmware: "1", meter: "cse7766", unit: "mWh", wantedUnits: 500 },
      observe: (_event, effects) => {
        for (const effect of effects) if (effect.type === "pay") this.paid.push(effect.payment);
      },
    };
    this.run = startBoardHost(parts, {
      bundle,
      secret: this.secret,
      broker: { host: hostname, port: Number(port) },
      time: { host: "127.0.0.1", port: time.port },
      chip: this.chip,
      longestNightMs: 20_000,
      say: (text) => this.said.push(text),
    });
  }

  charged(): number {
    return this.run?.state().channel?.charged ?? 0;
  }

  reported(): string {
    const state = this.run?.state();
    return JSON.stringify([
      state?.channel,
      state?.offerRefusal,
      state?.linkUp,
      state?.meterRefusal,
      this.said.slice(-5),
    ]);
  }

  private power(): number {
    return (LOAD_MILLIWATTS * this.level) / 100;
  }

  private meter(): number {
    const nowMs = this.clock.nowMs();
    this.energy += (this.power() * (nowMs - this.sinceMs)) / 3_600_000;
    this.sinceMs = nowMs;
    return this.energy;
  }
}

test("a board signs while it is dark, buys from its ladder when it is lit, and all agree to the last atomic unit", async () => {
  const utility = await startSeller(ground);
  const config = ground.config(utility.url);
  const gateway = await ground.gateway(config);
  const light = new BoardLight();
  await light.start(gateway.brokerUrl, 8_000);
  const run = light.run!;
  await until(
    () => run.board.store.ready() >= 12,
    120_000,
    () => `a ladder; found ${light.reported()}`,
  );
  await until(
    () => light.charged() >= 4 * QUANTUM,
    40_000,
    () => `4 purchases; found ${light.reported()}`,
  );
  const signedByThen = run.board.ladder.signed;
  await until(
    () => light.charged() >= 8 * QUANTUM,
    20_000,
    () => `8 purchases; found ${light.reported()}`,
  );
  // At night a payment is a read: nothing was signed while the ladder lasted.
  expect(run.board.ladder.signed).toBe(signedByThen);
  expect(run.counters.failedSignatures).toBeLessThanOrEqual(1);
  await run.stop();
  await gateway.stop();
  const rows = ledgerRows(dataOf(config));
  expect(rows.channels).toHaveLength(1);
  const top = Math.max(...light.paid.map(({ maxClaimable }) => maxClaimable));
  const { settles } = await utility.stop();
  expect(rows.channels[0]!.charged).toBe(settles.amountAtomic);
  expect(light.charged()).toBeLessThanOrEqual(top);
  expect(rows.channels[0]!.charged).toBeLessThanOrEqual(top);
  expect(rows.channels[0]!.charged).toBeGreaterThanOrEqual(light.charged());
});
