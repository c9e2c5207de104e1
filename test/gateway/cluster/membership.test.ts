// The rule by which members find their parts of the slots.

import fc from "fast-check";
import { expect, test } from "vitest";
import { type Member, type MembershipView, SLOTS, slotOf, wishOf } from "#gateway/cluster/membership";

const member = (name: string, instead: Partial<Member> = {}): Member => ({
  member: name,
  name,
  delivery: "shared",
  hears: true,
  isLive: true,
  leaseLeftMs: 1,
  ...instead,
});

const free = (): (string | null)[] => Array.from({ length: SLOTS }, () => null);

const NAMES = ["a", "b", "c", "d", "e"];
const anyMember = (name: string) =>
  fc
    .record({
      delivery: fc.constantFrom("shared" as const, "whole" as const),
      hears: fc.boolean(),
      isLive: fc.boolean(),
      there: fc.boolean(),
    })
    .map(({ there, ...instead }) => (there ? [member(name, instead)] : []));
const anyView: fc.Arbitrary<MembershipView> = fc.record({
  members: fc.tuple(...NAMES.map(anyMember)).map((found) => found.flat()),
  holders: fc.array(fc.constantFrom(null, ...NAMES), { minLength: SLOTS, maxLength: SLOTS }),
});

test("no member claims what a live one holds, gives up what it does not hold, or serves without a broker", () => {
  fc.assert(
    fc.property(anyView, fc.constantFrom(...NAMES), (view, me) => {
      const { claims, leaves } = wishOf(view, { member: me });
      const live = new Set(view.members.filter(({ isLive }) => isLive).map(({ member: name }) => name));
      for (const slot of claims) expect(live.has(view.holders[slot] ?? "")).toBe(false);
      for (const slot of leaves) expect(view.holders[slot]).toBe(me);
      const self = view.members.find(({ member: name }) => name === me);
      if (self === undefined || !self.isLive || !self.hears) expect(claims).toEqual([]);
    }),
  );
});

test("however members come and go, after a few rounds every slot has one holder that is connected, and nothing moves any more", () => {
  fc.assert(
    fc.property(anyView, (start) => {
      const holders = [...start.holders];
      const view = { members: start.members, holders };
      const round = () => {
        let moved = 0;
        for (const { member: me, isLive } of start.members) {
          if (!isLive) continue;
          const { claims, leaves } = wishOf(view, { member: me });
          for (const slot of leaves) holders[slot] = null;
          for (const slot of claims) holders[slot] = me;
          moved += claims.length + leaves.length;
        }
        return moved;
      };
      for (let rounds = 0; rounds < 6; rounds += 1) round();
      expect(round()).toBe(0);
      const connected = start.members.filter(({ isLive, hears }) => isLive && hears);
      const kinds = new Set(connected.map(({ delivery }) => delivery));
      if (connected.length === 0) return;
      const names = connected.map(({ member: name }) => name);
      for (const holder of holders) expect(names).toContain(holder);
      if (!kinds.has("shared")) expect(new Set(holders).size).toBe(1);
    }),
    { numRuns: 300 },
  );
});

test("among members that share, parts are of a like size, and one that leaves moves its own part alone", () => {
  const holding = (names: readonly string[]) => {
    const view = { members: names.map((name) => member(name)), holders: free() };
    for (const name of names)
      for (const slot of wishOf(view, { member: name }).claims) view.holders[slot] = name;
    return view.holders;
  };
  const three = holding(["a", "b", "c"]);
  for (const name of ["a", "b", "c"]) {
    const share = three.filter((holder) => holder === name).length;
    expect(share).toBeGreaterThan(SLOTS / 6);
    expect(share).toBeLessThan(SLOTS / 2);
  }
  const two = holding(["a", "b"]);
  for (const [slot, holder] of three.entries()) if (holder !== "c") expect(two[slot]).toBe(holder);
});

test("devices fall into all slots alike", () => {
  const counts = Array.from({ length: SLOTS }, () => 0);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 65_535 }), (end) => {
      const slot = slotOf(`${"0".repeat(36)}${end.toString(16).padStart(4, "0")}`);
      expect(Number.isInteger(slot) && slot >= 0 && slot < SLOTS).toBe(true);
    }),
  );
  for (let end = 0; end < 65_536; end += 1) counts[slotOf(end.toString(16).padStart(40, "0"))]! += 1;
  expect(new Set(counts)).toEqual(new Set([65_536 / SLOTS]));
});
