// Members of one cluster, in one virtual time: never two that take one device's payments, and soon one again.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  type Cluster,
  clusterTrouble,
  joinCluster,
  LEASE_MS,
  STOP_MS,
  TAKEOVER_MAX_MS,
  TURN_MS,
} from "#gateway/cluster/cluster";
import { type Delivery, SLOTS, slotOf } from "#gateway/cluster/membership";
import { MemoryMembership } from "./memory-membership.ts";

const DEVICES = Array.from({ length: SLOTS }, (_, slot) => slot.toString(16).padStart(40, "0"));
const STEP_MS = 100;

let membership: MemoryMembership;
let members: Member[];
beforeEach(() => {
  vi.useFakeTimers();
  membership = new MemoryMembership(() => Date.now());
  members = [];
});
afterEach(async () => {
  for (const { cluster } of members) await cluster.close();
  vi.useRealTimers();
});

interface Member {
  readonly name: string;
  readonly cluster: Cluster;
  delivery: Delivery | null;
  subscribed: Delivery | null;
  /** What its clocks are ahead of the world's, milliseconds. */
  aheadMs: number;
  /** Ends with the work for devices that left. */
  finish: () => Promise<void>;
  left: number;
  readonly notes: string[];
}

async function join(name: string, delivery: Delivery | null = "shared"): Promise<Member> {
  const member: Omit<Member, "cluster"> & { cluster: Cluster | null } = {
    name,
    cluster: null,
    delivery,
    subscribed: null,
    aheadMs: 0,
    finish: async () => {},
    left: 0,
    notes: [],
  };
  member.cluster = await joinCluster({
    membership: membership.of(name),
    member: name,
    delivery: () => member.delivery,
    subscribe: (wanted) => {
      member.subscribed = wanted;
    },
    leave: async (isTheirs) => {
      member.left += DEVICES.filter(isTheirs).length;
      await member.finish();
    },
    note: (_level, text) => member.notes.push(text),
    monotonicMs: () => Date.now() + member.aheadMs,
    wallMs: () => Date.now(),
  });
  members.push(member as Member);
  return member as Member;
}

/** Advances the time, and checks all the while that no device has two takers, and none that could not write. */
async function pass(totalMs: number): Promise<void> {
  for (let passedMs = 0; passedMs < totalMs; passedMs += STEP_MS) {
    await vi.advanceTimersByTimeAsync(STEP_MS);
    const wrong = DEVICES.filter((device) => {
      const takers = members.filter(({ cluster }) => cluster.takes(device));
      const isTheirs = takers.every(
        ({ name, cluster }) => cluster.holds(device) && membership.mayWrite(name, slotOf(device)),
      );
      return takers.length > 1 || !isTheirs;
    });
    expect(wrong).toEqual([]);
  }
}

const taken = ({ cluster }: Member) => DEVICES.filter((device) => cluster.takes(device)).length;

test("members that share have a part each, hand over the rest to its holder, and leave no device unserved", async () => {
  const a = await join("a");
  expect([taken(a), a.subscribed]).toEqual([SLOTS, "shared"]);
  const b = await join("b");
  await pass(3 * TURN_MS);
  expect(taken(a)).toBeGreaterThan(SLOTS / 5);
  expect(taken(b)).toBeGreaterThan(SLOTS / 5);
  expect(taken(a) + taken(b)).toBe(SLOTS);
  for (const device of DEVICES)
    expect(a.cluster.takes(device) || a.cluster.holderOf(device) === "b").toBe(true);
  expect(a.left).toBe(taken(b));
  expect(a.cluster.status()).toMatchObject({ state: "active", takeovers: 0, slotsOfAll: SLOTS });
  await b.cluster.close();
  await pass(2 * TURN_MS);
  expect(taken(a)).toBe(SLOTS);
  expect(a.cluster.status().takeovers).toBe(0);
});

test("a member cut off from the database stops before its lease ends, and only then has its devices elsewhere", async () => {
  const [a, b] = [await join("a"), await join("b")];
  await pass(3 * TURN_MS);
  const ofA = DEVICES.filter((device) => a.cluster.takes(device));
  membership.cutOff.add("a");
  await pass(STOP_MS - TURN_MS - STEP_MS);
  expect(taken(a)).toBe(ofA.length);
  await pass(2 * TURN_MS);
  expect([taken(a), a.subscribed, a.cluster.status().state]).toEqual([0, null, "lapsed"]);
  expect(clusterTrouble(a.cluster.status())).toContain("lease has ended");
  await pass(TAKEOVER_MAX_MS - STOP_MS - TURN_MS);
  expect(taken(b)).toBe(SLOTS);
  expect(b.cluster.status().takeovers).toBe(ofA.length);
  membership.cutOff.delete("a");
  await pass(4 * TURN_MS);
  expect(taken(a) + taken(b)).toBe(SLOTS);
  expect(taken(a)).toBe(ofA.length);
  expect(a.left).toBeGreaterThanOrEqual(ofA.length);
  expect(clusterTrouble(a.cluster.status())).toBe("");
});

test("a part that others had meanwhile is taken again only after what was remembered of it is forgotten", async () => {
  const a = await join("a");
  const b = await join("b", null);
  await pass(2 * TURN_MS);
  membership.cutOff.add("a");
  b.delivery = "shared";
  await pass(TAKEOVER_MAX_MS);
  expect(taken(b)).toBe(SLOTS);
  // b served everything and is gone again before a sees the membership: to a it looks as if nothing had been.
  await b.cluster.close();
  let forget = () => {};
  a.finish = () =>
    new Promise((resolve) => {
      forget = resolve;
    });
  membership.cutOff.delete("a");
  await pass(3 * TURN_MS);
  expect([a.left, taken(a)]).toEqual([SLOTS, 0]);
  forget();
  await pass(2 * TURN_MS);
  expect(taken(a)).toBe(SLOTS);
});

test("a member that wakes from a stall finds its lease over before it does anything, by either clock", async () => {
  const a = await join("a");
  const b = await join("b", null);
  await pass(2 * TURN_MS);
  expect(taken(a)).toBe(SLOTS);
  // No timer has run, and one clock says that the lease is over.
  a.aheadMs = STOP_MS;
  expect(taken(a)).toBe(0);
  expect(DEVICES.some((device) => a.cluster.holds(device))).toBe(false);
  a.aheadMs = 0;
  vi.setSystemTime(Date.now() + LEASE_MS + 30_000);
  expect(taken(a)).toBe(0);
  b.delivery = "shared";
  await pass(2 * TURN_MS);
  expect(taken(a) + taken(b)).toBe(SLOTS);
});

test("a device moves only after its last purchase has ended where it was", async () => {
  const a = await join("a");
  let end = () => {};
  a.finish = () =>
    new Promise((resolve) => {
      end = resolve;
    });
  const b = await join("b");
  await pass(10 * TURN_MS);
  expect(taken(b)).toBe(0);
  const leaving = DEVICES.filter((device) => !a.cluster.takes(device));
  expect(leaving.length).toBeGreaterThan(SLOTS / 5);
  // What is under way may be finished, nothing new is taken.
  for (const device of leaving) expect(a.cluster.holds(device)).toBe(true);
  end();
  await pass(2 * TURN_MS);
  expect(DEVICES.filter((device) => b.cluster.takes(device))).toEqual(leaving);
});

test("where the broker does not share, one is active and the other stands by, without a broker no device moves", async () => {
  const [a, b] = [await join("a", "whole"), await join("b", "whole")];
  await pass(3 * TURN_MS);
  expect([taken(a), a.subscribed, taken(b), b.subscribed]).toEqual([SLOTS, "whole", 0, null]);
  expect([b.cluster.status().state, clusterTrouble(b.cluster.status())]).toEqual(["standby", ""]);
  // A blip moves nothing; a member without a broker hands over to one that has it.
  a.delivery = null;
  await pass(2 * TURN_MS);
  expect(taken(a)).toBe(SLOTS);
  await pass(4 * TURN_MS);
  expect([taken(a), taken(b)]).toEqual([0, SLOTS]);
  b.delivery = null;
  await pass(10 * TURN_MS);
  expect(taken(b)).toBe(SLOTS);
  membership.cutOff.add("b");
  a.delivery = "whole";
  await pass(TAKEOVER_MAX_MS);
  expect([taken(a), taken(b)]).toEqual([SLOTS, 0]);
});
