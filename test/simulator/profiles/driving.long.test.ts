// An hour of road on real sockets: each second that was paid at a seller was used there once, or waits there.

import { afterEach, expect, test } from "vitest";
import { endRuns, RUN_MS, run } from "../evening.ts";
import { documentOf } from "../process.ts";

afterEach(endRuns);

/** What 200 atomic units buy: the quantum nearest to half a minute. */
const QUANTUM_SECONDS = 20;

test(
  "60 minutes of road, five sellers, ten tunnels: seconds paid are seconds used, each once, and at most a purchase waits",
  async () => {
    const result = await documentOf(run("--profile", "road-data", "--devices", "3", "--minutes", "60"));
    expect(result).toMatchObject({ conserved: true, violations: [], notBought: [], unit: "s" });
    const { charged, claimed, settled, sellerBalance } = result.amountAtomic!;
    expect([claimed, settled, sellerBalance]).toEqual([charged, charged, charged]);
    expect(result.moving.map(({ seller, devices }) => [seller, devices])).toEqual(
      [1, 2, 3, 4, 5].map((seller) => [seller, 3]),
    );
    for (const { granted, used, waiting, waitingMost, payments } of result.moving) {
      expect(granted).toBe(payments * QUANTUM_SECONDS);
      expect(used + waiting).toBe(granted);
      expect(waitingMost).toBeLessThanOrEqual(QUANTUM_SECONDS);
    }
    const [cars] = result.profiles;
    const sum = (of: (part: (typeof result.moving)[number]) => number) =>
      result.moving.reduce((total, part) => total + of(part), 0);
    expect(sum(({ used }) => used)).toBe(cars!.consumed);
    // Three cars that drive for an hour, less tunnels and the stretches where nobody sells.
    expect(cars!.consumed).toBeGreaterThan(0.7 * 3 * 3_600);
    expect(result.longestStarvedSeconds).toBeLessThan(QUANTUM_SECONDS);
  },
  2 * RUN_MS,
);
