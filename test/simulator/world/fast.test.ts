/** The fast path is the machine, event by event, when nothing goes wrong. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Effect, Event, Moment, Offer, Reading } from "#core/events";
import { bootMachine, stepMachine } from "#core/machine";
import { channelTagOf } from "#core/rungs";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { LampModel } from "#simulator/city/lamp-model";
import { seededRandom } from "#simulator/city/random";
import { type Account, newAccount, purchase } from "#simulator/seller/accounts/accounts";
import { NETWORK, RECEIVER, TOKEN } from "#simulator/world/engine/world-terms";
import { drawnTown } from "#simulator/world/fast/drawn-town";
import { reconcile, runFastCity, type Town, termsOf } from "#simulator/world/fast/fast-city";
import { JITTER, OFFER_MS, ROUND_TRIP_MS, runFastLight } from "#simulator/world/fast/fast-light";
import { addSampleSums, CitySampler, samplesOf } from "#simulator/world/fast/fast-samples";
import { planWorldEvening, townOf } from "#simulator/world/run/scenario-plan";
import type { Site } from "#simulator/world/surroundings/simulated-site";

type Line = readonly [atMs: number, what: string, value: number];
const CHANNEL = `0x${"12".repeat(32)}`;

function offerOf(
  { prices, balanceAtomic }: ReturnType<typeof termsOf>,
  index: number,
  { charged, granted }: Account,
): Offer {
  return {
    revision: index + 1,
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
    quantumAtomic: prices[index]!.quantumAtomic,
    pricePerMillionUnits: prices[index]!.pricePerMillionUnits,
    balance: balanceAtomic,
    ...{ charged, granted },
    metered: false,
  };
}

/** The same night by the machine itself, with the seller's own arithmetic. */
function byMachine(site: Site, town: Town): Line[] {
  const terms = termsOf(town, site.wantedUnits);
  const lines: Line[] = [];
  let nowMs = 0;
  const model = new LampModel(site.lamp, site.meter, site.meterInitial, () => nowMs);
  let state = bootMachine(site.settings, null);
  let account = newAccount(CHANNEL, "batch-settlement");
  let wakeAtMs = Number.POSITIVE_INFINITY;
  let arriving: { atMs: number; rung: number; price: number } | null = null;
  let planDay = -1;
  let offers = 0;
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
      const last = terms.prices.findLast(({ fromMs }) => fromMs <= nowMs) ?? terms.prices[0]!;
      const { pricePerMillionUnits: price } = last;
      arriving = { atMs: nowMs + ROUND_TRIP_MS, rung: effect.payment.maxClaimable, price };
      lines.push([nowMs, "pay", effect.payment.maxClaimable]);
    }
  };
  const hear = (event: Event) => {
    const step = stepMachine(state, event);
    state = step.state;
    for (const effect of step.effects) carryOut(effect);
  };
  const hearPlan = () => {
    const { wallSeconds } = at();
    const day = Math.floor(wallSeconds! / 86_400);
    if (day === planDay) return;
    planDay = day;
    hear({ type: "plan", at: at(), plan: site.almanac.plan(wallSeconds!) });
  };
  const nextOffer = () => offerOf(terms, offers++, account);
  hear({ type: "power-up", at: at(), reading: reading() });
  hearPlan();
  hear({ type: "link", at: at(), up: true });
  hear({ type: "offer", at: at(), offer: nextOffer() });
  for (;;) {
    const due = arriving as { atMs: number; rung: number; price: number } | null;
    const offerAtMs = (terms.prices[offers]?.fromMs ?? Number.POSITIVE_INFINITY) + OFFER_MS;
    const nextMs = Math.min(due?.atMs ?? Number.POSITIVE_INFINITY, offerAtMs, wakeAtMs);
    if (nextMs > terms.endMs) return lines;
    nowMs = nextMs;
    if (due === null || nextMs < due.atMs) {
      if (nextMs === offerAtMs) {
        hear({ type: "offer", at: at(), offer: nextOffer() });
        continue;
      }
      hearPlan();
      hear({ type: "tick", at: at(), reading: reading() });
      continue;
    }
    arriving = null;
    const quote = { pricePerMillionUnits: due.price, validUntilSeconds: 0 };
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
        pricePerMillionUnits: due.price,
        validUntilSeconds: 0,
      },
    });
  }
}

/** Both ways through one light's nights; resolves with how many events they agreed on. */
function compare(town: Town, index: number): number {
  const site = town.siteAt(index);
  const fast: Line[] = [];
  const terms = termsOf(town, site.wantedUnits);
  const result = runFastLight(site, terms, (...line) => fast.push(line));
  const slow = byMachine(site, town);
  expect(fast, `light ${index}`).toEqual(slow);
  expect(reconcile(result, terms, site)).toBeNull();
  return slow.length;
}

describe("the fast path", () => {
  it("does what the machine does, event by event, in sixty random nights", () => {
    let events = 0;
    for (let index = 0; index < 60; index++) events += compare(drawnTown(7, index % 10 === 0 ? 3 : 1), index);
    expect(events).toBeGreaterThan(5000);
  });

  it("does so too when prices change in the middle of purchases, and quanta with them", () => {
    const draw = seededRandom(5);
    const prices = Array.from({ length: 40 }, (_, hour) => ({
      fromMs: 1_200_000 * (hour + 0.2 * draw()),
      pricePerMillionUnits: Math.round(50_000 + 350_000 * draw()),
    }));
    const drawn = drawnTown(11, 2);
    const town: Town = {
      ...drawn,
      prices,
      siteAt(index) {
        const site = drawn.siteAt(index);
        const { settings } = site;
        // Dear hours ask for more at a time.
        const policy = { ...settings.policy, quantumMaxAtomic: 10_000 };
        return { ...site, settings: { ...settings, policy } };
      },
    };
    let events = 0;
    for (let index = 0; index < 20; index++) events += compare(town, index);
    expect(events).toBeGreaterThan(2000);
  });

  it("does so in a city: sun times, dimming plans, coarse meters and prices by the quarter of an hour", () => {
    const home = mkdtempSync(join(tmpdir(), "watt402-fast-"));
    const quarters = Array.from({ length: 160 }, (_, at) => {
      const start = new Date(Date.UTC(2026, 10, 20, 12) + at * 900_000).toISOString();
      return `${start},${Math.round(300 + 200 * Math.sin(at / 5))}`;
    });
    writeFileSync(join(home, "prices.csv"), ["start,eur_per_mwh", ...quarters, ""].join("\n"));
    const flags = { city: "3", lights: 12, tariff: `csv:${join(home, "prices.csv")}` };
    const town = townOf(planWorldEvening({ flags, nights: 2 }));
    rmSync(home, { recursive: true });
    expect(town.prices.length).toBeGreaterThan(50);
    let events = 0;
    for (let index = 0; index < 12; index++) events += compare(town, index);
    expect(events).toBeGreaterThan(500);
  });

  it("is looked at without being changed, and the looks at its parts add up to the look at all of it", () => {
    const town = drawnTown(2, 1);
    const watched = (from: number, to: number) => {
      const look = new CitySampler(20, town.endMs);
      return { ...runFastCity(town, from, to, look), looks: look.looks };
    };
    const [whole, first, second] = [watched(0, 40), watched(0, 15), watched(15, 40)];
    expect(whole.sums).toEqual(runFastCity(town, 0, 40).sums);
    addSampleSums(first.looks, second.looks);
    expect(first.looks).toEqual(whole.looks);
    const samples = samplesOf(whole.looks, () => 7);
    expect(samples).toHaveLength(21);
    expect(samples.map(({ lit, dark, starved }) => lit + dark + starved)).toEqual(samples.map(() => 40));
    const last = samples.at(-1)!;
    expect(last.minute).toBe(840);
    expect([last.made, last.spentAtomic]).toEqual([whole.sums.purchases, whole.sums.charged]);
    expect(Math.max(...samples.map(({ lit }) => lit))).toBe(40);
  });

  it("refuses to reckon what lights refuse to pay", () => {
    const town = { ...drawnTown(1, 1), prices: [{ fromMs: 0, pricePerMillionUnits: 5_000_000 }] };
    expect(() => runFastCity(town, 0, 1)).toThrow(/atomic units at 5000000 \(/);
  });

  it("gives the same city however it is split, and reconciles to the last atomic unit", () => {
    const town = drawnTown(3, 1);
    const { sums: whole } = runFastCity(town, 0, 300);
    const parts = [0, 70, 199].map(
      (from, index, all) => runFastCity(town, from, all[index + 1] ?? 300, null).sums,
    );
    const total = (of: (sums: typeof whole) => number) => parts.reduce((sum, part) => sum + of(part), 0);
    expect(whole.violations).toEqual([]);
    expect(total((sums) => sums.charged)).toBe(whole.charged);
    expect(total((sums) => sums.events)).toBe(whole.events);
    expect(total((sums) => sums.digest) >>> 0).toBe(whole.digest);
    expect(whole.purchases).toBeGreaterThan(300);
  });

  it.each([
    ["M2", { signed: 7 }],
    ["M3", { purchases: 1 }],
    ["M2", { boughtMicroAtomic: 0 }],
    ["M2", { credited: 1 }],
    ["E2", { aheadMilliwattHours: 1e9 }],
    ["E1", { deliveredMilliwattHours: 0 }],
  ])("names what does not add up: %s %j", (letter, wrong) => {
    const town = drawnTown(1, 1);
    const site = town.siteAt(0);
    const terms = termsOf(town, site.wantedUnits);
    const result = runFastLight(site, terms, null);
    expect(reconcile(result, terms, site)).toBeNull();
    expect(reconcile({ ...result, ...wrong }, terms, site)).toMatch(new RegExp(`^${letter}: `));
  });
});
