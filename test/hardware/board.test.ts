import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { WIRE_REFUSALS } from "#core/refusal";
import { checkClock } from "#hardware/pi/doctor/board";
import { safeLevelPercent } from "#hardware/pi/safe-level";
import { explain, explained } from "#hardware/pi/status/explain";
import { Troubles } from "#hardware/pi/status/troubles";
import { readConfig } from "#node/config/device-config";

const SAMPLE = readFileSync(new URL("../../hardware/pi/device.sample.toml", import.meta.url), "utf8");
const MIDNIGHT_SECONDS = Date.UTC(2026, 11, 21, 23) / 1000;
const NOON_SECONDS = Date.UTC(2026, 11, 21, 12) / 1000;

describe("a board's clock", () => {
  it("is not believed in 1970, nor before this runtime was built, and the remedy is named", () => {
    const check = checkClock(3000);
    expect(check.verdict).toBe("wrong");
    expect(check.text).toBe(
      "clock: expected a time after 2026-11-01, found 1970-01-01T00:00:03; connect the board to the network " +
        "(`timedatectl` shows whether it is synchronised), or add a real-time clock",
    );
    expect(checkClock(Date.UTC(2026, 9, 31)).verdict).toBe("wrong");
    expect(checkClock(Date.UTC(2026, 11, 1), true).verdict).toBe("well");
    expect(checkClock(Date.UTC(2026, 11, 1), false)).toMatchObject({ verdict: "doubtful" });
  });
});

describe("a lamp's safe level", () => {
  const levelAt = (unpaid: string, wallSeconds: number | null) =>
    safeLevelPercent(
      readConfig(SAMPLE.replace('unpaid = "off"', `unpaid = "${unpaid}"`), "c.toml"),
      wallSeconds,
    );

  it("is what the policy says of unpaid light at this hour of the plan", () => {
    expect([levelAt("off", MIDNIGHT_SECONDS), levelAt("off", null)]).toEqual([0, 0]);
    expect([levelAt("dim", MIDNIGHT_SECONDS), levelAt("dim", NOON_SECONDS)]).toEqual([20, 0]);
    expect([levelAt("on", MIDNIGHT_SECONDS), levelAt("on", NOON_SECONDS)]).toEqual([100, 0]);
    expect([levelAt("on", null), levelAt("dim", null)]).toEqual([100, 20]);
  });
});

describe("what an installer reads on site", () => {
  it("has words and a remedy for every refusal on the wire, and for the lamp's own", () => {
    for (const code of [...WIRE_REFUSALS, "lamp-failed" as const]) {
      const { meaning, remedy } = explain(code);
      expect(explained(code)).toBe(`${code}: ${meaning}; ${remedy}`);
      expect(remedy.length).toBeGreaterThan(10);
    }
  });

  it("is one trouble a part, the one to mend first before the others, each change printed once", () => {
    const changes: string[] = [];
    const troubles = new Troubles((part, text) => changes.push(`${part}: ${text}`));
    troubles.note("broker", "gone");
    troubles.note("meter", "silent");
    troubles.note("meter", "silent");
    troubles.note("lamp", null);
    expect(troubles.first()).toBe("silent");
    troubles.note("meter", null);
    expect(troubles.all()).toEqual([{ part: "broker", text: "gone" }]);
    expect(changes).toEqual(["broker: gone", "meter: silent", "meter: null"]);
  });
});
