// Membership and fencing check in a real PostgreSQL: one turn at a time, the database's clock, no write without a slot.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { LEASE_MS, STALLED_WRITE_MS } from "#gateway/cluster/cluster";
import { type Membership, type MembershipView, SLOTS, slotOf, wishOf } from "#gateway/cluster/membership";
import { openPostgresLedger } from "#gateway/ledger/postgres/postgres-ledger";
import {
  fencingCheckOf,
  type MemberIdentity,
  openPostgresMembership,
} from "#gateway/ledger/postgres/postgres-membership";
import { inTransaction, openPool } from "#gateway/ledger/postgres/postgres-pool";
import { intendDeposit } from "#gateway/purchase/deposit";
import { type Postgres, startPostgres } from "../ledger/postgres/postgres.ts";
import { channelNumbered, paymentNumbered } from "../ledger/records.ts";
import { deviceOf, newBench, newKey, openChannelOf } from "../purchase/fixtures.ts";

const GATEWAY = `0x${"ab".repeat(20)}`;

let postgres: Postgres;
const open: { close(): Promise<void> }[] = [];
beforeAll(async () => {
  postgres = await startPostgres();
});
beforeEach(async () => {
  await postgres.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
afterAll(() => postgres.stop());

const options = () => ({ url: postgres.url, password: postgres.password, onTrouble: () => {} });
const memberNamed = (member: string, gateway = GATEWAY): MemberIdentity => ({
  gateway,
  member,
  name: member,
});

async function membershipOf(identity: MemberIdentity): Promise<Membership> {
  const membership = await openPostgresMembership(options(), identity);
  open.push(membership);
  return membership;
}

async function ledgerOf(identity: MemberIdentity) {
  const ledger = await openPostgresLedger(options(), fencingCheckOf(identity));
  open.push(ledger);
  return ledger;
}

const PRESENT = { delivery: "shared", hears: true, releases: [] } as const;
const takeAll = (membership: Membership, member: string) =>
  membership.turn(PRESENT, (view) => wishOf(view, { member }).claims);
const takeNothing = (membership: Membership) => membership.turn(PRESENT, () => []);
const heldBy = ({ holders }: MembershipView, member: string) =>
  holders.flatMap((holder, slot) => (holder === member ? [slot] : []));
/** The database's clock runs ahead. */
const endLease = (member: string) =>
  postgres.query(`UPDATE duty_member SET until_ms = until_ms - ${LEASE_MS} WHERE member = '${member}'`);

test("members that take their turns all at once never hold one slot together, whichever vanishes meanwhile", async () => {
  const names = ["a", "b", "c", "d"];
  const memberships = await Promise.all(names.map((name) => membershipOf(memberNamed(name))));
  const views = await Promise.all(memberships.map((membership, index) => takeAll(membership, names[index]!)));
  const believed = views.flatMap((view, index) => heldBy(view, names[index]!));
  // What the first saw may be given up later; nothing is believed by two.
  expect(new Set(believed).size).toBe(believed.length);
  for (let round = 0; round < 10; round += 1) {
    await endLease(names[round % 4]!);
    const present = names.filter((_, index) => index !== round % 4);
    const step = async (name: string) => {
      const membership = memberships[names.indexOf(name)]!;
      const view = await takeNothing(membership);
      await membership.turn({ ...PRESENT, releases: wishOf(view, { member: name }).leaves }, () => []);
      const held = heldBy(await takeAll(membership, name), name);
      const { leaves } = wishOf(await takeNothing(membership), { member: name });
      return held.filter((slot) => !leaves.includes(slot));
    };
    // Who has just come is seen by the others in the second pass.
    for (let pass = 0; pass < 2; pass += 1) {
      const kept = (await Promise.all(present.map(step))).flat();
      expect(new Set(kept).size).toBe(kept.length);
    }
    for (const name of present) await takeAll(memberships[names.indexOf(name)]!, name);
    const last = await takeNothing(memberships[names.indexOf(present[0]!)]!);
    for (const name of present) expect(heldBy(last, name).length).toBeGreaterThan(0);
    expect(last.holders.every((holder) => holder !== null)).toBe(true);
  }
  // Gateways with another key have slots of their own.
  const stranger = await membershipOf(memberNamed("a", `0x${"cd".repeat(20)}`));
  expect(heldBy(await takeAll(stranger, "a"), "a")).toHaveLength(SLOTS);
});

test("a gateway that does not hold a device writes nothing for it, neither payment, nor offer, nor deposit", async () => {
  const [a, b] = await Promise.all([membershipOf(memberNamed("a")), membershipOf(memberNamed("b"))]);
  const [ofA, ofB] = await Promise.all([ledgerOf(memberNamed("a")), ledgerOf(memberNamed("b"))]);
  await takeAll(a, "a");
  await ofA.recordPayment(paymentNumbered(0), channelNumbered(0));
  const others = "expected this gateway to hold it, found another one or none";
  await expect(ofB.recordPayment(paymentNumbered(1), channelNumbered(1))).rejects.toThrow(others);

  const bench = newBench({ depositAtomic: 1000 });
  const key = newKey();
  const channel = await openChannelOf(bench, key);
  await expect(ofB.saveDevice(deviceOf(key))).rejects.toThrow(others);
  await expect(intendDeposit(bench.parts({ ledger: ofB }), channel, 1000)).rejects.toThrow(others);
  expect(await intendDeposit(bench.parts({ ledger: ofA }), channel, 1000)).toMatchObject({ index: 0 });

  // After its lease a holder may not write, even if it does not know; taken over, the roles are changed.
  await endLease("a");
  await expect(ofA.recordPayment(paymentNumbered(1), channelNumbered(1))).rejects.toThrow(others);
  await takeAll(b, "b");
  await ofB.recordPayment(paymentNumbered(1), channelNumbered(1));
  await takeNothing(a);
  await expect(ofA.recordPayment(paymentNumbered(2), channelNumbered(2))).rejects.toThrow(others);
  const rows = await postgres.query("SELECT max_claimable FROM payment ORDER BY max_claimable");
  expect(rows.map((row) => Number(row.max_claimable))).toEqual(
    [0, 1].map((n) => paymentNumbered(n).maxClaimable),
  );
});

test("in one transaction writes for devices held here pass, and the others fail alone", async () => {
  const membership = await membershipOf(memberNamed("a"));
  const ledger = await ledgerOf(memberNamed("a"));
  const devices = Array.from({ length: 40 }, () => deviceOf(newKey()));
  const isOdd = ({ device }: { readonly device: string }) => slotOf(device) % 2 === 1;
  await membership.turn(PRESENT, ({ holders }) =>
    holders.map((_, slot) => slot).filter((slot) => slot % 2 === 1),
  );
  const outcomes = await Promise.allSettled(devices.map((device) => ledger.saveDevice(device)));
  expect(outcomes.map(({ status }) => status === "fulfilled")).toEqual(devices.map(isOdd));
  expect(new Set((await ledger.devices()).map(({ device }) => device))).toEqual(
    new Set(devices.filter(isOdd).map(({ device }) => device)),
  );
});

test("a gateway that stalls in the middle of a write keeps no other waiting, and its write is undone", async () => {
  const [a, b] = await Promise.all([membershipOf(memberNamed("a")), membershipOf(memberNamed("b"))]);
  await takeAll(a, "a");
  const device = deviceOf(newKey());
  const pool = openPool(options(), {
    connectionsMax: 1,
    connectTimeoutMs: 1_000,
    statementTimeoutMs: 10_000,
  });
  let since = 0;
  const stalled = inTransaction(pool, 1, async (client) => {
    expect(await fencingCheckOf(memberNamed("a"))(client, [device.device])).toEqual(new Set([device.device]));
    since = performance.now();
    // What a stopped process does: nothing, with its transaction open.
    await new Promise((resolve) => setTimeout(resolve, 3 * STALLED_WRITE_MS));
    await client.query("COMMIT");
  });
  const undone = expect(stalled).rejects.toThrow();
  await expect.poll(() => since, { timeout: 5_000 }).toBeGreaterThan(0);
  await endLease("a");
  // The slots' rows are shared by the write that passed: they change hands after it, or after its end by force.
  let view: MembershipView | null = null;
  while (view === null) view = await takeAll(b, "b").catch(() => null);
  const waitedMs = performance.now() - since;
  expect(heldBy(view, "b")).toHaveLength(SLOTS);
  expect(waitedMs).toBeGreaterThan(STALLED_WRITE_MS - 500);
  expect(waitedMs).toBeLessThan(3 * STALLED_WRITE_MS);
  await undone;
  await pool.end();
});
