// The bench reports its own numbers truthfully: its arithmetic, and the shape of what it prints.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BenchDocument } from "./document.ts";
import { percentile, ratioOf, spreadOf } from "./figures.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe("the bench's arithmetic", () => {
  it("takes the middle one, or the mean of the two in the middle, with the ends beside it", () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, min: 1, max: 3 });
    expect(spreadOf([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4 });
    expect(() => spreadOf([])).toThrow(/one finite sample/);
    expect(() => spreadOf([1, Number.NaN])).toThrow(/one finite sample/);
  });

  it("compares rounds with rounds, so a machine that was slow for both changes no ratio", () => {
    const positive = fc.double({ min: 0.001, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1, maxLength: 9 }), positive, (stock, times) => {
        const { min, max } = ratioOf(
          stock.map((sample) => sample * times),
          stock,
        );
        expect(min / times).toBeCloseTo(1, 9);
        expect(max / times).toBeCloseTo(1, 9);
      }),
    );
    expect(() => ratioOf([1], [1, 2])).toThrow(/as many rounds/);
  });

  it("reads percentiles by nearest rank", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([0, 0.5, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([1, 50, 99, 100]);
    expect(percentile([], 0.5)).toBeNaN();
  });
});

describe("a run of the bench", () => {
  it("prints one JSON document: machine, versions, and figures with their spread", async () => {
    const small = ["--only", "gateway", "--rounds", "1", "--round-ms", "200"];
    const fleet = ["--channels", "2", "--lights", "2"];
    const { code, text, words } = await run(["--quick", "--json", ...small, ...fleet]);
    expect(words).toMatch(/the gateway alone/);
    expect(code).toBe(0);
    const document = JSON.parse(text) as BenchDocument;
    expect(document.machine.cores).toBeGreaterThan(0);
    expect(document.versions["@x402/express"]).toMatch(/^\d+\.\d+\.\d+/);
    const { gatewayCpuMicroseconds, lightsPerGiB } = document;
    for (const spread of [gatewayCpuMicroseconds, lightsPerGiB]) {
      expect(spread).toEqual({
        median: expect.any(Number),
        min: expect.any(Number),
        max: expect.any(Number),
      });
    }
    expect(gatewayCpuMicroseconds!.median).toBeGreaterThan(0);
    expect(document.endToEnd).toBeUndefined();
  });
});

async function run(flags: readonly string[]) {
  const child = spawn(process.execPath, ["--import", "tsx", "test/bench/main.ts", ...flags], { cwd: ROOT });
  let [text, words] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
  });
  child.stderr.setEncoding("utf8").on("data", (part: string) => {
    words += part;
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, text, words };
}
