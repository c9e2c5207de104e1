// By upto each purchase is a signature of its own: a seller that charges little of each cannot make a device sign more
// than its day allows, whatever is lost and however often the power goes.
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Checkpoint, Effect, Event, Offer, Payment } from "#core/events";
import { bootMachine, type Settings, type State, stepMachine } from "#core/machine";
import { channelTagOf } from "#core/rungs";
import { ON_DEMAND, TERMS } from "./seller.ts";

const UPTO = { ...TERMS, scheme: "upto" } as const;
const BUDGET = 1_000;
const QUANTUM = 100;
const settings: Settings = {
  ...ON_DEMAND,
  policy: { ...ON_DEMAND.policy, schemes: ["upto"], dailyBudgetAtomic: BUDGET },
};

/** A device that is always starved, on a disk that keeps what it stored. */
class Device {
  state: State = bootMachine(settings, null);
  stored: Checkpoint | null = null;
  /** By the counter that each was signed on, so by nonce: the most that was signed. */
  readonly signed = new Map<number, number>();
  payments: Payment[] = [];
  nowMs = 0;
  revision = 0;

  hear(event: (at: Event["at"]) => Event): void {
    const at = { nowMs: this.nowMs, wallSeconds: 1_800_000_000, random: 0.5 };
    const { state, effects } = stepMachine(this.state, event(at));
    this.state = state;
    for (const effect of effects) this.#carryOut(effect);
  }

  start(): void {
    this.state = bootMachine(settings, this.stored);
    this.revision += 1;
    const reading = { raw: 1_000_000_000, powerMilliwatts: 60_000 };
    this.hear((at) => ({ type: "power-up", at, reading }));
    this.hear((at) => ({ type: "link", at, up: true }));
  }

  /** Time for a retry. */
  wait(): void {
    this.nowMs += 30_000;
    this.hear((at) => ({ type: "tick", at, reading: null }));
  }

  #carryOut(effect: Effect): void {
    if (effect.type === "persist") this.stored = effect.checkpoint;
    if (effect.type !== "pay") return;
    const { maxClaimable, amountAtomic } = effect.payment;
    const base = maxClaimable - amountAtomic;
    this.signed.set(base, Math.max(this.signed.get(base) ?? 0, amountAtomic));
    this.payments.push(effect.payment);
  }
}

it("counts every signature whole, whatever is charged of it, over any number of power cuts", () => {
  const step = fc.record({
    charged: fc.integer({ min: 1, max: QUANTUM }),
    next: fc.constantFrom("grant", "grant", "offer", "cut before", "cut after"),
  });
  let most = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 40 }), (steps) => {
      const device = new Device();
      const channelId = `0x${"01".repeat(32)}`;
      let charged = 0;
      const offer = (): Offer => ({
        revision: ++device.revision,
        channelId,
        terms: UPTO,
        unit: "mWh",
        quantumAtomic: QUANTUM,
        pricePerMillionUnits: 200_000,
        balance: 1_000_000,
        charged,
        // It is told of no energy, so it goes on buying.
        granted: 0,
        metered: true,
      });
      const offered = () => device.hear((at) => ({ type: "offer", at, offer: offer() }));
      device.start();
      offered();
      for (const { charged: part, next } of steps) {
        device.wait();
        const [payment] = device.payments.splice(0).slice(-1);
        if (payment === undefined) continue;
        const base = payment.maxClaimable - payment.amountAtomic;
        if (next !== "cut before") charged = Math.max(charged, base + part);
        if (next === "offer") offered();
        else if (next === "grant") {
          const grant = {
            refusal: null,
            channelTag: channelTagOf(channelId),
            charged,
            granted: 0,
            pricePerMillionUnits: 200_000,
            validUntilSeconds: 0,
          };
          device.hear((at) => ({ type: "grant", at, grant }));
        } else {
          device.start();
          offered();
        }
      }
      const total = [...device.signed.values()].reduce((sum, amount) => sum + amount, 0);
      expect(total).toBeLessThanOrEqual(BUDGET);
      most = Math.max(most, total);
    }),
    { numRuns: 300 },
  );
  expect(most).toBe(BUDGET);
});
