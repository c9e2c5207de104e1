import { describe, expect, it } from "vitest";
import { TROUBLE_APART_MS } from "#host/outbox";
import { Bench, SETTINGS } from "./bench.ts";

const QUICK = { ...SETTINGS, tickMs: 500 };

describe("a device's trouble", () => {
  it("is told again when its words change, and not while they stay, nor without a link", async () => {
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

  it("with other words at every look is told every few seconds at most", async () => {
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
