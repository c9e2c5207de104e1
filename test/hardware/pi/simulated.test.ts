import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { simulatedLamp } from "#hardware/lamps/simulated-lamp";
import { simulatedMeter } from "#hardware/meters/simulated-meter";
import { openParts } from "#hardware/pi/meter-and-lamp";
import { readConfig } from "#node/config/device-config";
import { BenchClock } from "../../device/node/fixtures.ts";

const SAMPLE = readFileSync(new URL("../../../hardware/pi/device.sample.toml", import.meta.url), "utf8");

function look(meter: ReturnType<typeof simulatedMeter>) {
  let seen: unknown;
  meter.read((reading) => {
    seen = reading;
  });
  return seen;
}

describe("a simulated lamp and its meter", () => {
  it("count exactly what the lamp drew at each of its levels", () => {
    const clock = new BenchClock();
    const lamp = simulatedLamp(60_000, clock);
    const meter = simulatedMeter(lamp);
    clock.advance(3_600_000);
    expect(look(meter)).toEqual({ raw: 0, powerMilliwatts: 0 });
    lamp.set(100);
    clock.advance(1_800_000);
    expect(look(meter)).toEqual({ raw: 30_000, powerMilliwatts: 60_000 });
    lamp.set(25);
    clock.advance(3_600_000);
    expect(look(meter)).toEqual({ raw: 45_000, powerMilliwatts: 15_000 });
    lamp.set(0);
    clock.advance(3_600_000);
    expect(look(meter)).toEqual({ raw: 45_000, powerMilliwatts: 0 });
  });

  it("never lose a fraction, however often they are looked at", () => {
    const clock = new BenchClock();
    const lamp = simulatedLamp(60_000, clock);
    const meter = simulatedMeter(lamp);
    lamp.set(100);
    for (let i = 0; i < 3600; i++) {
      clock.advance(10);
      look(meter);
    }
    expect(lamp.energyMilliwattHours()).toBeCloseTo(600, 6);
  });
});

describe("the parts of a light", () => {
  it("are simulated where no hardware is named, or the simulated one is", () => {
    const clock = new BenchClock();
    expect(openParts(readConfig(SAMPLE, "c.toml"), clock).meter.name).toBe("simulated");
    const named = `${SAMPLE}\n[lamp.driver]\nkind = "simulated"\n`;
    expect(openParts(readConfig(named, "c.toml"), clock).lamp.name).toBe("simulated lamp");
  });

  it("are refused by name where there is no driver, or an option of none", () => {
    const clock = new BenchClock();
    const strange = `${SAMPLE}\n[meter.driver]\nkind = "abacus"\n`;
    expect(() => openParts(readConfig(strange, "c.toml"), clock)).toThrow(
      "meter.driver.kind: expected one of simulated, modbus",
    );
    const extra = `${SAMPLE}\n[lamp.driver]\nkind = "simulated"\npin = 4\n`;
    expect(() => openParts(readConfig(extra, "c.toml"), clock)).toThrow(
      "lamp.driver.pin: expected no such key",
    );
  });
});
