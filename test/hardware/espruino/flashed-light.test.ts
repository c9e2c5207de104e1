/** A light flashed as an installer does it, in the real interpreter, on the real path: MQTT, gateway, HTTP, seller, chain. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ConsoleReport } from "#hardware/espruino/build/globals";
import { espruinoCommand } from "#hardware/flash/board/espruino-command";
import { toHex } from "#payment/bytes";
import { startTimeServer } from "#simulator/hardware/simulated-board-host";
import { type Ground, prepareGround } from "../../gateway/fixtures.ts";
import { dataOf, ledgerRows, QUANTUM, startSeller, UNITS } from "../../gateway/purchase/agreement.ts";
import { ESPRUINO } from "./interpreter.ts";
import { LinuxBoard } from "./linux-board.ts";

/** A purchase lasts for three seconds of it. */
const LOAD_MILLIWATTS = 600_000;
const BUDGET_RUNGS = 30;

/** Typed on the board's console: it prints its report, again and again. */
const TELL = 'setInterval(function(){print("@@"+JSON.stringify(light()));},1000)';
const ASKED_AGAIN_MS = 20_000;

describe.runIf(ESPRUINO)("a light in the real interpreter", () => {
  const folder = mkdtempSync(join(tmpdir(), "watt402-flashed-"));
  let ground: Ground;
  let board: LinuxBoard;
  beforeAll(async () => {
    ground = await prepareGround();
    board = await LinuxBoard.plugIn(folder);
  }, 180_000);
  afterAll(async () => {
    await board.unplug();
    await ground.stop();
    rmSync(folder, { recursive: true });
  });

  it("is flashed through the CLI, signs while it is dark, buys when it is lit, and goes on after a power cut; all agree", {
    timeout: 900_000,
  }, async () => {
    const seller = await startSeller(ground, { minDepositAtomic: 2 * BUDGET_RUNGS * QUANTUM });
    const config = ground.config(seller.url);
    const gateway = await ground.gateway(config);
    const time = await startTimeServer();
    let reportedAtMs = 0;
    const flashed = async (lit: number) => {
      writeFileSync(join(folder, "device.toml"), tomlOf(gateway.brokerUrl, ground, lit));
      const reported = await flash(
        ["--config", join(folder, "device.toml"), "--key", join(folder, "light.key"), "--board", "linux"],
        ["--time", `127.0.0.1:${time.port}`, "--port", board.port, "--json"],
      );
      expect(reported).toMatchObject({ board: "linux", dryRun: false });
      board.forget();
      reportedAtMs = 0;
    };
    const untilSeen = async (what: string, isSo: (now: ConsoleReport) => boolean, limitMs: number) => {
      const endMs = Date.now() + limitMs;
      for (;;) {
        const reported = board.latest();
        const seen = reported === null ? null : (JSON.parse(reported) as ConsoleReport);
        if (seen !== null && isSo(seen)) return seen;
        // Nothing is heard after a start, or when the line was not understood.
        if (seen === null && Date.now() - reportedAtMs > ASKED_AGAIN_MS) {
          reportedAtMs = Date.now();
          board.type(TELL);
        }
        if (Date.now() > endMs) throw new Error(`expected ${what}, found ${board.console.slice(-1500)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const nowMinute = Math.floor(Date.now() / 60_000);
    await flashed(nowMinute + 12 * 60);
    await untilSeen("a ladder", ({ ladderRungs }) => ladderRungs >= 16, 400_000);
    // Only the plan is another: nothing else is sent, and the ladder stays where it is.
    await flashed(nowMinute - 1);
    const dusk = await untilSeen(
      "light and a purchase",
      ({ levelPercent, charged }) => levelPercent > 0 && charged >= 2 * QUANTUM,
      120_000,
    );
    const lit = await untilSeen("7 purchases", ({ charged }) => charged >= 7 * QUANTUM, 120_000);
    // At night a payment is a read: nothing was signed while the ladder lasted but what had been begun.
    expect(lit.signed - dusk.signed).toBeLessThanOrEqual(1);
    expect(lit.failedSignatures).toBe(dusk.failedSignatures);
    expect(lit.levelPercent).toBe(100);
    // E2, by the board's own meter.
    expect(lit.register).toBeLessThanOrEqual(lit.granted + UNITS);

    board.cutPower();
    const again = await untilSeen("12 purchases", ({ charged }) => charged >= 12 * QUANTUM, 180_000);
    expect(board.starts).toBe(2);
    // Five purchases, and the ladder of before the cut.
    expect(again.signed).toBeLessThanOrEqual(1);
    expect(board.console).not.toMatch(/Uncaught|OUT OF MEMORY|LOW_MEMORY|fault:/);

    const last = again;
    await board.unplug();
    await gateway.stop();
    const { channels, payments } = ledgerRows(dataOf(config));
    const { settles } = await seller.stop();
    expect(channels).toHaveLength(1);
    const { charged, granted } = channels[0]!;
    expect(charged).toBe(settles.amountAtomic);
    expect(granted).toBe((charged / QUANTUM) * UNITS);
    expect(payments.map((payment) => payment.max_claimable)).toEqual(
      payments.map((_, index) => (index + 1) * QUANTUM),
    );
    // What the board heard last may be one purchase behind what was in flight when it was unplugged.
    expect(charged).toBeGreaterThanOrEqual(last.charged);
    expect(charged).toBeLessThanOrEqual(last.maxClaimable + QUANTUM);
    process.stderr.write(`seen in the interpreter: ${JSON.stringify({ lit, last, charged })}\n`);
  });
});

async function flash(...options: readonly (readonly string[])[]): Promise<unknown> {
  let said = "";
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    said += String(text);
    return true;
  });
  try {
    await espruinoCommand().exitOverride().parseAsync(options.flat(), { from: "user" });
  } finally {
    spy.mockRestore();
  }
  return JSON.parse(said);
}

/** @param dusk Unix minute from which the lamp is to be lit, for forty minutes */
function tomlOf(brokerUrl: string, { network, contracts, gatewayKey }: Ground, dusk: number): string {
  const at = (minute: number) => new Date(minute * 60_000).toISOString().slice(11, 16);
  const steps = [
    { at: at(dusk), level: 100 },
    { at: at(dusk + 40), level: 0 },
  ].sort((one, other) => (one.at < other.at ? -1 : 1));
  return `
[device]
key_file = "device.key"
journal_file = "device.journal"
[gateway]
broker = "${brokerUrl}"
public_key = "${toHex(gatewayKey.publicKey)}"
keepalive_seconds = 30
[policy]
schemes = ["batch-settlement"]
network = "${network}"
asset = "${contracts.token}"
payees = []
price_ceiling_per_million_units = 1000000
quantum_max_atomic = 10000
daily_budget_atomic = ${BUDGET_RUNGS * QUANTUM}
[meter]
wanted_units = ${UNITS}
power_max_milliwatts = ${2 * LOAD_MILLIWATTS}
[lamp]
rated_milliwatts = ${LOAD_MILLIWATTS}
level_percent_without_clock = 0
[plan]
steps = [${steps.map(({ at: time, level }) => `{ at = "${time}", level_percent = ${level} }`).join(", ")}]
[timing]
tick_ms = 1000
reading_ms = 10000
retry_first_ms = 1000
retry_max_ms = 8000
`;
}
