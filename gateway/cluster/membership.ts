/**
 * Which gateway serves which devices, when several share a fleet: the membership, and the rule by which each
 * member finds its part.
 *
 * The fleet is cut into slots by the device's address, and a slot has at most one holder. The membership is
 * one table with one clock (PostgreSQL's), and members take turns at it one at a time, so two members never
 * hold one slot. Which member should hold a slot is only a wish, made by each member for itself from its view:
 * members with different views for a moment differ in their wishes, never in the slots they hold.
 *
 * Promise: no socket, clock or chance in here; a wish claims only free slots.
 */
import { createHash } from "node:crypto";

/** Enough for an even share among a handful of members, few enough to be one small table. */
export const SLOTS = 64;

/** How a broker brings messages to members: one of them gets each ("shared"), or each gets all ("whole"). */
export type Delivery = "shared" | "whole";

export interface Member {
  /** Unique for every start of a program: a gateway that was killed and started again is another member. */
  readonly member: string;
  /** As its operator calls it. */
  readonly name: string;
  readonly delivery: Delivery;
  /** Whether it is connected to the broker. */
  readonly hears: boolean;
  /** Whether its lease has not ended. */
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

/** The one table. Every call rejects, within a bound, while it cannot be reached. */
export interface Membership {
  /**
   * Renews the lease, gives up slots, shows the membership, and takes the free slots that `claim` names: one
   * turn, during which no other member has one.
   * @param claim decides at once
   * @returns the membership after the turn
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

interface Wish {
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
  const connected = [...live.values()].filter(({ hears }) => hears);
  const self = live.get(me.member);
  if (self === undefined) return { claims: [], leaves: [] };
  // A member cut off from the broker can serve no device; where none is connected, moving slots gains nothing.
  if (!self.hears) return { claims: [], leaves: connected.length > 0 ? mine : [] };
  if (self.delivery === "whole") {
    const holding = new Set(holders);
    const others = connected.filter(({ member }) => member !== me.member && holding.has(member));
    // Slots still spread from a time when the broker shared gather: at members that share, or at the first by name.
    const isFirst = others.every(({ member, delivery }) => delivery === "whole" && me.member < member);
    if (others.length > 0 && !(mine.length > 0 && isFirst)) return { claims: [], leaves: mine };
    return { claims: slots.filter(isFree), leaves: [] };
  }
  const sharing = connected.filter(({ delivery }) => delivery === "shared").map(({ member }) => member);
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
