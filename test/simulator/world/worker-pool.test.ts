import { describe, expect, it } from "vitest";
import { openWorkerPool } from "#simulator/world/run/worker-pool";
import type { Job, JobResult } from "#simulator/world/run/world-worker";

describe("a worker pool", () => {
  it("reports each result as it comes, so that a run of an hour shows its first violation at once", async () => {
    const jobs = [1, 2].map(
      (seed): Job => ({
        kind: "night",
        options: { seed, lights: 1, nights: 1, faults: "none", signing: "stand-in" },
      }),
    );
    const reported: JobResult[] = [];
    const results = await openWorkerPool(1).work(jobs, (finished, result) => {
      expect(finished).toBe(reported.push(result));
    });
    expect(reported.length).toBe(2);
    expect(reported).toEqual(results);
  });
});
