import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type MeterLimits, NEW_REGISTER, type Register, takeReading } from "#core/register";
import { COUNTER_MAX } from "#core/units";

const LIMITS: MeterLimits = { rollOverAt: 0, powerMaxMilliwatts: 100_000 };
const SECOND = 1_000;
const HOUR = 3_600_000;

function readAll(start: Register, raws: readonly number[], limits = LIMITS, estimate = 0) {
  let register = start;
  const notes: string[] = [];
  for (const raw of raws) {
    const taken = takeReading(register, raw, SECOND, estimate, limits);
    register = taken.register;
    notes.push(taken.note);
  }
  return { register, notes };
}

const at = (raw: number, total = 0): Register => ({ total, raw, epoch: 0, suspect: null, left: null });

describe("the register (E1)", () => {
  it("begins at nothing, wherever the meter stands", () => {
    expect(readAll(NEW_REGISTER, [5_000_000]).register).toMatchObject({ total: 0, raw: 5_000_000 });
  });

  it("counts what the meter counts", () => {
    const { register, notes } = readAll(at(100), [100, 150, 151]);
    expect(register).toMatchObject({ total: 51, raw: 151, epoch: 0 });
    expect(notes).toEqual(["counted", "counted", "counted"]);
  });

  it("never falls, never leaves its range and never jumps beyond the meter's power, whatever is read", () => {
    const wild = fc.oneof(
      fc.integer({ min: 0, max: COUNTER_MAX }),
      fc.integer({ min: -5, max: 50_000 }),
      fc.double(),
      fc.constantFrom(Number.NaN, Infinity, -1),
    );
    const step = fc.record({
      raw: wild,
      elapsedMs: fc.oneof(fc.integer({ min: 0, max: 24 * HOUR }), fc.constant(Infinity)),
      estimate: fc.integer({ min: 0, max: 10_000 }),
    });
    const limits = fc.record({
      rollOverAt: fc.constantFrom(0, 65_536, 4_294_967_296),
      powerMaxMilliwatts: fc.integer({ min: 0, max: 1_000_000 }),
    });
    fc.assert(
      fc.property(fc.array(step), limits, (steps, meter) => {
        let register = NEW_REGISTER;
        for (const { raw, elapsedMs, estimate } of steps) {
          const next = takeReading(register, raw, elapsedMs, estimate, meter).register;
          const ms = elapsedMs === Infinity ? 24 * HOUR : elapsedMs;
          const most = 10_000 + (2 * meter.powerMaxMilliwatts * ms) / HOUR;
          expect(next.total).toBeGreaterThanOrEqual(register.total);
          expect(next.total - register.total).toBeLessThanOrEqual(most + estimate);
          expect(Number.isInteger(next.total) && next.total <= COUNTER_MAX).toBe(true);
          expect(next.epoch).toBeGreaterThanOrEqual(register.epoch);
          register = next;
        }
      }),
    );
  });

  it("loses nothing over resets: the estimate covers what the meter forgot", () => {
    const { register, notes } = readAll(at(900_000, 40), [3], LIMITS, 250);
    expect(register).toMatchObject({ total: 290, raw: 3, epoch: 1 });
    expect(notes).toEqual(["reset"]);
  });

  it("takes a wrap for a wrap when the step is plausible", () => {
    const { register, notes } = readAll(at(65_530, 10), [4], { ...LIMITS, rollOverAt: 65_536 });
    expect(register).toMatchObject({ total: 20, raw: 4, epoch: 1 });
    expect(notes).toEqual(["roll-over"]);
  });

  it("ignores a spike, and goes on where it was", () => {
    const { register, notes } = readAll(at(1_000, 1_000), [900_000_000, 1_010]);
    expect(notes).toEqual(["implausible", "counted"]);
    expect(register).toEqual({ total: 1_010, raw: 1_010, epoch: 0, suspect: null, left: null });
  });

  it("takes three agreeing impossible readings for another meter, even of one that draws much", () => {
    const strong = { rollOverAt: 0, powerMaxMilliwatts: 11_000_000 };
    let register = at(1_000, 1_000);
    const notes: string[] = [];
    for (const raw of [900_000_000, 900_030_000, 900_060_000, 900_090_000]) {
      const taken = takeReading(register, raw, 10 * SECOND, 77, strong);
      register = taken.register;
      notes.push(taken.note);
    }
    expect(notes).toEqual(["implausible", "implausible", "rebased", "counted"]);
    expect(register).toMatchObject({ total: 1_000 + 77 + 30_000, epoch: 1 });
  });

  it("never takes what is no counter for a reading", () => {
    for (const raw of [-1, 0.5, Number.NaN, Infinity, COUNTER_MAX + 1]) {
      expect(takeReading(at(10, 5), raw, SECOND, 0, LIMITS)).toEqual({
        register: at(10, 5),
        note: "implausible",
      });
      expect(takeReading(NEW_REGISTER, raw, Infinity, 0, LIMITS).register).toEqual(NEW_REGISTER);
    }
  });

  it("believes a day of full load after a power cut, and no more", () => {
    const day = 10_000 + 2 * 100_000 * 24;
    expect(takeReading(at(0), day, Infinity, 0, LIMITS).note).toBe("counted");
    expect(takeReading(at(0), day + 1, Infinity, 0, LIMITS).note).toBe("implausible");
  });

  it("does not charge the device for what a meter exchanged without power had counted before", () => {
    for (const raw of [50_000_000, 400_000_000]) {
      let register = at(300_000_000, 1_000);
      for (let look = 0; look < 3; look++)
        register = takeReading(register, raw, Infinity, 0, LIMITS).register;
      expect(register).toMatchObject({ total: 1_000, raw, epoch: 1 });
    }
    const wrapping = { ...LIMITS, rollOverAt: 4_294_967_296 };
    expect(takeReading(at(3_000_000_000), 0, Infinity, 0, wrapping)).toMatchObject({
      register: { total: 0 },
      note: "reset",
    });
  });

  it("finds what was used before a power cut again when the meter that came up wrong is right again", () => {
    let register = at(1_000, 1_000);
    const notes: string[] = [];
    const look = (raw: number, elapsedMs: number) => {
      const taken = takeReading(register, raw, elapsedMs, 0, LIMITS);
      register = taken.register;
      notes.push(taken.note);
    };
    for (const raw of [900_000_000, 900_000_000, 900_000_000]) look(raw, Infinity);
    look(900_000_500, 60 * SECOND);
    // 43 Wh were used between the last checkpoint and the cut, 500 mWh of them while the meter was wrong.
    look(44_500, 60 * SECOND);
    look(44_600, 60 * SECOND);
    expect(notes).toEqual(["implausible", "implausible", "rebased", "counted", "rebased", "counted"]);
    expect(register).toEqual({ total: 44_600, raw: 44_600, epoch: 2, suspect: null, left: null });
  });
});
