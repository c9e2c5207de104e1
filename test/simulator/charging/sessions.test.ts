import { describe, expect, it } from "vitest";
import { VERSIONS } from "#hardware/charger/ocpp/ports";
import { CHARGING_FAULTS, type ChargingFault, obeys } from "#simulator/charging/charging-faults";
import { runSession, type SessionOutcome } from "./paid-session.ts";

const SHORT = { minutes: 12, strikeMinute: 4 };

/** Energy paid is energy delivered within one purchase, to either side. */
function expectPaid(outcome: SessionOutcome): void {
  const { deliveredMilliwattHours, grantedMilliwattHours, quantumMilliwattHours } = outcome;
  expect(outcome.overshootMilliwattHours).toBeLessThanOrEqual(quantumMilliwattHours);
  // What was bought ahead, at most: the low mark and one purchase above it.
  expect(grantedMilliwattHours - deliveredMilliwattHours).toBeLessThan(3.5 * quantumMilliwattHours);
}

describe("a charge point that is paid as it goes", () => {
  for (const version of VERSIONS) {
    it(`delivers what is paid and no more, by OCPP ${version}`, async () => {
      const outcome = await runSession({ seed: 7, version, ...SHORT });
      expectPaid(outcome);
      expect(outcome.payments).toBeGreaterThan(20);
      expect(outcome.deliveredMilliwattHours).toBeGreaterThan(1e6);
      // The meter's register is behind by what flowed since its latest report.
      const behind = outcome.deliveredMilliwattHours - outcome.registerMilliwattHours;
      expect(Math.abs(behind)).toBeLessThan(outcome.quantumMilliwattHours);
      const shownMilliwattHours = ((outcome.shownCost ?? 0) / 0.2) * 1e6;
      const notShown = outcome.deliveredMilliwattHours - shownMilliwattHours;
      expect(Math.abs(notShown)).toBeLessThan(outcome.quantumMilliwattHours);
      expect(outcome.trouble).toBeNull();
    });

    it(`stops within one purchase when nothing is paid any more, by OCPP ${version}`, async () => {
      const outcome = await runSession({ seed: 8, version, ...SHORT, unpaidFromMinute: 5 });
      expect(outcome.overshootMilliwattHours).toBeLessThanOrEqual(outcome.quantumMilliwattHours);
      expect(outcome.deliveredMilliwattHours).toBeGreaterThan(
        outcome.grantedMilliwattHours - outcome.quantumMilliwattHours,
      );
      expect(outcome.inTransaction).toBe(false);
    });
  }

  it("ends at the energy that was wished, and says at once what cannot be there in time", async () => {
    const met = await runSession({
      seed: 11,
      version: "2.0.1",
      ...SHORT,
      charger: { wish: { energy_kwh: 0.5 } },
    });
    expect(Math.abs(met.deliveredMilliwattHours - 500_000)).toBeLessThan(met.quantumMilliwattHours);
    const late = { wish: { energy_kwh: 20, ready_by: "20:30" } };
    const unmet = await runSession({ seed: 12, version: "1.6", ...SHORT, minutes: 4, charger: late });
    expect(unmet.remarks[0]).toMatch(/^wish: expected 20 kWh by 20:30 UTC, found at most \d\.\d+ kWh at /);
    expect(unmet.deliveredMilliwattHours).toBeGreaterThan(200_000);
  });

  /** What is said of each fault; null where it is survived without a word. */
  const said: Readonly<Record<ChargingFault, RegExp | null>> = {
    "refuses-profiles": /TxDefaultProfile/,
    "refuses-zero": /default limit of 0, found it refused/,
    "ignores-limits": /^load-disobeys: /,
    "breaks-limits": /^load-disobeys: /,
    "reports-late": null,
    "queues-offline": /found nobody/,
    reboots: /found nobody/,
    dies: /found nobody/,
    "clock-off-by-a-day": /found it off by -86400 s/,
    "meter-backwards": /register is backwards/,
    "meter-per-transaction": null,
    "meter-by-phases": null,
    "starts-by-itself": /by itself/,
    "two-connectors": /found one on 2/,
    "status-storm": /storm/,
    "leaves-without-stopping": /found the car gone/,
  };

  for (const [at, fault] of CHARGING_FAULTS.entries()) {
    const version = VERSIONS[at % VERSIONS.length]!;
    it(`${fault}: named, and within one purchase of what is paid (OCPP ${version})`, async () => {
      const stays = [{ plugSeconds: 20, leaveSeconds: 600, charged: 0.3 }];
      const outcome = await runSession({ seed: 9, version, faults: [fault], ...SHORT, stays });
      if (obeys([fault])) {
        expectPaid(outcome);
        expect(outcome.refusal).not.toBe("load-disobeys");
      } else {
        expect(outcome.trouble).toMatch(/^load-disobeys: /);
        expect(outcome.refusal).toBe("load-disobeys");
        expect(outcome.excessMilliwattHours).toBeGreaterThan(0);
        expect(outcome.inTransaction).toBe(false);
      }
      const texts = [...outcome.troubles, ...outcome.remarks];
      const word = said[fault];
      if (word === null) expect(outcome.troubles).toEqual([]);
      else expect(texts.filter((text) => word.test(text))).not.toEqual([]);
    });
  }
});
