/** Every guard is missed when it is gone: the table of guards, and the invariant each one keeps. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Mutation, openWorkshop, type Workshop } from "./mutants.ts";

const SEEDS_MAX = 200;

const MUTATIONS: readonly Mutation[] = [
  {
    name: "a lower counter of the meter is believed as it is",
    file: "device/core/register.ts",
    guard: "if (raw >= register.raw) {",
    instead: "if (raw >= 0) {",
    breaks: ["E1", "E2"],
    faults: ["meter-reset", "meter-roll-over"],
  },
  {
    name: "the lamp shines without credit",
    file: "device/core/lamp.ts",
    guard: 'if (hasCredit || unpaid.kind === "on") return wantedPercent;',
    instead: "if (hasCredit || wantedPercent > 0) return wantedPercent;",
    breaks: ["E2"],
  },
  {
    name: "a stuck meter is not reckoned around",
    file: "device/core/state.ts",
    guard: "return creditOf(state.account, state.register.total + Math.floor(state.estimatedUnits));",
    instead: "return creditOf(state.account, state.register.total);",
    breaks: ["E2"],
    faults: ["meter-stuck"],
  },
  {
    name: "a grant counts again when it is heard again",
    file: "device/core/credit.ts",
    guard: "if (channelTo <= channelFrom) return account;",
    instead: "if (channelTo <= channelFrom) return { ...account, granted: account.granted + 5000 };",
    breaks: ["E2", "T1"],
    faults: ["duplication", "answer-lost"],
  },
  {
    name: "a rung goes out above the deposit",
    file: "device/core/buying.ts",
    guard: 'if (rung > channel.balance) return "deposit-exhausted";',
    instead: "",
    breaks: ["M1"],
    faults: "none",
  },
  {
    name: "a rung goes out above the day's budget",
    file: "device/core/buying.ts",
    guard: 'if (spentToday(state.budget, rung) > policy.dailyBudgetAtomic) return "budget-exhausted";',
    instead: "",
    breaks: ["P1"],
    faults: "none",
  },
  {
    name: "an offer of a stranger's payee is taken",
    file: "device/core/policy.ts",
    guard:
      'if (policy.payees.length > 0 && policy.payees.indexOf(terms.payTo) < 0) return "payee-not-allowed";',
    instead: "",
    breaks: ["P1"],
    faults: ["hostile-payee"],
  },
  {
    name: "an offer of a stranger's token is taken",
    file: "device/core/policy.ts",
    guard: 'if (terms.asset !== policy.asset) return "token-not-allowed";',
    instead: "",
    breaks: ["P1"],
    faults: ["hostile-token"],
  },
  {
    name: "an offer on another chain is taken",
    file: "device/core/policy.ts",
    guard: 'if (terms.network !== policy.network) return "network-not-allowed";',
    instead: "",
    breaks: ["P1"],
    faults: ["hostile-network"],
  },
  {
    name: "any price is paid",
    file: "device/core/policy.ts",
    guard: 'return pricePerMillionUnits > policy.priceCeiling ? "price-above-ceiling" : null;',
    instead: "return null;",
    breaks: ["P1"],
    faults: ["price-spike"],
  },
  {
    name: "any quantum is signed",
    file: "device/core/policy.ts",
    guard: 'return quantumAtomic >= 1 && quantumAtomic <= max ? null : "quantum-above-limit";',
    instead: "return max > 0 ? null : null;",
    breaks: ["P1"],
    faults: ["hostile-quantum"],
  },
  {
    name: "a counter above all that was signed is believed",
    file: "device/core/purchase.ts",
    guard: 'if (charged > mark.reserved) return "charged-above-signed";',
    instead: "",
    breaks: ["M1", "M2", "L1", "P1"],
    faults: ["hostile-grant"],
  },
  {
    name: "a message is believed whatever its tag",
    file: "device/node/inbox.ts",
    guard: 'if (!isSealedFrame(tagger, "grant", payload)) return { kind: "foreign" };',
    instead: "",
    breaks: ["T1"],
    faults: ["forged-publish"],
  },
  {
    name: "a PAY is believed whatever its tag",
    file: "gateway/purchase/session.ts",
    guard:
      'const decoded = isSealedFrame(session.tagger, "pay", frame) ? decodePay(frame) : null;\n  if (decoded === null || decoded.frame === null) {',
    instead: "const decoded = decodePay(frame);\n  if (decoded.frame === null) {",
    breaks: ["T1"],
    faults: ["forged-publish"],
  },
  {
    name: "a payment leaves before its checkpoint is stored",
    file: "device/node/host.ts",
    guard: "this.waiting = true;\n    this.store(checkpoint, (error) => {",
    instead: "this.store(checkpoint, (error) => {",
    breaks: ["M1"],
    faults: "none",
  },
  {
    name: "a rewritten journal gets its name before its bytes are on the disk",
    file: "device/node/journal.ts",
    guard: "await draft.sync();",
    instead: "",
    breaks: ["S1"],
    faults: ["device-power-cut"],
  },
  {
    name: "an append is answered before it is on the disk",
    file: "device/node/journal.ts",
    guard: "await this.file.datasync();",
    instead: "",
    breaks: ["S1"],
    faults: ["device-power-cut"],
  },
  {
    name: "a grant leaves before the ledger has its payment",
    file: "gateway/purchase/purchase.ts",
    guard: "await parts.ledger.recordPayment(payment, paid);",
    instead: "void parts.ledger.recordPayment(payment, paid);",
    breaks: ["M4"],
    faults: "none",
  },
  {
    name: "an offer leaves before the ledger has its promise",
    file: "gateway/purchase/session.ts",
    guard: "await parts.ledger.saveChannel(channel);",
    instead: "void parts.ledger.saveChannel(channel);",
    breaks: ["M4"],
    faults: "none",
  },
  {
    name: "an answer of long ago is counted as a new sale",
    file: "gateway/purchase/purchase.ts",
    guard: "if (account.granted >= channel.granted) return channel.granted;",
    instead: "",
    breaks: ["E2"],
    faults: ["old-ledger", "gateway-killed", "device-killed", "device-power-cut"],
  },
  {
    name: "a payment is booked with all that was ever signed",
    file: "gateway/purchase/purchase.ts",
    guard: "amountAtomic: charged - channel.charged,",
    instead: "amountAtomic: charged,",
    breaks: ["M3"],
    faults: "none",
  },
  {
    name: "what is claimed is never settled",
    file: "simulator/utility/claims.ts",
    guard: "if ((await this.#chain.unsettledAtomic()) > 0n) {",
    instead: "if ((await this.#chain.unsettledAtomic()) < 0n) {",
    breaks: ["M2"],
    faults: "none",
  },
  {
    name: "a rung that was not answered is not sent again",
    file: "device/core/buying.ts",
    guard: "if (state.pending !== null && at.nowMs < state.pending.nextMs) return { state, pay: null };",
    instead: "if (state.pending !== null) return { state, pay: null };",
    breaks: ["L1"],
    faults: ["loss", "answer-lost"],
  },
  {
    name: "a device that stands still does not ask",
    file: "device/core/hearing.ts",
    guard: "return refused.halted ? askForBetterOffer(refused, at) : refused;",
    instead: "return refused;",
    breaks: ["L1"],
    faults: ["hostile-unit", "hostile-price"],
  },
];

describe("a guard that is taken out is missed", () => {
  let workshop: Workshop;
  beforeAll(async () => {
    workshop = await openWorkshop();
  });
  afterAll(() => workshop.close());

  for (const mutation of MUTATIONS) {
    it(`${mutation.name}: ${mutation.breaks.join(" or ")}`, { timeout: 240_000 }, async () => {
      const runNight = await workshop.night(mutation);
      const faults = mutation.faults ?? "all";
      for (let seed = 1; seed <= SEEDS_MAX; seed++) {
        const options = { seed, lights: 6, nights: 1, faults, signing: "stand-in" } as const;
        const { breach } = await runNight(options);
        if (breach === null) continue;
        expect(mutation.breaks, breach.told).toContain(breach.invariant);
        return;
      }
      expect.fail(`no world of ${SEEDS_MAX} missed it`);
    });
  }

  it("takes a guard from every invariant", () => {
    const broken = new Set(MUTATIONS.flatMap(({ breaks }) => breaks.slice(0, 1)));
    expect([...broken].sort()).toEqual(["E1", "E2", "L1", "M1", "M2", "M3", "M4", "P1", "S1", "T1"]);
  });
});
