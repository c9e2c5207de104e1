// A message that breaks a rule's own code costs that message: it is dropped, noted and counted, and the next is served.

import { expect, test } from "vitest";
import { failureCount } from "#core/detach";
import { newBench, QUANTUM } from "./fixtures.ts";
import { enrolled } from "./speaker.ts";

test("a message that makes the rules throw is dropped, noted and counted, and the same light buys on", async () => {
  const notes: string[] = [];
  let isBroken = false;
  const { said, sessions, counts, speaker, offer, id } = await enrolled(newBench(), {
    note: (level, text, fields) => notes.push(`${level} ${text} ${JSON.stringify(fields)}`),
    observe({ type }) {
      if (isBroken && type === "state") throw new Error("no onlooker takes this");
    },
  });
  const [failures, { dropped }] = [failureCount(), counts];
  isBroken = true;
  expect(() => sessions.receive(speaker.device, "state", speaker.state(null))).not.toThrow();
  expect(counts.dropped).toBe(dropped + 1);
  expect(failureCount()).toBe(failures + 1);
  expect(notes.filter((line) => line.includes("no onlooker takes this"))).toHaveLength(1);
  sessions.receive(speaker.device, "pay", speaker.pay(offer, id, QUANTUM));
  await expect.poll(() => speaker.grantsIn(said).map(({ charged }) => charged)).toEqual([QUANTUM]);
});
