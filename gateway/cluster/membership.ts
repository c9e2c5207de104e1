/**
 * Who serves which devices, when several gateways share a fleet: the roster and the rule by which a
 * member reads its part off it.
 *
 * The fleet is cut into slots by the device's address, and a slot has at most one holder. The roster is
 * one place with one clock (PostgreSQL's), and whoever looks at it does so alone, so two members never
 * hold one slot. Who should hold what is only a wish, made by each member for itself from what it sees:
 * members that see different things for a moment differ in what they wish, never in what is held.
 *
 * Promise: no socket, clock or chance in here; a wish claims only what is free.
 */
import { createHash } from "node:crypto";

/** Enough for an even share among a handful of members, few enough to be one small table. */
export const SLOTS = 64;

/** How a broker brings messages to members: one of them gets each ("shared"), or everyone gets all ("whole"). */
export type Delivery = "shared" | "whole";

export interface Member {
  /** Unique for every start of a program: a gateway that was killed and started again is another member. */
  readonly member: string;
  /** As its operator calls it. */
  readonly name: string;
  readonly delivery: Delivery;
  /** Is it connected to the broker? */
  readonly hears: boolean;
  /** Has its lease not ended? */
  readonly isLive: boolean;
  /** What is left of its lease, milliseconds; 0 when it ended. */
  readonly leaseLeftMs: number;
}

export interface MembershipView {
  /** Those whose lease ended not long ago too. */
  readonly members: readonly Member[];
  /** Holder of each slot, live or not; null: free. */
  readonly holders: readonly (string | null)[];
}

/** What a member writes at its turn. */
export interface Presence {
  readonly delivery: Delivery;
  readonly hears: boolean;
  /** Slots whose work it has ended. */
  readonly releases: readonly number[];
}

/** The one place. Every call rejects, within a bound, while it cannot be reached. */
export interface Membership {
  /**
   * Renews the lease, gives up slots, shows the roster, and takes the free slots that `claim` names: one
   * turn, during which nobody else has theirs.
   * @param claim decides at once
   * @returns the roster after the turn
   */
  turn(presence: Presence, claim: (view: MembershipView) => readonly number[]): Promise<MembershipView>;
  /** Gives up everything, so that others need not wait for the lease to end. */
  leave(): Promise<void>;
  close(): Promise<void>;
}

/** @param device 40 lower-case hex digits: the end of a hash, so every slot gets its share */
export function slotOf(device: string): number {
  return Number.parseInt(device.slice(-4), 16) % SLOTS;
}

export interface Wish {
  readonly claims: readonly number[];
  /** Held slots that another member should have. */
  readonly leaves: readonly number[];
}

/** What a member should take and give up, seeing this. */
export function wishOf({ members, holders }: MembershipView, me: Pick<Member, "member">): Wish {
  const live = new Map(members.filter(({ isLive }) => isLive).map((member) => [member.member, member]));
  const isFree = (slot: number) => !live.has(holders[slot] ?? "");
  const slots = holders.map((_, slot) => slot);
  const mine = slots.filter((slot) => holders[slot] === me.member);
  const hearing = [...live.values()].filter(({ hears }) => hears);
  const self = live.get(me.member);
  if (self === undefined) return { claims: [], leaves: [] };
  // Who is cut off from the broker can serve nobody; where nobody hears, nothing is won by moving.
  if (!self.hears) return { claims: [], leaves: hearing.length > 0 ? mine : [] };
  if (self.delivery === "whole") {
    const holding = new Set(holders);
    const others = hearing.filter(({ member }) => member !== me.member && holding.has(member));
    // Parts of a time when the broker shared come together: with those who share, or with the first by name.
    const isFirst = others.every(({ member, delivery }) => delivery === "whole" && me.member < member);
    if (others.length > 0 && !(mine.length > 0 && isFirst)) return { claims: [], leaves: mine };
    return { claims: slots.filter(isFree), leaves: [] };
  }
  const sharing = hearing.filter(({ delivery }) => delivery === "shared").map(({ member }) => member);
  const isWanted = (slot: number) => preferred(slot, sharing) === me.member;
  return {
    claims: slots.filter((slot) => isFree(slot) && isWanted(slot)),
    leaves: mine.filter((slot) => !isWanted(slot)),
  };
}

/** Rendezvous hashing: when a member comes or goes, only its own part moves. */
function preferred(slot: number, members: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestWeight = "";
  for (const member of members) {
    const weight = createHash("sha256").update(`${slot} ${member}`).digest("hex");
    if (weight > bestWeight) [best, bestWeight] = [member, weight];
  }
  return best;
}
