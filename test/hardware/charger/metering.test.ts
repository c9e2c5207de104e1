import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type EnergyRegister,
  NEW_ENERGY_REGISTER,
  type RegisterSample,
  TRACKS_MAX,
  takeSample,
} from "#hardware/charger/metering/energy-register";
import { fileStore } from "#hardware/charger/metering/kept-charger";
import { readMeterValue, type SampledValue } from "#hardware/charger/metering/sampled-values";

const BOUNDS = { most: 200_000, estimate: 0, forgotten: 0, isKnown: true };

function take(register: EnergyRegister, sample: Partial<RegisterSample>): EnergyRegister {
  const whole = { transactionId: "1", energyMilliwattHours: 0, atSeconds: 0, begins: false, ...sample };
  return takeSample(register, whole, BOUNDS).register;
}

/** What one transaction of an honest meter shows: its register after each step, upwards. */
const transaction = fc.record({
  steps: fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 12 }),
  fromZero: fc.boolean(),
});

describe("the register over a charge point's meter", () => {
  it("counts what an honest meter counted once, whatever restarts at 0, comes late, twice or out of order", () => {
    fc.assert(
      fc.property(
        fc.array(transaction, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat({ max: 1_000 }), { maxLength: 40 }),
        (transactions, echoes) => {
          let register = NEW_ENERGY_REGISTER;
          const sent: RegisterSample[] = [];
          let [lifetime, delivered, atSeconds] = [7_000_000, 0, 1000];
          const hear = (sample: RegisterSample) => {
            const before = register.total;
            register = take(register, sample);
            expect(register.total).toBeGreaterThanOrEqual(before);
            expect(register.total).toBeLessThanOrEqual(delivered);
          };
          const everZero = transactions.some(({ fromZero }) => fromZero);
          for (const [at, { steps }] of transactions.entries()) {
            // A charge point counts from 0 with each transaction, or never does.
            let shown = everZero ? 0 : lifetime;
            for (const [index, step] of [0, ...steps].entries()) {
              shown += step;
              lifetime += step;
              delivered += step;
              atSeconds += 10;
              const sample = {
                transactionId: String(at),
                energyMilliwattHours: shown,
                atSeconds,
                begins: index === 0,
              };
              sent.push(sample);
              hear(sample);
              const echo = echoes[(at * 13 + index) % Math.max(1, echoes.length)];
              // Of this transaction: what belongs to one before is the next promise.
              if (echo !== undefined) hear({ ...sent.at(-1 - (echo % (index + 1)))!, begins: false });
            }
          }
          expect(register.total).toBe(delivered);
          expect(register.tracks.length).toBeLessThanOrEqual(TRACKS_MAX);
        },
      ),
    );
  });

  it("counts a stop that was queued behind the next transaction's start, and a transaction's lifetime register once", () => {
    let alone = take(NEW_ENERGY_REGISTER, { atSeconds: 1, begins: true });
    alone = take(alone, { energyMilliwattHours: 50_000, atSeconds: 2 });
    alone = take(alone, { transactionId: "2", atSeconds: 9, begins: true });
    alone = take(alone, { transactionId: "1", energyMilliwattHours: 80_000, atSeconds: 5 });
    expect(alone.total).toBe(80_000);
    let lifetime = take(NEW_ENERGY_REGISTER, { energyMilliwattHours: 1_000_000, atSeconds: 1, begins: true });
    lifetime = take(lifetime, {
      transactionId: "2",
      energyMilliwattHours: 1_030_000,
      atSeconds: 9,
      begins: true,
    });
    lifetime = take(lifetime, { transactionId: "1", energyMilliwattHours: 1_030_000, atSeconds: 5 });
    expect(lifetime.total).toBe(30_000);
  });

  it("adds nothing while a meter goes backwards, and believes another register only after three values", () => {
    let register = take(NEW_ENERGY_REGISTER, { energyMilliwattHours: 5_000_000, atSeconds: 1 });
    register = take(register, { energyMilliwattHours: 4_900_000, atSeconds: 2 });
    register = take(register, { energyMilliwattHours: 4_950_000, atSeconds: 3 });
    expect(register.total).toBe(0);
    register = take(register, { energyMilliwattHours: 5_010_000, atSeconds: 4 });
    expect(register.total).toBe(10_000);
    for (const [at, note] of ["implausible", "implausible", "rebased"].entries()) {
      const sample = { transactionId: "1", energyMilliwattHours: 9e9 + at, atSeconds: 5 + at, begins: false };
      const taken = takeSample(register, sample, { ...BOUNDS, estimate: 33_000 });
      expect(taken.note).toBe(note);
      register = taken.register;
    }
    expect(register.total).toBe(43_000);
  });

  it("finds a meter again that went backwards for longer than it is doubted: nothing of it counts twice", () => {
    let register = take(NEW_ENERGY_REGISTER, { energyMilliwattHours: 5_000_000, atSeconds: 1 });
    const shown = (energyMilliwattHours: number, atSeconds: number) => {
      const sample = { transactionId: "1", energyMilliwattHours, atSeconds, begins: false };
      const taken = takeSample(register, sample, { ...BOUNDS, estimate: 60_000 });
      register = taken.register;
      return taken.note;
    };
    // Seventy watt-hours below what it counted, and past where it stood before it is right again.
    expect([2, 3, 4, 5].map((at) => shown(4_930_000 + (at - 1) * 20_000, at))).toEqual([
      ...["backwards", "backwards", "rebased", "counted"],
    ]);
    expect(register.total).toBe(80_000);
    expect(shown(5_100_000, 6)).toBe("rebased");
    expect(register.total).toBe(100_000);
    expect(shown(5_120_000, 7)).toBe("counted");
    expect(register.total).toBe(120_000);
  });

  it("keeps what flowed while values were not believed, though their transaction ends before they are", () => {
    const before = [
      { energyMilliwattHours: 500_000, atSeconds: 10 },
      { energyMilliwattHours: 400_000, atSeconds: 20 },
    ].reduce(take, NEW_ENERGY_REGISTER);
    const begins = { transactionId: "2", energyMilliwattHours: 400_000, atSeconds: 30, begins: true };
    const { register } = takeSample(before, begins, { ...BOUNDS, estimate: 40_000 });
    expect(register.total).toBe(before.total + 40_000);
  });

  it("survives any sequence of samples without falling or throwing", () => {
    const sample = fc.record({
      transactionId: fc.option(fc.constantFrom("1", "2", "3")),
      energyMilliwattHours: fc.oneof(fc.nat({ max: 400_000 }), fc.maxSafeNat()),
      atSeconds: fc.nat({ max: 100 }),
      begins: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 60 }), (samples) => {
        let register = NEW_ENERGY_REGISTER;
        for (const one of samples) {
          const before = register.total;
          register = takeSample(register, one, BOUNDS).register;
          expect(register.total - before).toBeGreaterThanOrEqual(0);
          expect(register.total - before).toBeLessThanOrEqual(BOUNDS.most);
        }
      }),
    );
  });

  it("is found again after a restart, and a file that is none is refused by name", () => {
    const folder = mkdtempSync(join(tmpdir(), "charger-"));
    try {
      const store = fileStore(join(folder, "charger.json"));
      const register = take(take(NEW_ENERGY_REGISTER, { atSeconds: 1 }), {
        energyMilliwattHours: 9,
        atSeconds: 2,
      });
      const kept = { register, lastTransaction: 7, excessMilliwattHours: 3, disobeys: true };
      expect(store.save(kept)).toBeNull();
      expect(store.load()).toEqual(kept);
      writeFileSync(
        join(folder, "charger.json"),
        readFileSync(join(folder, "charger.json"), "utf8").slice(9),
      );
      expect(() => store.load()).toThrow(/expected a charge point's register/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("a meter value", () => {
  it("is the same energy in Wh and kWh, with a multiplier, in all and by phases", () => {
    const one = (value: string | number, more: Partial<SampledValue> = {}) => ({ value, ...more });
    const energy = (...values: SampledValue[]) => readMeterValue(values).energyMilliwattHours;
    expect(energy(one("1234"))).toBe(1_234_000);
    expect(energy(one("1.234", { unit: "kWh" }))).toBe(1_234_000);
    expect(energy(one(1.234, { unitOfMeasure: { unit: "Wh", multiplier: 3 } }))).toBe(1_234_000);
    expect(energy(...["L1", "L2", "L3"].map((phase) => one("411", { phase })))).toBe(1_233_000);
    expect(energy(one("5", { location: "EV" }), one("7", { location: "Outlet" }))).toBe(7000);
    expect(energy(one("9", { measurand: "Energy.Active.Export.Register" }))).toBeNull();
    expect(energy(one("AF03", { format: "SignedData" }))).toBeNull();
    for (const odd of ["", "abc", "Infinity", "1e30"]) expect(energy(one(odd))).toBeNull();
    const power = [one("7.2", { measurand: "Power.Active.Import", unit: "kW" })];
    expect(readMeterValue(power)).toEqual({ energyMilliwattHours: null, powerMilliwatts: 7_200_000 });
  });
});
