import { describe, expect, it } from "vitest";
import type { Reading } from "#core/events";
import { bootMachine, stepMachine } from "#core/machine";
import { SETTINGS } from "../../device/node/fixtures.ts";

function afterPowerUp(reading: Reading) {
  const at = { nowMs: 0, wallSeconds: null, random: 0 };
  const born = bootMachine(SETTINGS, null);
  return stepMachine(born, { type: "power-up", at, reading }).state;
}

const FIVE_WATTS = { raw: 1234, powerMilliwatts: 5000 };

describe("the machine", () => {
  it("meters a good reading, and one that has no quality", () => {
    for (const reading of [FIVE_WATTS, { ...FIVE_WATTS, quality: { kind: "good" } as const }]) {
      const { register, meterRefusal } = afterPowerUp(reading);
      expect({ raw: register.raw, meterRefusal }).toEqual({ raw: 1234, meterRefusal: null });
    }
  });

  it("never meters a suspect or a stale reading, and says which it was", () => {
    const doubt = (kind: "suspect" | "stale") => ({ ...FIVE_WATTS, quality: { kind, reason: "why" } });
    const suspect = afterPowerUp(doubt("suspect"));
    expect([suspect.register.raw, suspect.meterRefusal]).toEqual([-1, "meter-implausible"]);
    const stale = afterPowerUp(doubt("stale"));
    expect([stale.register.raw, stale.meterRefusal]).toEqual([-1, "meter-silent"]);
  });
});
