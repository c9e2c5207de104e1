// Ten million odd inputs to each decoder. WATT402_DECODER runs one of them alone.

import { expect, test } from "vitest";
import { attack, DECODERS } from "./odd-input.ts";

const INPUTS = 10_000_000;
const HOUR_MS = 3_600_000;
const only = process.env.WATT402_DECODER;

test.each(Object.keys(DECODERS).filter((name) => only === undefined || name === only))(
  "ten million odd inputs do not end the decoder of: %s",
  async (name) => {
    const since = performance.now();
    const reported = (done: number) => {
      const seconds = Math.round((performance.now() - since) / 1000);
      process.stdout.write(`${name}: ${done / 1_000_000} million in ${seconds} s\n`);
    };
    await expect(attack(name, INPUTS, reported)).resolves.toBeUndefined();
  },
  HOUR_MS,
);
