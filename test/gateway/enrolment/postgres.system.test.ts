// Enrolments in a real PostgreSQL: two gateways see the same decisions, in the same order, and one bound.

import { afterAll, beforeAll, expect, test } from "vitest";
import { openPostgresLedger } from "#gateway/ledger/postgres/postgres-ledger";
import type { LedgerStore } from "#gateway/ledger/store";
import { type Postgres, startPostgres } from "../ledger/postgres/postgres.ts";

let postgres: Postgres;
let one: LedgerStore;
let two: LedgerStore;
beforeAll(async () => {
  postgres = await startPostgres();
  const { url, password } = postgres;
  one = await openPostgresLedger({ url, password, onTrouble: () => {} });
  two = await openPostgresLedger({ url, password, onTrouble: () => {} });
});
afterAll(async () => {
  await Promise.all([one.close(), two.close()]);
  postgres.stop();
});

const deviceNumbered = (number: number) => number.toString(16).padStart(40, "0");

test("devices that ask two gateways at once wait once each, no more than the bound, with revisions of their own", async () => {
  const devices = Array.from({ length: 40 }, (_, number) => deviceNumbered(number));
  const asked = await Promise.all(
    devices.flatMap((device) => [one, two].map((ledger) => ledger.awaitApproval(device, 7, 25))),
  );
  expect(await one.pendingCount()).toBe(25);
  const waiting = new Set(asked.flatMap((record) => (record === null ? [] : [record.device])));
  expect(waiting.size).toBe(25);
  const [first] = [...waiting];
  await two.decideEnrolment(first!, "approved", 8.5);
  await two.decideEnrolment(deviceNumbered(99), "refused", 9);
  expect(await one.enrolment(first!)).toMatchObject({
    state: "approved",
    askedSeconds: 7,
    decidedSeconds: 8,
  });
  expect(await one.enrolment(deviceNumbered(98))).toBeNull();
  const changes = await one.enrolmentsSince(0, 100);
  const revisions = changes.map(({ revision }) => revision);
  expect(revisions).toEqual([...new Set(revisions)].sort((left, right) => left - right));
  expect(changes.slice(-2).map(({ device }) => device)).toEqual([first, deviceNumbered(99)]);
  expect(await one.enrolments("pending", "", 100)).toHaveLength(24);
  const page = await one.enrolments(null, "", 10);
  const rest = await one.enrolments(null, page.at(-1)!.device, 100);
  expect(page.length + rest.length).toBe(26);
});
