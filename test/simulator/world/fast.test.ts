/** The fast path is the machine, event by event, when nothing goes wrong. */
import { describe, expect, it } from "vitest";
import type { Effect, Event, Moment, Offer, Reading } from "#core/events";
import { bootMachine, stepMachine } from "#core/machine";
import { channelTagOf } from "#core/purchase";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { LampModel } from "#simulator/fleet/lamp-model";
import { newAccount, purchase } from "#simulator/utility/accounts";
import { poleAt, runFastCity, termsOf } from "#simulator/world/fast/fast-city";
import { JITTER, ROUND_TRIP_MS, runFastLight } from "#simulator/world/fast/fast-light";
import type { Pole } from "#simulator/world/pole";
import { NETWORK, RECEIVER, TOKEN } from "#simulator/world/terms";

type Line = readonly [atMs: number, what: string, value: number];
const CHANNEL = `0x${"12".repeat(32)}`;

/** The same night by the machine itself, with the seller's own arithmetic. */
function byMachine(pole: Pole, nights: number): Line[] {
  const terms = termsOf(pole.wantedUnits, nights);
  const lines: Line[] = [];
  let nowMs = 0;
  const model = new LampModel(pole.lamp, pole.meter, pole.meterInitial, () => nowMs);
  let state = bootMachine(pole.settings, null);
  let account = newAccount(CHANNEL, "batch-settlement");
  let wakeAtMs = Number.POSITIVE_INFINITY;
  let arriving: { atMs: number; rung: number } | null = null;
  const at = (): Moment => ({ nowMs, wallSeconds: terms.epochSeconds + nowMs / 1000, random: JITTER });
  const reading = (): Reading | null => {
    let seen: Reading | null = null;
    model.read((found) => {
      seen = found;
    });
    return seen;
  };
  const carryOut = (effect: Effect) => {
    if (effect.type === "wake") wakeAtMs = effect.atMs;
    if (effect.type === "lamp") {
      model.set(effect.levelPercent);
      lines.push([nowMs, "lamp", effect.levelPercent]);
    }
    if (effect.type === "pay") {
      arriving = { atMs: nowMs + ROUND_TRIP_MS, rung: effect.payment.maxClaimable };
      lines.push([nowMs, "pay", effect.payment.maxClaimable]);
    }
  };
  const hear = (event: Event) => {
    const step = stepMachine(state, event);
    state = step.state;
    for (const effect of step.effects) carryOut(effect);
  };
  const offer: Offer = {
    revision: 1,
    channelId: CHANNEL,
    terms: {
      scheme: "batch-settlement",
      network: NETWORK,
      asset: TOKEN,
      payTo: RECEIVER,
      contract: BATCH_SETTLEMENT_ADDRESS,
      tokenName: "World Dollar",
      tokenVersion: "1",
    },
    unit: "mWh",
    quantumAtomic: terms.quantumAtomic,
    pricePerMillionUnits: terms.pricePerMillionUnits,
    balance: terms.balanceAtomic,
    charged: 0,
    granted: 0,
  };
  hear({ type: "power-up", at: at(), reading: reading() });
  hear({ type: "plan", at: at(), plan: pole.plan });
  hear({ type: "link", at: at(), up: true });
  hear({ type: "offer", at: at(), offer });
  for (;;) {
    const due = arriving as { atMs: number; rung: number } | null;
    const isGrant = due !== null && due.atMs <= wakeAtMs;
    const nextMs = isGrant ? due.atMs : wakeAtMs;
    if (nextMs > terms.endMs) return lines;
    nowMs = nextMs;
    if (!isGrant) {
      hear({ type: "tick", at: at(), reading: reading() });
      continue;
    }
    arriving = null;
    const quote = { pricePerMillionUnits: terms.pricePerMillionUnits, validUntilSeconds: 0 };
    account = purchase(account, due.rung - account.charged, quote).account;
    lines.push([nowMs, "grant", account.granted]);
    const { charged, granted } = account;
    hear({
      type: "grant",
      at: at(),
      grant: {
        refusal: null,
        channelTag: channelTagOf(CHANNEL),
        charged,
        granted,
        pricePerMillionUnits: terms.pricePerMillionUnits,
        validUntilSeconds: 0,
      },
    });
  }
}

describe("the fast path", () => {
  it("does what the machine does, event by event, in sixty random nights", () => {
    let events = 0;
    for (let index = 0; index < 60; index++) {
      const pole = poleAt(7, index);
      const nights = index % 10 === 0 ? 3 : 1;
      const fast: Line[] = [];
      runFastLight(pole, termsOf(pole.wantedUnits, nights), (...line) => fast.push(line));
      const slow = byMachine(pole, nights);
      expect(fast, `light ${index}`).toEqual(slow);
      events += slow.length;
    }
    expect(events).toBeGreaterThan(5000);
  });

  it("gives the same city however it is split, and reconciles to the last atomic unit", () => {
    const whole = runFastCity({ seed: 3, nights: 1, from: 0, to: 300 }, () => {});
    const parts = [0, 70, 199].map((from, index, all) =>
      runFastCity({ seed: 3, nights: 1, from, to: all[index + 1] ?? 300 }, () => {}),
    );
    const total = (of: (sums: typeof whole) => number) => parts.reduce((sum, part) => sum + of(part), 0);
    expect(whole.breaches).toEqual([]);
    expect(total((sums) => sums.charged)).toBe(whole.charged);
    expect(total((sums) => sums.events)).toBe(whole.events);
    expect(total((sums) => sums.digest) >>> 0).toBe(whole.digest);
    expect(whole.purchases).toBeGreaterThan(300);
  });
});
