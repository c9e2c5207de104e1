import { describe, expect, it } from "vitest";
import { Limiter } from "#hardware/charger/limits/limiter";
import { ChargeMeter } from "#hardware/charger/metering/charge-meter";
import { type EnergyRegister, NEW_ENERGY_REGISTER } from "#hardware/charger/metering/energy-register";
import { memoryStore } from "#hardware/charger/metering/kept-charger";
import type { StationCommands } from "#hardware/charger/ocpp/ports";
import { TurnClock } from "../../simulator/charging/turn-clock.ts";

const POWER = 11_000_000;
const TIMES = { maxMilliwatts: POWER, reportMs: 10_000, stopLatencyMs: 0, linkLatencyMs: 100 };
const QUANTUM = 60_000;
const EPOCH = 1_800_000_000;
/** Of full power in 10 s. */
const STEP = Math.floor((POWER * 10) / 3600);

function newMeter(): ChargeMeter {
  return new ChargeMeter(memoryStore().load(), TIMES, 0);
}

function newRegister(raw: number): EnergyRegister {
  return { ...NEW_ENERGY_REGISTER, tracks: [{ key: "1", raw, atSeconds: 0 }] };
}

interface Shown {
  readonly milliwatts?: number;
  readonly ageMs?: number | null;
  readonly measuredMs?: number;
  readonly transactionId?: string;
  readonly begins?: boolean;
}

/** A report of a second, measured just then unless it is older. */
function report(
  meter: ChargeMeter,
  atMs: number,
  energy: number,
  { milliwatts = POWER, ageMs = 0, measuredMs, ...transaction }: Shown = {},
) {
  const value = { energyMilliwattHours: energy, powerMilliwatts: milliwatts, phases: 1 };
  const sample = {
    ...{ connector: 1, transactionId: "1", begins: false, value, ...transaction },
    atSeconds: EPOCH + (measuredMs ?? atMs - (ageMs ?? 0)) / 1000,
  } as unknown as Parameters<ChargeMeter["report"]>[0];
  return meter.report(sample, atMs, ageMs, QUANTUM);
}

describe("a register that stands while power is shown", () => {
  it("adds nothing to what is paid, counts as flowed, and is believed at once when it moves again", () => {
    const meter = newMeter();
    meter.limit(0, POWER, Number.POSITIVE_INFINITY);
    report(meter, 1_000, 500_000);
    for (let at = 1; at <= 6; at++) report(meter, 1_000 + at * 10_000, 500_000);
    expect(meter.register().total).toBe(0);
    expect(meter.flow(61_000).most).toBeGreaterThanOrEqual(6 * STEP);
    expect(report(meter, 71_000, 500_000 + 7 * STEP).note).toBe("counted");
    expect(meter.register().total).toBe(7 * STEP);
  });
});

describe("a process that starts again beside a charge that goes on", () => {
  it("judges nothing that its former life had allowed, nor what was measured it does not know when", () => {
    for (const ageMs of [30_000, null]) {
      const meter = newMeter();
      meter.setBase(0, 0);
      report(meter, 1_000, 500_000, { ageMs, measuredMs: -29_000 });
      const queued = { ageMs: ageMs === null ? null : 10_000, measuredMs: -9_000 };
      expect(report(meter, 1_001, 500_000 + 2 * STEP, queued)).toEqual({ note: "counted", step: 2 * STEP });
      expect(meter.obedience()).toMatchObject({ disobeys: false, excessMilliwattHours: 0 });
      // A queue shows a register of old: until something is measured now, nothing is known of it.
      if (ageMs === null) expect(meter.reading(1_002)).toBeNull();
    }
  });
});

describe("a register that went backwards and passes where it stood before it is right again", () => {
  it("names nobody for what comes at once then: it flowed meanwhile", () => {
    const meter = newMeter();
    meter.setBase(0, 0);
    meter.limit(0, POWER, Number.POSITIVE_INFINITY);
    // In intervals' energy above the first value.
    for (const [at, shown] of [0, 1, -0.5, 0.5, 1.5, 5].entries())
      report(meter, 1_000 + at * 10_000, 500_000 + shown * STEP);
    expect(meter.register().total).toBe(5 * STEP);
    expect(meter.obedience()).toMatchObject({ disobeys: false, excessMilliwattHours: 0 });
  });
});

describe("a register that stood and showed no power until its transaction was over", () => {
  it("is believed of what limits allowed meanwhile, though nothing could flow since", () => {
    const meter = newMeter();
    meter.setBase(0, 0);
    meter.limit(0, POWER, 61_000);
    report(meter, 1_000, 500_000);
    report(meter, 61_000, 500_000, { milliwatts: 0 });
    meter.setIdle(61_000, true);
    meter.setIdle(3_661_000, false);
    const next = { milliwatts: 0, transactionId: "2", begins: true };
    expect(report(meter, 3_661_000, 500_000 + 5 * STEP, next)).toEqual({ note: "counted", step: 5 * STEP });
    expect(meter.obedience().excessMilliwattHours).toBe(0);
  });
});

describe("a register that stood over a restart of this side", () => {
  it("judges nothing by what it shows at once when it moves, for that flowed before, too", () => {
    const kept = { ...memoryStore().load(), register: newRegister(500_000) };
    const meter = new ChargeMeter(kept, TIMES, 0);
    meter.setBase(0, 0);
    meter.limit(0, POWER, Number.POSITIVE_INFINITY);
    report(meter, 1_000, 500_000 + STEP);
    report(meter, 11_000, 500_000 + STEP);
    // Twenty intervals of it before the restart, and it is believed: power was shown.
    report(meter, 21_000, 500_000 + 5 * STEP);
    expect(meter.obedience()).toMatchObject({ disobeys: false, excessMilliwattHours: 0 });
    for (const [at, atMs] of [31_000, 41_000].entries()) report(meter, atMs, 500_000 + (7 + 2 * at) * STEP);
    expect(meter.obedience().disobeys).toBe(true);
  });
});

describe("values that are not believed", () => {
  it("count by the power that was shown until each of them, though the car has stopped by the last", () => {
    const meter = newMeter();
    meter.limit(0, POWER, Number.POSITIVE_INFINITY);
    report(meter, 1_000, 5_000_000);
    report(meter, 11_000, 5_000_000 + STEP);
    expect(report(meter, 21_000, 4_500_000 + 2 * STEP).note).toBe("backwards");
    expect(report(meter, 31_000, 4_500_000 + 3 * STEP, { milliwatts: 0 }).note).toBe("backwards");
    const next = { milliwatts: 0, transactionId: "2", begins: true };
    report(meter, 41_000, 4_500_000 + 3 * STEP, next);
    expect(meter.register().total).toBe(3 * STEP);
  });
});

describe("a register that begins at 0 again in the middle of a transaction", () => {
  it("counts what it forgot by the power that was shown, and never more than limits allow", () => {
    for (const [endsAtMs, forgotten] of [
      [Number.POSITIVE_INFINITY, STEP],
      [1_000, 10_000],
    ] as const) {
      const meter = newMeter();
      meter.setBase(0, 0);
      meter.limit(0, POWER, endsAtMs);
      report(meter, 1_000, 500_000);
      expect(report(meter, 11_000, 10_000)).toEqual({ note: "restarted", step: forgotten });
    }
  });
});

describe("a limit", () => {
  const sent: string[] = [];
  const commands = {
    setDefault: async () => true,
    setLimit: async (transactionId: string, milliwatts: number) => {
      sent.push(`${transactionId} ${milliwatts > 0}`);
      return true;
    },
    stop: async () => true,
  } as unknown as StationCommands;
  const aim = (transactionId: string) => ({
    ...{ transactionId, paidMilliwattHours: 1_000_000, levelPercent: 100, wanted: true, stop: false },
  });

  async function limited() {
    sent.length = 0;
    const clock = new TurnClock(EPOCH);
    const range = {
      minMilliwatts: 1_380_000,
      maxMilliwatts: POWER,
      stepMilliwatts: 230_000,
      leastSeconds: 5,
    };
    const meter = newMeter();
    const limiter = new Limiter({
      ...{ clock, range, times: TIMES, stopAfterMs: 60_000, meter },
      onOddity: () => {},
      onAnswer: () => {},
    });
    await limiter.attach(commands);
    limiter.aim(aim("first"));
    await Promise.resolve();
    await Promise.resolve();
    return { limiter, meter };
  }

  it("takes the place of whatever a former life has left, and ends with its transaction: the next car gets its own", async () => {
    const { limiter, meter } = await limited();
    expect(meter.flow(0).limitMilliwatts).toBeGreaterThan(0.9 * POWER);
    limiter.aim(null);
    expect(meter.flow(0).limitMilliwatts).toBe(0);
    limiter.aim(aim("second"));
    expect(sent).toEqual(["first true", "second true"]);
  });

  it("is sent once while it holds, and anew when the charge point's clock is another", async () => {
    const { limiter } = await limited();
    limiter.aim(aim("first"));
    expect(sent).toEqual(["first true"]);
    limiter.clockChanged();
    limiter.aim(aim("first"));
    expect(sent).toEqual(["first true", "first true"]);
  });
});
