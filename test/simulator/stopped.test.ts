// Runs that are told to end while one of their processes hangs: what is awaited is 5 s at most.

import { afterEach, expect, test } from "vitest";
import { endRuns, evening, RUN_MS, run } from "./evening.ts";
import { endedSoon, hang, lastLine } from "./hanging.ts";
import { documentOf, simulate, until } from "./process.ts";

afterEach(endRuns);

const EVENING = ["--lights", "2", "--minutes", "600"];
const BOUGHT =
  /2 lights had bought [1-9]\d* times for [1-9]\d* atomic units; it was not reconciled, and may not/;

test(
  "a run whose chain hangs says after SIGTERM that it does not answer and what is not reconciled, and ends",
  async () => {
    const started = run(...EVENING);
    await evening(started);
    const processes = await hang(started, "anvil");
    expect(await endedSoon(started, processes, "SIGTERM")).toBe(1);
    expect(lastLine(started)).toContain("left without a result, the chain does not answer: ");
    expect(lastLine(started)).toMatch(BOUGHT);
    expect(started.stdout()).toBe("");
  },
  RUN_MS,
);

test(
  "a run that is told to end while it starts on a chain that hangs leaves at once: nothing was bought",
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
  "a run that is told by SIGTERM to end has its result soon, or says that there was no time for one",
  async () => {
    const started = run(...EVENING);
    const processes = await evening(started);
    if ((await endedSoon(started, processes, "SIGTERM")) === 0) {
      expect((await documentOf(started)).conserved).toBe(true);
    } else expect(lastLine(started)).toContain("not reconciled within 4000 ms of SIGTERM: ");
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
