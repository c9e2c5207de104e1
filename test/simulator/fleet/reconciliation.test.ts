/** An honest run, then one counter of it falsified by one: exactly the violation that names it. */
import { describe, expect, test } from "vitest";
import type { ChainTruth } from "#simulator/fleet/reconciliation/chain-truth";
import { type LightCounters, reconcile } from "#simulator/fleet/reconciliation/reconciliation";
import type { SellerAccount } from "#simulator/fleet/reconciliation/seller-accounts";
import type { Violation } from "#simulator/fleet/reconciliation/violation";

interface Run {
  lights: LightCounters[];
  accounts: Map<string, SellerAccount>;
  chain: ChainTruth;
}

/** Three lights: 300, 500 and 0 atomic units bought; the second has signed one rung that was never charged. */
function honestRun(): Run {
  const lights = [
    light("light-1", { signed: 300, made: 300, granted: 1_500 }),
    light("light-2", { signed: 600, made: 500, granted: 2_500 }),
    light("light-3", { signed: 0, made: 0, granted: 0 }),
  ];
  const accounts = new Map([
    ["light-1", { charged: 300, granted: 1_500 }],
    ["light-2", { charged: 500, granted: 2_500 }],
  ]);
  const chain: ChainTruth = {
    deposited: 2_000n,
    claimed: 800n,
    settled: 800n,
    refunded: 0n,
    sellerBalance: 800n,
    paidBy: new Map([
      ["light-1", 300n],
      ["light-2", 500n],
    ]),
    depositedBy: new Map([
      ["light-1", 1_000n],
      ["light-2", 1_000n],
    ]),
  };
  return { lights, accounts, chain };
}

interface Counters {
  readonly signed: number;
  readonly made: number;
  readonly granted: number;
  readonly unanswered?: number;
  readonly openRungs?: number;
  readonly refusal?: string;
  readonly violations?: readonly Violation[];
}

function light(
  name: string,
  { signed, made, granted, unanswered = 0, openRungs = 0, refusal, violations = [] }: Counters,
): LightCounters {
  return {
    name,
    accountId: () => name,
    consumedUnits: () => granted,
    grantedUnits: () => granted,
    refusal: () => refusal ?? null,
    monitor: { violations, madeAtomic: made, openRungs, signed: () => signed, unanswered: () => unanswered },
  };
}

function found(run: Run, shared = false): string[] {
  return reconcile(run.lights, run.accounts, run.chain, shared).violations.map(
    ({ invariant, light: name, expected, actual }) => `${invariant} ${name}: ${expected}; ${actual}`,
  );
}

test("an honest run has no violation, and its sums are its lights'", () => {
  const { lights, accounts, chain } = honestRun();
  expect(reconcile(lights, accounts, chain, false)).toEqual({
    amounts: {
      deposited: 2_000n,
      signed: 900n,
      charged: 800n,
      claimed: 800n,
      settled: 800n,
      refunded: 0n,
      sellerBalance: 800n,
    },
    used: new Map(
      lights.map((one) => [one.name, { consumed: one.consumedUnits(), granted: one.grantedUnits() }]),
    ),
    violations: [],
    notBought: [],
  });
});

/** The third light signed one rung, and nothing came of it. */
function runWithoutDeposit(counters: Partial<Counters> = {}): Run {
  const run = honestRun();
  run.lights[2] = light("light-3", {
    signed: 100,
    made: 0,
    granted: 0,
    openRungs: 1,
    refusal: "unfunded",
    ...counters,
  });
  return run;
}

test("a light whose deposit never came has bought nothing, with the cause, and breaks no promise", () => {
  const { lights, accounts, chain } = runWithoutDeposit();
  const { violations, notBought } = reconcile(lights, accounts, chain, false);
  expect(violations).toEqual([]);
  expect(notBought).toEqual([{ light: "light-3", signed: 100, cause: "unfunded" }]);
});

test("a light that signed on without a deposit, or was charged or granted anything, breaks M1 as ever", () => {
  const M1 = "M1 light-3: signed <= deposited 0; signed 100";
  expect(found(runWithoutDeposit({ openRungs: 2 }))).toEqual([M1]);
  expect(found(runWithoutDeposit({ granted: 1 }))).toContain(M1);
  const charged = runWithoutDeposit();
  charged.accounts.set("light-3", { charged: 100, granted: 500 });
  expect(found(charged)).toContain(M1);
  const claimed = runWithoutDeposit();
  (claimed.chain.paidBy as Map<string, bigint>).set("light-3", 100n);
  expect(found(claimed)).toContain(M1);
});

test("a rung whose answer never came is no double charge, when the seller charged it", () => {
  const run = honestRun();
  run.lights[0] = light("light-1", { signed: 300, made: 200, granted: 1_000, unanswered: 100 });
  expect(found(run)).toEqual([]);
});

describe("one atomic unit off", () => {
  const falsified: Record<string, [(run: Run) => void, string[]]> = {
    "in the seller's account": [
      ({ accounts }) => accounts.set("light-2", { charged: 501, granted: 2_500 }),
      [
        "M3 light-2: charged = rungs bought 500; charged 501",
        "M2 light-2: claimed = charged 501; claimed 500",
        "M2 fleet: claimed = charged 801; claimed 800",
      ],
    ],
    "above what a light signed": [
      (run) => {
        run.lights[0] = light("light-1", { signed: 299, made: 300, granted: 1_500 });
      },
      ["M2 light-1: signed >= charged 300; signed 299"],
    ],
    "above the deposit": [
      ({ chain }) => (chain.depositedBy as Map<string, bigint>).set("light-2", 599n),
      ["M1 light-2: signed <= deposited 599; signed 600"],
    ],
    "in a claim on the chain": [
      (run) => {
        (run.chain.paidBy as Map<string, bigint>).set("light-1", 301n);
        run.chain = { ...run.chain, claimed: 801n, settled: 801n, sellerBalance: 801n };
      },
      ["M2 light-1: claimed = charged 300; claimed 301", "M2 fleet: claimed = charged 800; claimed 801"],
    ],
    "in one claim, made good in another": [
      ({ chain }) => {
        (chain.paidBy as Map<string, bigint>).set("light-1", 301n).set("light-2", 499n);
      },
      ["M2 light-1: claimed = charged 300; claimed 301", "M2 light-2: claimed = charged 500; claimed 499"],
    ],
    "in the settlement": [
      (run) => {
        run.chain = { ...run.chain, settled: 799n, sellerBalance: 799n };
      },
      ["M2 fleet: settled = claimed 800; settled 799"],
    ],
    "in the seller's balance": [
      (run) => {
        run.chain = { ...run.chain, sellerBalance: 799n };
      },
      ["M2 fleet: seller's balance = settled 800; balance 799"],
    ],
  };
  test.each(Object.entries(falsified))(
    "%s is reported, and nothing else",
    (_where, [falsify, violations]) => {
      const run = honestRun();
      falsify(run);
      expect(found(run)).toEqual(violations);
    },
  );
});

test("a rung charged twice is reported with what was bought and what was charged", () => {
  const run = honestRun();
  run.accounts.set("light-1", { charged: 400, granted: 1_500 });
  (run.chain.paidBy as Map<string, bigint>).set("light-1", 400n);
  run.chain = { ...run.chain, claimed: 900n, settled: 900n, sellerBalance: 900n };
  expect(found(run)).toEqual([
    "M2 light-1: signed >= charged 400; signed 300",
    "M3 light-1: charged = rungs bought 300; charged 400",
  ]);
});

test("a light that credits one milliwatt-hour more than the seller granted is reported", () => {
  const run = honestRun();
  run.lights[0] = light("light-1", { signed: 300, made: 300, granted: 1_501 });
  expect(found(run)).toEqual(["E2 light-1: granted by the seller 1500 units; credited 1501 units"]);
});

test("money charged to a light that the seller's accounts do not know is reported", () => {
  const run = honestRun();
  run.accounts.delete("light-1");
  expect(found(run)).toContain("M3 light-1: charged = rungs bought 300; charged 0");
});

test("what the monitor saw on the way is among the violations", () => {
  const run = honestRun();
  const violation: Violation = { invariant: "E1", light: "light-3", expected: "a", actual: "b" };
  run.lights[2] = light("light-3", { signed: 0, made: 0, granted: 0, violations: [violation] });
  expect(reconcile(run.lights, run.accounts, run.chain, false).violations).toEqual([violation]);
});

test("a seller that serves others too may have settled more, never less", () => {
  const run = honestRun();
  run.chain = { ...run.chain, settled: 5_000n, sellerBalance: 70n };
  expect(found(run, true)).toEqual([]);
  run.chain = { ...run.chain, settled: 799n };
  expect(found(run, true)).toEqual(["M2 fleet: settled >= claimed 800; settled 799"]);
});
