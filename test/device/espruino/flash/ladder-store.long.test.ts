import { describe, expect, it } from "vitest";
import { cutPower } from "./ladder-cuts.ts";

describe("the ladder in flash, ten thousand times without power", () => {
  it.each([
    { pageBytes: 4096, pages: 14 },
    { pageBytes: 16_384, pages: 1 },
    { pageBytes: 512, pages: 2 },
  ])("skips, loses and doubles no rung on $pages pages of $pageBytes bytes", (shape) => {
    let cuts = 0;
    let inFlight = 0;
    for (let seed = 100; cuts < 10_000; seed++) {
      const found = cutPower(shape, seed, 500);
      expect(found.broken).toEqual([]);
      cuts += found.cuts;
      inFlight += found.inFlight;
    }
    expect(inFlight).toBeGreaterThan(0);
  });
});
