/** A made-up evening with something of everything, for tests of the report. */
import type { ReportModel, Sample } from "#simulator/report/report-model";

export function evening(change: Partial<ReportModel> = {}): ReportModel {
  const samples = Array.from({ length: 61 }, (_, minute): Sample => {
    const out = minute >= 20 && minute < 30;
    return {
      minute,
      powerMilliwatts: out ? 0 : 400_000,
      pricePerMillionUnits: minute < 40 ? 200_000 : 1_000_000,
      made: 10 * minute,
      spentAtomic: 1_000 * minute,
      lit: out ? 0 : 10,
      dark: 0,
      starved: out ? 10 : 0,
      offline: out ? 3 : 0,
      creditMinutes: out ? [0, 0, 0] : [0.4, 0.8, 1.2],
    };
  });
  const lights = Array.from({ length: 10 }, (_, index) => ({
    name: `light-${index + 1}`,
    street: index < 5 ? "Ash Lane" : "Ohm Road",
    feeder: index < 5 ? "Ash Lane" : "Ohm Road",
    latitude: 52.52 + 0.0003 * (index % 5),
    longitude: 13.4 + (index < 5 ? 0 : 0.001),
    ratedMilliwatts: 40_000,
    group: index === 0 ? "cheats" : null,
    purchases: 60,
    spentAtomic: 6_000,
    drawnMilliwattHours: 40_000,
    starvedSeconds: index === 1 ? 600 : 0,
    cheats: index === 0 ? ["bypass-meter"] : [],
  }));
  const counter = (name: string, amount: number, relation: "=" | "≤" | null) => ({
    ...{ name, from: "somebody", amount, relation },
  });
  return {
    title: "A test evening",
    story: "Something of everything.",
    city: "city 1",
    timeZone: "Europe/Berlin",
    startSeconds: Date.UTC(2026, 0, 15, 20) / 1000,
    minutes: 60,
    samples,
    lights,
    stages: [
      { name: "no seller", startMs: 1_200_000, durationMs: 600_000, action: { kind: "stop-seller" } },
      {
        name: "all connections break",
        startMs: 2_700_000,
        durationMs: 0,
        action: { kind: "drop-connections", group: "everyone" },
      },
    ],
    feeders: [
      {
        name: "Ash Lane",
        lights: 5,
        suppliedMilliwattHours: 200_000,
        registeredMilliwattHours: 172_000,
        missingMilliwattHours: 28_000,
        toleranceMilliwattHours: 1_000,
        suspected: true,
      },
      {
        name: "Ohm Road",
        lights: 5,
        suppliedMilliwattHours: 200_000,
        registeredMilliwattHours: 199_900,
        missingMilliwattHours: 100,
        toleranceMilliwattHours: 1_000,
        suspected: false,
      },
    ],
    cheats: [{ cheat: "bypass-meter", lights: 1, frames: 0, gainedMilliwattHours: 28_000 }],
    money: [
      counter("deposited", 2_000_000, null),
      counter("charged", 60_000, "≤"),
      counter("claimed", 60_000, "="),
    ],
    energy: [counter("granted", 300_000, null), counter("consumed", 290_000, "≤")],
    figures: {
      payments: 600,
      repeated: 3,
      refused: 1,
      longestStarvedSeconds: 600,
      starvedLightSeconds: 600,
      answersIn: "real",
      latencyP50Ms: 12.3,
      latencyP99Ms: 80,
      bytesPerPayment: 141,
      gasPerPayment: 9.5,
      wallSeconds: 61,
    },
    violations: [],
    faults: null,
    command: "watt402-simulate --lights 10",
    ...change,
  };
}
