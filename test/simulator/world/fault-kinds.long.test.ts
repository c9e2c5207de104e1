/** Each kind of fault alone: it strikes where it is asked for, and breaks no invariant. */
import { expect, it } from "vitest";
import { FAULT_KINDS, type FaultKind } from "#simulator/world/engine/faults";
import { runFaults } from "#simulator/world/run/fault-run";

it("a world suffers every kind of fault it is asked for, and none besides", {
  timeout: 900_000,
}, async () => {
  const missing: FaultKind[] = [];
  for (const kind of FAULT_KINDS) {
    const faults = [kind, ...(NEEDS[kind] ?? [])];
    let fired = false;
    for (let seed = 1; seed <= 25 && !fired; seed++) {
      const outcome = await runFaults({ seed, nights: 1, signing: "stand-in", lights: 2, faults });
      expect(outcome.violation, `${kind}, seed ${seed}`).toBeNull();
      for (const struck of outcome.fired.keys()) expect(allowedBeside(kind)).toContain(struck);
      fired = outcome.fired.has(kind);
    }
    if (!fired) missing.push(kind);
  }
  expect(missing).toEqual([]);
});

it("ten nights of eight lights keep every promise with everything going wrong", {
  timeout: 900_000,
}, async () => {
  const kinds = new Set<FaultKind>();
  for (let seed = 1; seed <= 10; seed++) {
    const { violation, fired } = await runFaults({
      seed,
      nights: 1,
      signing: "stand-in",
      lights: 8,
      faults: "all",
    });
    expect(violation, `seed ${seed}`).toBeNull();
    for (const kind of fired.keys()) kinds.add(kind);
  }
  expect(kinds.size).toBeGreaterThanOrEqual(40);
});

/** Kinds that strike only where another does. */
const NEEDS: Partial<Record<FaultKind, readonly FaultKind[]>> = {
  "bit-flip": ["device-power-cut"],
  "old-image": ["device-power-cut"],
  "torn-tail": ["device-power-cut"],
  "write-lost": ["device-power-cut"],
  "killed-in-recovery": ["device-killed"],
  "clock-frozen": ["device-killed"],
  "hostile-charged": ["device-killed"],
  "old-ledger": ["gateway-killed"],
  "old-accounts": ["seller-killed"],
  "lying-402": ["answer-lost", "gateway-killed", "seller-killed", "old-accounts"],
};

/** A cut of power loses what was being written, whatever else was asked for. */
function allowedBeside(kind: FaultKind): FaultKind[] {
  const cuts: FaultKind[] = ["write-lost", "device-power-cut"];
  return [kind, ...(NEEDS[kind] ?? []), ...cuts];
}
