// A fleet on the lean link through its gateway's restart: as long as programs take to start again.

import { afterEach, expect, test } from "vitest";
import { endRuns, expectSound, RUN_MS, run } from "./evening.ts";
import { documentOf } from "./process.ts";

afterEach(endRuns);

test(
  "with --lean, lights are on the lean link, come back to it after their gateway's restart, and pay for a sound evening",
  async () => {
    const started = run("--lean", "--lights", "4", "--scenario", "gateway-restart");
    const result = await documentOf(started);
    expectSound(result, 4);
    // The road's own words, which no other link says.
    expect(started.stderr()).toMatch(/^a light: broker mqtt:/m);
    expect(result.atEnd.lit).toBe(4);
    expect(await started.ended).toBe(0);
  },
  RUN_MS,
);
