import { describe, expect, it } from "vitest";
import type { TakeTrouble } from "#core/ports";
import { channelTagOf } from "#core/rungs";
import { Bench, CHANNEL_ID } from "./fixtures.ts";

/** A lamp that the test breaks and mends. */
function breakable() {
  let take: TakeTrouble = () => {};
  const levels: number[] = [];
  return {
    levels,
    lamp: {
      set: (levelPercent: number) => void levels.push(levelPercent),
      onTrouble: (listener: TakeTrouble) => {
        take = listener;
      },
    },
    tell: (...told: Parameters<TakeTrouble>) => take(...told),
  };
}

/** A light that has bought once. */
function paying() {
  const bench = new Bench();
  const broken = breakable();
  const host = bench.start({ lamp: broken.lamp });
  bench.link(true);
  bench.offer();
  bench.answer();
  return { bench, broken, host };
}

describe("a lamp that does not follow", () => {
  it("is reported in the state, is not paid for any longer, and is paid for again once it follows", async () => {
    const { bench, broken, host } = paying();
    expect(bench.pays()).toHaveLength(1);

    broken.tell('LED "lamp": expected /sys/class/leds/lamp, found none');
    expect(bench.messages("state").at(-1)).toMatchObject({ refusal: "lamp-failed" });
    bench.clock.advance(600_000);
    expect(bench.pays()).toHaveLength(1);
    // What it is thought to draw uses up what was paid, and the light goes to its unpaid level.
    expect(bench.messages("state").at(-1)).toMatchObject({ refusal: "lamp-failed", starved: true });
    expect(broken.levels.at(-1)).toBe(0);

    broken.tell(null);
    expect(bench.pays()).toHaveLength(2);
    bench.grant(channelTagOf(CHANNEL_ID), 200, 5000);
    expect(bench.messages("state").at(-1)).toMatchObject({ refusal: null, starved: false });
    expect(broken.levels.at(-1)).toBe(100);
    await host.stop();
  });

  it("is told apart from one that breaks its limits, which is not paid for any longer either", async () => {
    const { bench, broken, host } = paying();
    broken.tell("found nobody");
    broken.tell("load-disobeys: delivered 9 mWh above limits", "load-disobeys");
    expect(bench.messages("state").at(-1)).toMatchObject({ refusal: "load-disobeys" });
    bench.clock.advance(600_000);
    expect(bench.pays()).toHaveLength(1);
    await host.stop();
  });

  it("does not hide that the journal failed too, nor is hidden by it", () => {
    const bench = new Bench();
    const broken = breakable();
    const host = bench.start({ lamp: broken.lamp });
    broken.tell("no lamp");
    bench.storing = "EROFS";
    bench.link(true);
    bench.offer();
    expect(host.state()).toMatchObject({ hostRefusal: "journal-failed", lampRefusal: "lamp-failed" });
    bench.storing = null;
    bench.clock.advance(2000);
    expect(host.state()).toMatchObject({ hostRefusal: null, lampRefusal: "lamp-failed" });
    broken.tell(null);
    expect(host.state()).toMatchObject({ hostRefusal: null, lampRefusal: null });
  });
});
