import { describe, expect, it } from "vitest";
import { expectSignaturesOf } from "./signing.ts";

describe("a signature made on a board", () => {
  it("is that of @noble/curves, twenty thousand times with two thousand keys", { timeout: 600_000 }, () => {
    expect(() => expectSignaturesOf(20_000)).not.toThrow();
  });
});
