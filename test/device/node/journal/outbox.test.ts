import { describe, expect, it } from "vitest";
import type { Reading } from "#core/events";
import { TROUBLE_APART_MS } from "#host/outbox";
import { Bench, SETTINGS } from "../fixtures.ts";

const QUICK = { ...SETTINGS, tickMs: 500 };

describe("a device's trouble", () => {
  it("is sent again when its words change, and not while they stay, nor without a link", async () => {
    const bench = new Bench();
    let trouble: string | null = null;
    const host = bench.start({ settings: QUICK, trouble: () => trouble });
    bench.link(true);
    const states = () => bench.messages("state") as { readonly trouble?: string }[];
    const before = states().length;
    trouble = "meter: expected an answer, found silence";
    bench.clock.advance(60_000);
    trouble = "meter: expected an answer, found a damaged one";
    bench.clock.advance(60_000);
    expect(
      states()
        .slice(before)
        .map((state) => state.trouble),
    ).toEqual(["meter: expected an answer, found silence", "meter: expected an answer, found a damaged one"]);
    bench.link(false);
    trouble = "meter: expected an answer, found another's";
    bench.clock.advance(60_000);
    expect(states()).toHaveLength(before + 2);
    bench.link(true);
    trouble = null;
    bench.clock.advance(60_000);
    expect(states().at(-1)).not.toHaveProperty("trouble");
    await host.stop();
  });

  it("with other words at every look is sent every few seconds at most", async () => {
    const bench = new Bench();
    let looks = 0;
    const host = bench.start({ settings: QUICK, trouble: () => `voltage: found ${++looks} V` });
    bench.link(true);
    const before = bench.messages("state").length;
    bench.clock.advance(60_000);
    expect(bench.messages("state").length - before).toBe(60_000 / TROUBLE_APART_MS);
    await host.stop();
  });
});

describe("a device's reading", () => {
  const shown = { voltageMillivolts: 229_800, currentMilliamps: 262, frequencyMillihertz: 50_010 };
  const reported = (look: () => Reading | null) => {
    const bench = new Bench();
    const host = bench.start({
      settings: { ...SETTINGS, tickMs: 1000, readingMs: 1000 },
      meter: { read: (done) => done(look()) },
    });
    bench.link(true);
    bench.clock.advance(1000);
    const last = () => bench.messages("reading").at(-1)!;
    return { bench, host, last };
  };

  it("carries voltage, current, frequency and quality where the meter gives them, and no word of them else", () => {
    const bare = { raw: 5, powerMilliwatts: 0 };
    expect(reported(() => ({ ...bare, ...shown, quality: { kind: "good" } })).last()).toEqual({
      v: 1,
      register: 0,
      powerMilliwatts: 0,
      atSeconds: expect.any(Number),
      ...shown,
      quality: "good",
    });
    expect(Object.keys(reported(() => bare).last())).toEqual([
      "v",
      "register",
      "powerMilliwatts",
      "atSeconds",
    ]);
    // What no message may carry is left out, not sent wrong.
    const odd = { ...bare, voltageMillivolts: Number.NaN, currentMilliamps: 0.5, frequencyMillihertz: -1 };
    expect(Object.keys(reported(() => odd).last())).toEqual([
      "v",
      "register",
      "powerMilliwatts",
      "atSeconds",
    ]);
  });

  it("of a look that was not good has that quality, and not its values", () => {
    let look: Reading | null = { raw: 5, powerMilliwatts: 0, ...shown, quality: { kind: "good" } };
    const { bench, last } = reported(() => look);
    for (const kind of ["suspect", "stale"] as const) {
      look = { raw: 5, powerMilliwatts: 0, ...shown, quality: { kind, reason: "why" } };
      bench.clock.advance(1000);
      expect(last()).toMatchObject({ quality: kind });
      expect(last()).not.toHaveProperty("voltageMillivolts");
    }
    look = null;
    bench.clock.advance(1000);
    expect(last()).toMatchObject({ quality: "stale" });
  });
});
