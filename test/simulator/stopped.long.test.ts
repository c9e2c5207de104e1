// The same in every phase of a run, for each of its processes.

import { afterEach, expect, test } from "vitest";
import { endRuns, evening, RUN_MS, run } from "./evening.ts";
import { endedSoon, type Hanging, hang, lastLine } from "./hanging.ts";
import { documentOf, type Run, until } from "./process.ts";

afterEach(endRuns);

const said = (words: string) => (started: Run) =>
  until(`"${words}"`, () => started.stderr().includes(words), RUN_MS);

/** What a run says when it is so far; at the end it names the hang and the signal both. */
const PHASES: Record<string, { readonly minutes: string; begun(started: Run): Promise<unknown> }> = {
  "while its lights connect": { minutes: "600", begun: said("processes:") },
  "in its evening": { minutes: "600", begun: evening },
  "at its reconciliation": { minutes: "0.1", begun: said("lights stopped") },
};
const NAMES: Record<Hanging, string> = { gateway: "gateway", seller: "seller", anvil: "chain" };

const cases = Object.keys(PHASES).flatMap((phase) =>
  (["gateway", "seller", "anvil"] as const).flatMap((what) =>
    (["SIGTERM", "SIGINT"] as const).map((signal) => ({ phase, what, signal })),
  ),
);

test.each(cases)(
  "a run whose $what hangs $phase ends after $signal, says so, and leaves nothing running",
  async ({ phase, what, signal }) => {
    const { minutes, begun } = PHASES[phase]!;
    const started = run("--lights", "2", "--minutes", minutes);
    await begun(started);
    const processes = await hang(started, what);
    expect(await endedSoon(started, processes, signal)).toBe(1);
    const last = lastLine(started);
    const left = `left without a result, the ${NAMES[what]} does not answer: `;
    // The first moments of connecting are still the start.
    const isStarting = phase === "while its lights connect" && last.endsWith("; nothing was bought");
    expect(isStarting || last.includes(left), last).toBe(true);
  },
  RUN_MS,
);

test(
  "a second signal leaves at once whatever hangs, and says that nothing was reconciled",
  async () => {
    const started = run("--lights", "2", "--minutes", "600");
    await evening(started);
    const processes = await hang(started, "gateway");
    expect(await endedSoon(started, processes, "SIGINT", "SIGINT")).toBe(130);
    expect(lastLine(started)).toContain("left without a result, asked to leave at once: ");
  },
  RUN_MS,
);

test(
  "a run that is ended by SIGTERM has its result soon, or says that there was no time for one",
  async () => {
    const started = run("--lights", "2", "--minutes", "600");
    const processes = await evening(started);
    if ((await endedSoon(started, processes, "SIGTERM")) === 0) {
      expect((await documentOf(started)).conserved).toBe(true);
    } else expect(lastLine(started)).toContain("not reconciled within 4000 ms of SIGTERM: ");
  },
  RUN_MS,
);
