// Whatever comes in by a leaf, a header or a body is decoded or refused by a short text; nothing throws.

import { describe, expect, test } from "vitest";
import { attack, DECODERS } from "./odd-input.ts";

const INPUTS = 10_000;

describe(`${INPUTS} odd inputs end no decoder`, () => {
  test.each(Object.keys(DECODERS))("%s", async (name) => {
    await expect(attack(name, INPUTS)).resolves.toBeUndefined();
  });
});
