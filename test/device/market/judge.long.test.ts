import { expect, it } from "vitest";
import type { Lie } from "#market/judge";
import { judgeHonest, judgeLying, LIES } from "./judged.ts";

const RUNS = 1_000;

it("a thousand honest sellers are convicted of nothing", () => {
  expect(judgeHonest(RUNS)).toBe(RUNS);
});

it.each(Object.keys(LIES) as Lie[])("a thousand sellers are convicted of %s, each of them", (lie) => {
  expect(judgeLying(lie, RUNS)).toBeGreaterThanOrEqual(RUNS);
});
