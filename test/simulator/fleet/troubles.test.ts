import { expect, test } from "vitest";
import { Troubles } from "#simulator/fleet/fleet-troubles";

const REFUSED = "broker mqtt://127.0.0.1:1: connect ECONNREFUSED";

test("a thousand lights with one trouble are reported in two lines, not in a thousand", () => {
  const said: string[] = [];
  let nowMs = 0;
  const troubles = new Troubles(
    (text) => said.push(text),
    () => nowMs,
  );
  for (let light = 1; light <= 1_000; light++) troubles.take(`light-${light}`, REFUSED);
  expect(said).toEqual([`light-1: ${REFUSED}`]);
  nowMs += 5_000;
  for (let light = 1; light <= 1_000; light++) troubles.take(`light-${light}`, REFUSED);
  expect(said).toEqual([`light-1: ${REFUSED}`, `1000 lights: ${REFUSED}`]);
});

test("troubles that differ only in the light's address are one; another trouble is reported at once", () => {
  const said: string[] = [];
  const troubles = new Troubles(
    (text) => said.push(text),
    () => 0,
  );
  troubles.take("light-1", `refused 0x${"a".repeat(40)}`);
  troubles.take("light-2", `refused 0x${"b".repeat(40)}`);
  troubles.take("light-3", REFUSED);
  expect(said).toEqual([`light-1: refused 0x${"a".repeat(40)}`, `light-3: ${REFUSED}`]);
});
