// A device that asks for prices ahead: what is no answer changes nothing of its plan, and is asked for again with a back-off.

import { expect, test } from "vitest";
import type { PlanStep } from "#core/events";
import { PRICES_URL } from "#market/own-resources";
import { dimmingPlan } from "#market/priced-plan";
import { GatewayDocuments } from "#node/general/gateway-documents";
import { PriceWatch } from "#node/general/price-watch";
import { TurnClock } from "../../simulator/charging/turn-clock.ts";

const EPOCH = 1_800_000_000;
const HOUR = 3_600;
const series = {
  unit: "mWh",
  timeZone: "UTC",
  price: [
    [EPOCH, 300],
    [EPOCH + HOUR, 100],
  ],
  fromSeconds: EPOCH,
  untilSeconds: EPOCH + 2 * HOUR,
};

test("prices dim a light from the answer on and at each step, until they are over; what is no answer leaves them as they were", async () => {
  const clock = new TurnClock(EPOCH);
  const planned: readonly PlanStep[] = [{ minuteOfDay: 0, levelPercent: 100 }];
  const plan = dimmingPlan({ plan: () => planned }, 40);
  const levels: number[] = [];
  plan.onChange!(() => levels.push(plan.plan(clock.wallSeconds())[0]!.levelPercent));
  const asked: string[] = [];
  const send = (payload: Uint8Array) => asked.push(new TextDecoder().decode(payload));
  const random = () => 0;
  const documents = new GatewayDocuments({ clock, random, send });
  const watch = new PriceWatch(plan, { clock, random, documents });
  const linkChanged = (up: boolean) => {
    documents.linkChanged(up);
    watch.linkChanged(up);
  };
  /** Each question once, however often it was sent. */
  const questions = () => new Set(asked.map((text) => (JSON.parse(text) as { id: string }).id)).size;
  const asksFor = () => JSON.parse(asked.at(-1)!) as { id: string; url: string };
  const answer = (body: unknown, status = 200, id = asksFor().id) =>
    documents.take(
      new TextEncoder().encode(JSON.stringify({ v: 1, id, status, body: JSON.stringify(body) })),
    );

  await clock.run(clock.nowMs() + 60_000);
  expect(asked).toEqual([]);
  linkChanged(true);
  expect(asksFor()).toMatchObject({ method: "GET", url: PRICES_URL });
  expect(answer(series, 200, "another")).toBe(false);
  for (const [body, status] of [
    [series, 404],
    ["none", 200],
    [{ ...series, price: [] }, 200],
  ] as const) {
    const before = questions();
    expect(answer(body, status)).toBe(true);
    expect(levels.at(-1)).toBe(100);
    await clock.run(clock.nowMs() + 8_000);
    expect(questions()).toBe(before + 1);
  }
  answer(series);
  expect(levels.at(-1)).toBe(40);
  // Asked again a quarter of an hour later.
  const known = questions();
  await clock.run(clock.nowMs() + 16 * 60_000);
  expect(questions()).toBe(known + 1);
  expect(answer("none")).toBe(true);
  expect(levels.at(-1)).toBe(40);
  await clock.run(clock.nowMs() + HOUR * 1000);
  expect(levels.at(-1)).toBe(100);
  linkChanged(false);
  const before = asked.length;
  await clock.run(clock.nowMs() + HOUR * 1000);
  expect(asked.length).toBe(before);
  watch.stop();
});
