import { expect, test } from "vitest";
import { checkGeneratedTerms } from "./generated-terms.ts";

test("of a hundred thousand generated 402 answers nothing is signed outside the device's policy", () => {
  expect(checkGeneratedTerms(100_000)).toBeGreaterThan(10_000);
}, 1_200_000);
