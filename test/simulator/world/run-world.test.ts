/** The sub-command, as a user meets it. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const PROGRAM = fileURLToPath(new URL("../../../simulator/watt402-simulate.mjs", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], begun?: (child: ChildProcess) => void): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [PROGRAM, "world", ...args]);
    let [out, err] = ["", ""];
    child.stdout.on("data", (bytes) => {
      out += bytes;
    });
    child.stderr.on("data", (bytes) => {
      err += bytes;
    });
    child.on("close", (code) => resolve({ code, out, err }));
    begun?.(child);
  });
}

describe("watt402-simulate world", () => {
  it("prints one JSON document, the same for any number of workers", async () => {
    const args = ["--seeds", "3", "--lights", "2", "--json", "--workers"];
    const [alone, together] = await Promise.all([run([...args, "1"]), run([...args, "2"])]);
    const [first, second] = [JSON.parse(alone.out), JSON.parse(together.out)];
    expect(alone.code).toBe(0);
    expect(first).toMatchObject({ seeds: 3, lights: 2, violations: [], conserved: true });
    expect(first.faultKinds.neverFired.length + Object.keys(first.faultKinds.fired).length).toBeGreaterThan(
      50,
    );
    expect(first.events).toBeGreaterThan(1000);
    expect(second.traceHash).toBe(first.traceHash);
    for (const member of ["wallMs", "peakMiB"]) expect(first[member]).toBeGreaterThan(0);
  });

  it("conserves a city without faults exactly", async () => {
    const { code, out } = await run(["--lights", "3000", "--faults", "none", "--json"]);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    expect(report).toMatchObject({ lights: 3000, conserved: true, violations: [] });
    expect(report.purchases).toBeGreaterThan(100_000);
  });

  it("says in one line what is wrong with its flags", async () => {
    const cases: readonly [string[], RegExp][] = [
      [["--faults", "gremlins"], /expected all, none or kinds of loss, .*found "gremlins"/],
      [["--lights", "0"], /expected a whole number from 1 to/],
      [["--seed", "1", "--seeds", "2"], /expected --seed or --seeds, found both/],
    ];
    for (const [args, told] of cases) {
      const { code, out, err } = await run(args);
      expect(code).toBe(1);
      expect(out).toBe("");
      expect(err.trim().split("\n")[0]).toMatch(told);
    }
  });

  it("tells what was done so far when it is interrupted", async () => {
    const ended = await run(["--seeds", "5000", "--lights", "1", "--json"], (child) => {
      child.stderr!.once("data", () => child.kill("SIGINT"));
    });
    expect(ended.code).toBe(1);
    const report = JSON.parse(ended.out);
    expect(report.seeds).toBeGreaterThan(0);
    expect(report.seeds).toBeLessThan(5000);
    expect(report.violations).toEqual([]);
  });
});
