// Orders over a bad link and money beside the channel: each order is paid by one payment, and no day's budget is passed.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Checkpoint, Event } from "#core/events";
import { bootMachine, type State } from "#core/machine";
import { stepTokens } from "#host/several-tokens";
import { OneOffBuyer, type OneOffResult } from "#node/general/one-off-buyer";
import type { OneOffOrder } from "#node/general/one-off-order";
import { RESERVATIONS_MAX, SideSpending } from "#node/general/side-spending";
import { openKey } from "#payment/key";
import { DAY_SECONDS } from "../core/fixtures.ts";
import { ON_DEMAND, Seller, TERMS } from "../core/seller.ts";

const key = openKey(new Uint8Array(32).fill(7));
const BUDGET = ON_DEMAND.policy.dailyBudgetAtomic;
const AMOUNT = 150;

function order(id: string): OneOffOrder {
  return { id, method: "POST", url: "https://road.example/v1/segments/1", amountMaxAtomic: AMOUNT };
}

const ACCEPTED = {
  scheme: "exact",
  network: TERMS.network,
  asset: TERMS.asset,
  payTo: TERMS.payTo,
  amount: String(AMOUNT),
  maxTimeoutSeconds: 300,
  extra: { name: "USD Coin", version: "2" },
};
const REQUIRED = { x402Version: 2, resource: { url: "https://road.example" }, accepts: [ACCEPTED] };

/** A buyer, and a gateway with its resource, which charges each nonce once. */
class Counter {
  readonly results: OneOffResult[] = [];
  readonly payments = new Map<string, Set<string>>();
  readonly charged = new Set<string>();
  reserved = 0;
  fates: ("lost" | "doubled" | number)[] = [];
  private nowMs = 0;
  private timers: { readonly atMs: number; readonly act: () => void }[] = [];
  /** Requests that the gateway remembers. */
  private requests = new Set<string>();
  readonly buyer = new OneOffBuyer({
    key,
    clock: { nowMs: () => this.nowMs, at: (atMs, act) => this.at(atMs, act) },
    chainSeconds: () => 1_700_000_000 + this.nowMs / 1_000,
    random: () => 0.5,
    policy: ON_DEMAND.policy,
    reserve: (amount) => {
      this.reserved += amount;
      return Promise.resolve(null);
    },
    send: (leaf, payload) => this.send(() => this.serve(leaf, new TextDecoder().decode(payload))),
  });

  restartGateway(): void {
    this.requests.clear();
  }

  async run(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      // What a promise brings is done before time passes.
      for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
      const next = this.timers.reduce((first, { atMs }) => Math.min(first, atMs), Number.POSITIVE_INFINITY);
      if (next > endMs) break;
      this.nowMs = next;
      const due = this.timers.findIndex(({ atMs }) => atMs === next);
      this.timers.splice(due, 1)[0]!.act();
    }
    this.nowMs = endMs;
  }

  private at(atMs: number, act: () => void): () => void {
    const timer = { atMs: Math.max(atMs, this.nowMs), act };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  }

  private send(arrive: () => void): void {
    const fate = this.fates.shift() ?? 20;
    if (fate === "lost") return;
    for (const ms of typeof fate === "number" ? [fate] : [20, 4_000]) this.at(this.nowMs + ms, arrive);
  }

  private answer(leaf: "payment-required" | "response", message: object): void {
    const payload = new TextEncoder().encode(JSON.stringify({ v: 1, ...message }));
    this.send(() => this.buyer.take(leaf, payload));
  }

  private serve(leaf: "request" | "payment", text: string): void {
    const { id, payment } = JSON.parse(text);
    if (leaf === "request") {
      this.requests.add(id);
      this.answer("payment-required", { id, paymentRequired: REQUIRED });
      return;
    }
    this.payments.set(id, (this.payments.get(id) ?? new Set()).add(JSON.stringify(payment)));
    if (!this.requests.has(id)) {
      this.answer("response", { id, status: 400, body: "", error: "send the request first" });
      return;
    }
    this.charged.add(payment.payload.authorization.nonce);
    this.answer("response", { id, status: 200, body: `data of ${id}` });
  }
}

const FATE = fc.oneof(
  fc.constant("lost" as const),
  fc.constant("doubled" as const),
  fc.integer({ min: 1, max: 9_000 }),
);
const HAPPENING = fc.oneof(
  fc.record({ fates: fc.array(FATE, { maxLength: 5 }) }),
  fc.record({ up: fc.boolean() }),
  fc.record({ restart: fc.constant(true) }),
  fc.record({ ms: fc.integer({ min: 1, max: 20_000 }) }),
);

describe("an order over the general transport", () => {
  it("is bought by one payment that never changes, over lost links, lost messages and restarted gateways", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(HAPPENING, { maxLength: 20 }), async (happenings) => {
        const counter = new Counter();
        const { buyer } = counter;
        buyer.linkChanged(true);
        const ids = ["a", "b", "c"];
        const bought = Promise.all(ids.map((id) => buyer.buy(order(id))));
        for (const one of happenings) {
          if ("fates" in one) counter.fates = [...one.fates];
          else if ("up" in one) buyer.linkChanged(one.up);
          else if ("restart" in one) counter.restartGateway();
          else await counter.run(one.ms);
        }
        counter.fates = [];
        buyer.linkChanged(true);
        await counter.run(600_000);
        const results = await bought;
        for (const [index, id] of ids.entries()) {
          expect(results[index]).toEqual({ kind: "bought", body: `data of ${id}`, amountAtomic: AMOUNT });
          expect(counter.payments.get(id)!.size).toBe(1);
        }
        expect(counter.charged.size).toBe(ids.length);
        expect(counter.reserved).toBe(ids.length * AMOUNT);
      }),
      { numRuns: 60 },
    );
  });

  it("ends by name: unasked-for terms, too many orders, no answer, an unknown outcome", async () => {
    const counter = new Counter();
    const { buyer } = counter;
    buyer.linkChanged(true);
    counter.fates = Array.from({ length: 100 }, () => "lost" as const);
    const silent = buyer.buy(order("silent"));
    expect(await buyer.buy(order("silent"))).toMatchObject({ kind: "refused", reason: "too-many-orders" });
    await counter.run(1_000_000);
    expect(await silent).toMatchObject({ kind: "refused", reason: "no-answer" });

    counter.fates = [];
    const dear = buyer.buy({ ...order("dear"), amountMaxAtomic: AMOUNT - 1 });
    await counter.run(1_000);
    expect(await dear).toMatchObject({ kind: "refused", reason: "quantum-above-limit" });
    expect(counter.reserved).toBe(0);

    const signed = buyer.buy(order("signed"));
    await counter.run(50);
    counter.fates = Array.from({ length: 100 }, () => "lost" as const);
    await counter.run(10);
    buyer.stop();
    expect(await signed).toEqual({ kind: "unknown", amountAtomic: AMOUNT });
  });
});

describe("money beside the channel", () => {
  it("passes no day's budget together with the channel, and is stored before it is answered, over power cuts", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(fc.constant("side"), fc.constant("tick"), fc.constant("cut"), fc.constant("fail")),
          {
            maxLength: 60,
          },
        ),
        async (acts) => {
          const seller = new Seller();
          let stored: string | null = null;
          let fails = false;
          const openSide = () => {
            const side = new SideSpending();
            const journal = side.journal({
              load: () => null,
              store: (checkpoint, done) => {
                if (!fails) stored = JSON.stringify(checkpoint);
                done(fails ? "disk full" : null);
              },
            });
            return { side, journal, step: side.step(stepTokens) };
          };
          let { side, journal, step } = openSide();
          let nowMs = 0;
          let signed = 0;
          let state: State = bootMachine(ON_DEMAND, null);
          const at = () => ({ nowMs, wallSeconds: 20_000 * DAY_SECONDS + nowMs / 1_000, random: 0.5 });
          const hear = (event: Event) => {
            const taken = step(state, event);
            state = taken.state;
            let failed = false;
            for (const effect of taken.effects) {
              if (failed) break;
              if (effect.type === "persist")
                journal.store(effect.checkpoint, (error) => (failed = error !== null));
              if (effect.type === "pay") {
                signed = Math.max(signed, effect.payment.maxClaimable);
                const grant = seller.answer(effect.payment);
                state = step(state, { type: "grant", at: at(), grant }).state;
              }
            }
            if (failed)
              state = step(state, { type: "host-failed", at: at(), refusal: "journal-failed" }).state;
          };
          const begin = () => {
            hear({ type: "power-up", at: at(), reading: { raw: 0, powerMilliwatts: 0 } });
            hear({ type: "link", at: at(), up: true });
            hear({ type: "offer", at: at(), offer: seller.offer() });
          };
          begin();
          let beside = 0;
          let isKept = true;
          for (const act of acts) {
            nowMs += 1_000;
            if (act === "side") {
              void side.reserve(AMOUNT, TERMS).then((refusal) => {
                if (refusal !== null) return;
                beside += AMOUNT;
                // It is in what a power cut now would leave.
                isKept &&= (JSON.parse(stored!) as Checkpoint).budget.spentBefore >= beside;
              });
            }
            if (act === "fail") fails = !fails;
            if (act === "fail" && !fails) {
              hear({ type: "host-recovered", at: at(), refusal: "journal-failed" });
            }
            if (act === "cut") {
              ({ side, journal, step } = openSide());
              state = bootMachine(ON_DEMAND, stored === null ? null : (JSON.parse(stored) as Checkpoint));
              begin();
            } else hear({ type: "tick", at: at(), reading: { raw: 0, powerMilliwatts: 0 } });
            for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
            expect(signed + beside).toBeLessThanOrEqual(BUDGET);
            expect(isKept).toBe(true);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it("refuses by name what the policy does not allow, and more than it can hold at once", async () => {
    const side = new SideSpending();
    const step = side.step(stepTokens);
    const state = bootMachine(ON_DEMAND, null);
    const other = side.reserve(1, { ...TERMS, asset: `0x${"dd".repeat(20)}` });
    const large = side.reserve(ON_DEMAND.policy.quantumMaxAtomic + 1, TERMS);
    const at = { nowMs: 0, wallSeconds: 0, random: 0 };
    step(state, { type: "tick", at, reading: null });
    expect([await other, await large]).toEqual(["token-not-allowed", "quantum-above-limit"]);
    for (let one = 0; one < RESERVATIONS_MAX; one += 1) void side.reserve(1, TERMS);
    expect(await side.reserve(1, TERMS)).toBe("quantum-above-limit");
  });
});
