// Runs that are asked to end while one of their processes hangs: what is awaited is 5 s at most.

import { afterEach, expect, test } from "vitest";
import { endRuns, RUN_MS, run } from "./evening.ts";
import { endedSoon, hang, lastLine } from "./hanging.ts";
import { simulate, until } from "./process.ts";

afterEach(endRuns);

const EVENING = ["--lights", "2", "--minutes", "600"];

test(
  "a run that is ended while it starts on a chain that hangs leaves at once: nothing was bought",
  async () => {
    const started = run(...EVENING);
    await until("the services' start", () => started.stderr().includes("starting seller"), RUN_MS);
    const processes = await hang(started, "anvil");
    expect(await endedSoon(started, processes, "SIGTERM")).toBe(1);
    expect(lastLine(started)).toBe(
      "watt402-simulate: stopped before the lights were connected; nothing was bought",
    );
  },
  RUN_MS,
);

test(
  "a development chain whose node hangs is ended by SIGTERM, and leaves no node behind",
  async () => {
    const chain = simulate(["chain", "--port", "0"]);
    await until("it is ready", () => chain.stdout().includes("\n"), 60_000);
    const processes = await hang(chain, "anvil");
    const sinceMs = performance.now();
    expect(await endedSoon(chain, processes, "SIGTERM")).toBe(0);
    // Of which 2 s are given to the node.
    expect(performance.now() - sinceMs).toBeLessThan(5_000);
  },
  RUN_MS,
);
