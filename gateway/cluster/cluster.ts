/**
 * One gateway's duty among several: whose payments it takes, and when it stops.
 *
 * A broker's shared subscription scatters one device's messages over all members, and a device's purchases
 * must be handled one after the other, by one gateway that remembers its channel. So messages are shared
 * and devices are owned: the fleet is cut into slots, a slot is held by one member under a lease in the
 * ledger's PostgreSQL, and a member that gets a message of another's device hands it over through the
 * broker. Where the broker does not really share, one member holds all slots and the others stand by:
 * the same rule with one part. What keeps money safe, outermost first:
 *
 *   1. `takes` and `holds` are asked before a message is taken, a payment presented, an answer published.
 *      They end STOP_MS after the last renewal was *asked for*, by the monotonic and by the wall clock,
 *      whichever ran farther: an event loop that stalled finds its lease over before it does anything,
 *      and so does a machine that was suspended.
 *   2. Every write to the ledger, and every deposit before it is signed away, proves in its own transaction
 *      that slot and lease are still there, by the database's clock (postgres-roster.ts, `fenceOf`). A
 *      gateway whose clocks stall too can store nothing, and a slot is not given to another while such a
 *      transaction is open.
 *   3. Another member takes a slot only when it was given up after its last purchase ended, or when the
 *      lease is over by the database's clock: within TAKEOVER_MAX_MS. It then reads the ledger anew.
 *   4. A payment that was with the seller when its gateway died, stalled or lost the database may be shown
 *      to the seller again by the next one. It is the same voucher: the seller charges a rung once (M3). A
 *      deposit is its index: the token moves it once, and a next index is only opened on the balance as
 *      it is (purchase/deposit.ts).
 *
 * Nothing is acknowledged late: a PUBACK is no receipt, and the device presents its rung again until a grant
 * comes, so a message lost with its gateway costs one repetition. (mqtt.js would also read no further
 * message before the one at hand is acknowledged: one payment at a time.)
 *
 * Promise: bounded turns, one at a time; a member without database or broker serves nobody and recovers
 * by itself.
 */

import { detach } from "#core/detach";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { Logger } from "../purchase/ports.ts";
import type { ClusterStatus } from "./cluster-status.ts";
import { type Delivery, type Membership, type MembershipView, slotOf, wishOf } from "./membership.ts";

/** By the database's clock, from each renewal. */
export const LEASE_MS = 7_000;
/** A holder stops so long after it asked for its last renewal: before the lease ends. */
export const STOP_MS = 5_500;
export const TURN_MS = 1_000;
/** A transaction of a gateway that stalled in its middle is undone after this. */
export const STALLED_WRITE_MS = 2_000;
/** Longest that the devices of a member that vanished wait for another. */
export const TAKEOVER_MAX_MS = LEASE_MS + TURN_MS + STALLED_WRITE_MS;

/** A broker away for less is no reason to move devices. */
const DEAF_GRACE_MS = 3_000;

export interface ClusterParts {
  readonly roster: Membership;
  readonly member: string;
  /** How the broker delivers; null while it is away, or has not shown yet. */
  readonly delivery: () => Delivery | null;
  /** Asks the broker for messages that way; null: for none. Called again when slots came, for what is retained. */
  readonly hear: (delivery: Delivery | null) => void;
  /** Ends the work for devices that another member serves from now on, and forgets them. */
  readonly leave: (isTheirs: (device: string) => boolean) => Promise<void>;
  readonly note: Logger;
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
}

export interface Cluster {
  /** May a message of this device be taken? */
  takes(device: string): boolean;
  /** May what was taken be finished? */
  holds(device: string): boolean;
  /** The member to hand a message to; null when nobody is known to take it. */
  holderOf(device: string): string | null;
  status(): ClusterStatus;
  /** Gives everything up. Call it when no work is under way. */
  close(): Promise<void>;
}

/** Why a member cannot do its work as it should; empty when it can, standing by included. */
export function clusterTrouble({ state, members, leaseLeftSeconds }: ClusterStatus): string {
  if (state === "lapsed")
    return "the lease has ended: the duty roster in the ledger's database is out of reach";
  const isSilent = state === "standby" && !members.some(({ isLive, slots }) => isLive && slots > 0);
  if (isSilent) return "no gateway has the duty of any device";
  const isShort = leaseLeftSeconds !== null && leaseLeftSeconds * 1000 < STOP_MS - 3 * TURN_MS;
  return isShort ? "the lease has not been renewed for seconds" : "";
}

/** The duty of a gateway that shares its fleet with nobody. */
export const SOLE_MEMBER: Cluster = {
  takes: () => true,
  holds: () => true,
  holderOf: () => null,
  status: () => ({
    state: "sole",
    leaseLeftSeconds: null,
    slots: 1,
    slotsOfAll: 1,
    takeovers: 0,
    members: [],
  }),
  close: async () => {},
};

/** Has its first turn before it resolves; a roster out of reach is noted and asked again. */
export async function joinCluster(parts: ClusterParts): Promise<Cluster> {
  const { roster, member, note, monotonicMs, wallMs } = parts;
  let view: MembershipView = { members: [], holders: [] };
  /** Held, as the last good turn showed. */
  let held: ReadonlySet<number> = new Set();
  /** To be given up: false until their work has ended. */
  const leaving = new Map<number, boolean>();
  /** Lost, and their work not ended yet: not to be claimed before. */
  const clearing = new Set<number>();
  let renewed: { readonly monotonicMs: number; readonly wallMs: number } | null = null;
  let hearing: Delivery | null = null;
  let delivery: Delivery = "whole";
  let heardMs = Number.NEGATIVE_INFINITY;
  let takeovers = 0;
  let hasLapsed = false;
  let turning: Promise<void> | null = null;
  let isClosed = false;

  function leaseLeftMs(): number {
    if (renewed === null) return 0;
    const ranMs = Math.max(monotonicMs() - renewed.monotonicMs, wallMs() - renewed.wallMs);
    return Math.max(0, STOP_MS - ranMs);
  }

  async function turn(): Promise<void> {
    const asked = { monotonicMs: monotonicMs(), wallMs: wallMs() };
    const heard = parts.delivery();
    if (heard !== null) [delivery, heardMs] = [heard, asked.monotonicMs];
    const hears = asked.monotonicMs - heardMs < DEAF_GRACE_MS;
    const releases = [...leaving].filter(([, isDone]) => isDone).map(([slot]) => slot);
    let fresh = 0;
    let vanished = 0;
    try {
      view = await roster.turn({ delivery, hears, releases }, (seen) => {
        // What was held and is free was another's meanwhile: what is remembered of it is old, and goes first.
        const claims = wishOf(seen, { member }).claims.filter(
          (slot) => !clearing.has(slot) && !held.has(slot),
        );
        fresh = claims.length;
        vanished = claims.filter((slot) => seen.holders[slot] !== null).length;
        return claims;
      });
      renewed = asked;
    } catch (error) {
      note("warn", "the duty roster cannot be reached; payments are taken until the lease ends", {
        leaseLeftSeconds: leaseLeftMs() / 1000,
        reason: error instanceof Error ? error.message : String(error),
      });
      return tellLapse();
    }
    tellLapse();
    takeovers += vanished;
    if (vanished > 0) note("warn", "devices of a gateway that vanished are taken over", { slots: vanished });
    for (const slot of releases) leaving.delete(slot);
    settle(new Set(releases));
    const wanted = held.size > 0 ? delivery : null;
    if (wanted !== hearing || fresh > 0) parts.hear(wanted);
    hearing = wanted;
  }

  /** Makes what is remembered agree with the roster. */
  function settle(released: ReadonlySet<number>): void {
    const before = [...held].filter((slot) => !released.has(slot));
    held = new Set(view.holders.flatMap((holder, slot) => (holder === member ? [slot] : [])));
    const lost = before.filter((slot) => !held.has(slot) && !clearing.has(slot));
    for (const slot of lost) leaving.delete(slot);
    endWork(lost, clearing, () => {
      for (const slot of lost) clearing.delete(slot);
    });
    const leaves = wishOf(view, { member }).leaves.filter((slot) => !leaving.has(slot));
    for (const slot of leaves) leaving.set(slot, false);
    endWork(leaves, null, () => {
      for (const slot of leaves) if (leaving.has(slot)) leaving.set(slot, true);
      turnSoon();
    });
  }

  function endWork(slots: readonly number[], marks: Set<number> | null, done: () => void): void {
    if (slots.length === 0) return;
    for (const slot of slots) marks?.add(slot);
    const set = new Set(slots);
    const work = parts.leave((device) => set.has(slotOf(device))).then(done);
    detach(work, noteFailure(note, "ending the work of devices given up"));
  }

  function tellLapse(): void {
    const isLapsed = held.size > 0 && leaseLeftMs() === 0;
    if (isLapsed === hasLapsed) return;
    hasLapsed = isLapsed;
    if (isLapsed) {
      // Out of the shared subscription: what would come this way nobody here may take.
      parts.hear(null);
      hearing = null;
      note("warn", "the lease has ended: no payment is taken until the roster is reached again", {});
    } else note("info", "the lease is renewed: payments are taken again", {});
  }

  /** One at a time: who asks while one is under way waits for the same. */
  function takeTurn(): Promise<void> {
    if (isClosed) return Promise.resolve();
    turning ??= turn().finally(() => {
      turning = null;
    });
    return turning;
  }

  function turnSoon(): void {
    detach(takeTurn(), noteFailure(note, "taking a turn at the duty roster"));
  }

  await takeTurn();
  const timer = setInterval(() => {
    tellLapse();
    turnSoon();
  }, TURN_MS);

  const isHeld = (slot: number) => held.has(slot) && leaseLeftMs() > 0;

  function state(): ClusterStatus["state"] {
    if (leaseLeftMs() === 0) return "lapsed";
    return held.size > 0 ? "active" : "standby";
  }

  return {
    takes(device) {
      const slot = slotOf(device);
      return isHeld(slot) && !leaving.has(slot);
    },
    holds: (device) => isHeld(slotOf(device)),
    holderOf(device) {
      const holder = view.holders[slotOf(device)] ?? null;
      return holder === member ? null : holder;
    },
    status: () => ({
      state: state(),
      leaseLeftSeconds: leaseLeftMs() / 1000,
      slots: leaseLeftMs() > 0 ? held.size : 0,
      slotsOfAll: view.holders.length,
      takeovers,
      members: view.members.map(({ leaseLeftMs: _, ...shown }) => ({
        ...shown,
        isSelf: shown.member === member,
        slots: view.holders.filter((holder) => holder === shown.member).length,
      })),
    }),
    async close() {
      clearInterval(timer);
      isClosed = true;
      parts.hear(null);
      await turning;
      renewed = null;
      await roster.leave().catch((error) => {
        note("warn", "the duty roster could not be told; others take over when the lease ends", {
          reason: error instanceof Error ? error.message : String(error),
        });
      });
      await roster.close();
    },
  };
}
