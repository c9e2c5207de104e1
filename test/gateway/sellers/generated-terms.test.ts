import { expect, test } from "vitest";
import { checkGeneratedTerms } from "./generated-terms.ts";

test("of thousands of generated 402 answers nothing is signed outside the device's policy", () => {
  expect(checkGeneratedTerms(2_000)).toBeGreaterThan(200);
});
