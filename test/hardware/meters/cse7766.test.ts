import { Duplex } from "node:stream";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { cse7766Meter } from "#hardware/meters/chips/cse7766";
import { CseFrames } from "#hardware/meters/chips/cse7766-frames";
import type { MeterDriver } from "#hardware/meters/open-meter";
import { frame, type Told } from "./cse7766-frame.ts";
import { context, readOnce, reasonOf, until } from "./harness.ts";

/** The serial port's far end. */
class Wire extends Duplex {
  override _read(): void {}
  override _write(_: unknown, __: unknown, done: () => void): void {
    done();
  }
}

const open: MeterDriver[] = [];
afterEach(async () => {
  for (const meter of open.splice(0)) await meter.close();
});

function wired() {
  const wire = new Wire();
  const meter = cse7766Meter({ serial: "/dev/ttyS0", calibration: 1 }, context(), (done) => done(null, wire));
  open.push(meter);
  return { wire, meter };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 5));
const rawAfter = async (meter: MeterDriver) => {
  await settle();
  return (await readOnce(meter))!.raw;
};

describe("a CSE7766", () => {
  it("shows power, voltage and current, and counts its pulses from the first frame on", async () => {
    const { wire, meter } = wired();
    wire.push(frame({ pulses: 500 }));
    expect(await rawAfter(meter)).toBe(0);
    wire.push(frame({ pulses: 503 }));
    await settle();
    const reading = await readOnce(meter);
    // Three pulses of 5.195 J.
    expect(reading!.raw).toBe(Math.floor((3 * 5.195) / 3.6));
    expect(reading!.powerMilliwatts / 1000).toBeCloseTo(60, 1);
    expect(reading!.voltageMillivolts! / 1000).toBeCloseTo(230, -1);
    expect(reading!.currentMilliamps! / 1000).toBeCloseTo(60 / 230, 2);
  });

  it("counts on over the wrap of its 16 bits", async () => {
    const { wire, meter } = wired();
    wire.push(frame({ pulses: 65_534 }));
    wire.push(frame({ pulses: 4 }));
    expect(await rawAfter(meter)).toBe(Math.floor((6 * 5.195) / 3.6));
  });

  it("does not count what no supply could have carried: a chip that began anew", async () => {
    const { wire, meter } = wired();
    wire.push(frame({ pulses: 30_000 }));
    wire.push(frame({ pulses: 2 }));
    expect(await rawAfter(meter)).toBe(0);
    expect(meter.notes()[0]).toContain("not counted");
    wire.push(frame({ pulses: 5 }));
    expect(await rawAfter(meter)).toBe(Math.floor((3 * 5.195) / 3.6));
  });

  it("takes an idle cycle for no load, and keeps power while a cycle is not ready", async () => {
    const { wire, meter } = wired();
    wire.push(frame());
    wire.push(frame({ adjust: 0x40 }));
    await settle();
    expect((await readOnce(meter))!.powerMilliwatts).toBeGreaterThan(59_000);
    wire.push(frame({ head: 0xf2 }));
    await settle();
    expect(await readOnce(meter)).toMatchObject({ powerMilliwatts: 0, quality: { kind: "good" } });
  });

  it("that is uncalibrated, abnormal or out of range is not metered, and named", async () => {
    const { wire, meter } = wired();
    const reasonFor = async (reported: Told) => {
      wire.push(frame(reported));
      await settle();
      return reasonOf(await readOnce(meter));
    };
    expect(await reasonFor({ head: 0xaa })).toContain("found status 0xAA");
    expect(await reasonFor({ head: 0xff })).toContain("found status 0xFF");
    expect(await reasonFor({ volts: 400 })).toContain("voltage: expected 80..300 V");
    expect(await reasonFor({ watts: 250 })).toContain("expected at most 200 W");
    expect(await reasonFor({})).toBe("good");
  });

  it("that is silent, or on a wrong line, says what to check", async () => {
    const { wire, meter } = wired();
    expect(reasonOf(await readOnce(meter))).toContain("enable_uart=1 in config.txt");
    for (let chunk = 0; chunk < 40; chunk++) wire.push(Buffer.alloc(24, 0x5a));
    await settle();
    expect(reasonOf(await readOnce(meter))).toContain(
      "expected frames at 4800 baud, even parity, found noise",
    );
    wire.destroy();
    await until("the loss", async () => reasonOf(await readOnce(meter)).includes("found it gone"));
  });
});

describe("the frames of a CSE7766", () => {
  const noise = fc.uint8Array({ maxLength: 40 });
  it("are found again whole after any noise between them, in any pieces", () => {
    fc.assert(
      fc.property(noise, fc.integer({ min: 1, max: 23 }), (between, piece) => {
        const frames = new CseFrames();
        const bytes = Buffer.concat([
          frame({ pulses: 1 }),
          between,
          frame({ pulses: 2 }),
          frame({ pulses: 3 }),
        ]);
        const seen: number[] = [];
        for (let at = 0; at < bytes.length; at += piece) {
          for (const one of frames.take(bytes.subarray(at, at + piece))) {
            if (one.kind === "values") seen.push(one.pulses);
          }
        }
        expect(seen[0]).toBe(1);
        expect(seen.at(-1)).toBe(3);
      }),
    );
  });

  it("with any one bit turned over in what the checksum covers are refused", () => {
    fc.assert(
      fc.property(fc.integer({ min: 16, max: 24 * 8 - 1 }), (bit) => {
        const bytes = frame({ pulses: 7 });
        bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7));
        expect(new CseFrames().take(bytes)).toEqual([]);
      }),
    );
  });

  it("cut in the middle cost one frame, not two", () => {
    const frames = new CseFrames();
    const bytes = Buffer.concat([
      frame({ pulses: 1 }).subarray(9),
      frame({ pulses: 2 }),
      frame({ pulses: 3 }),
    ]);
    const seen = frames.take(bytes).map((one) => (one.kind === "values" ? one.pulses : null));
    expect(seen).toEqual([2, 3]);
    expect(frames.skipped).toBe(15);
  });
});
