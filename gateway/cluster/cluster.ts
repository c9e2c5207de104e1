/**
 * One gateway among several: whose payments it takes, and when it stops.
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
 *      that slot and lease are still there, by the database's clock (postgres-membership.ts, `fencingCheckOf`). A
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
 * Promise: bounded turns, one at a time; a member without database or broker serves no device and recovers
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

interface ClusterParts {
  readonly membership: Membership;
  readonly member: string;
  /** How the broker delivers; null while it is away, or has not shown yet. */
  readonly delivery: () => Delivery | null;
  /** Subscribes to messages that way; null: to none. Called again when slots came, for what is retained. */
  readonly subscribe: (delivery: Delivery | null) => void;
  /** Ends the work for devices that another member serves from now on, and forgets them. */
  readonly leave: (isTheirs: (device: string) => boolean) => Promise<void>;
  readonly note: Logger;
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
}

export interface Cluster {
  /** Whether a message of this device may be taken. */
  takes(device: string): boolean;
  /** Whether work on a message that was taken may be finished. */
  holds(device: string): boolean;
  /** The member to hand a message to; null when none is known to take it. */
  holderOf(device: string): string | null;
  status(): ClusterStatus;
  /** Gives everything up. Call it when no work is under way. */
  close(): Promise<void>;
}

/** Why a member cannot do its work as it should; empty when it can, as a standby too. */
export function clusterTrouble({ state, members, leaseLeftSeconds }: ClusterStatus): string {
  if (state === "lapsed")
    return "the lease has ended: the membership in the ledger's database is out of reach";
  const isSilent = state === "standby" && !members.some(({ isLive, slots }) => isLive && slots > 0);
  if (isSilent) return "no gateway serves any device";
  const isShort = leaseLeftSeconds !== null && leaseLeftSeconds * 1000 < STOP_MS - 3 * TURN_MS;
  return isShort ? "the lease has not been renewed for seconds" : "";
}

/** The cluster of a gateway that shares its fleet with no other. */
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

/** Has its first turn before it resolves; a membership out of reach is logged and asked again. */
export async function joinCluster(parts: ClusterParts): Promise<Cluster> {
  const joined = new JoinedCluster(parts);
  await joined.start();
  return joined;
}

class JoinedCluster implements Cluster {
  readonly #parts: ClusterParts;
  #view: MembershipView = { members: [], holders: [] };
  /** Slots held, as the last good turn showed. */
  #held: ReadonlySet<number> = new Set();
  /** Slots to be given up: false until their work has ended. */
  readonly #leaving = new Map<number, boolean>();
  /** Slots that are lost and whose work has not ended: not to be claimed before. */
  readonly #clearing = new Set<number>();
  #renewed: { readonly monotonicMs: number; readonly wallMs: number } | null = null;
  #subscribed: Delivery | null = null;
  #delivery: Delivery = "whole";
  #connectedMs = Number.NEGATIVE_INFINITY;
  #takeovers = 0;
  #hasLapsed = false;
  #turning: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    await this.#takeTurn();
    this.#timer = setInterval(() => {
      this.#checkLapse();
      this.#turnSoon();
    }, TURN_MS);
  }

  takes(device: string): boolean {
    return this.holds(device) && !this.#leaving.has(slotOf(device));
  }

  holds(device: string): boolean {
    return this.#held.has(slotOf(device)) && this.#leaseLeftMs() > 0;
  }

  holderOf(device: string): string | null {
    const holder = this.#view.holders[slotOf(device)] ?? null;
    return holder === this.#parts.member ? null : holder;
  }

  status(): ClusterStatus {
    const { members, holders } = this.#view;
    const leftMs = this.#leaseLeftMs();
    const heldState = this.#held.size > 0 ? "active" : "standby";
    return {
      state: leftMs === 0 ? "lapsed" : heldState,
      leaseLeftSeconds: leftMs / 1000,
      slots: leftMs > 0 ? this.#held.size : 0,
      slotsOfAll: holders.length,
      takeovers: this.#takeovers,
      members: members.map(({ leaseLeftMs: _, ...shown }) => ({
        ...shown,
        isSelf: shown.member === this.#parts.member,
        slots: holders.filter((holder) => holder === shown.member).length,
      })),
    };
  }

  async close(): Promise<void> {
    const { membership, note } = this.#parts;
    clearInterval(this.#timer);
    this.#isClosed = true;
    this.#parts.subscribe(null);
    await this.#turning;
    this.#renewed = null;
    await membership.leave().catch((error) => {
      note("warn", "the membership could not be given up; others take over when the lease ends", {
        reason: error instanceof Error ? error.message : String(error),
      });
    });
    await membership.close();
  }

  #leaseLeftMs(): number {
    if (this.#renewed === null) return 0;
    const { monotonicMs, wallMs } = this.#parts;
    const ranMs = Math.max(monotonicMs() - this.#renewed.monotonicMs, wallMs() - this.#renewed.wallMs);
    return Math.max(0, STOP_MS - ranMs);
  }

  async #turn(): Promise<void> {
    const { membership, member, note, monotonicMs, wallMs } = this.#parts;
    const asked = { monotonicMs: monotonicMs(), wallMs: wallMs() };
    const delivery = this.#parts.delivery();
    if (delivery !== null) [this.#delivery, this.#connectedMs] = [delivery, asked.monotonicMs];
    const hears = asked.monotonicMs - this.#connectedMs < DEAF_GRACE_MS;
    const releases = [...this.#leaving].filter(([, isDone]) => isDone).map(([slot]) => slot);
    let fresh = 0;
    let vanished = 0;
    try {
      this.#view = await membership.turn({ delivery: this.#delivery, hears, releases }, (seen) => {
        // A slot held before and free now was another's meanwhile: its state here is old, and is cleared first.
        const claims = wishOf(seen, { member }).claims.filter(
          (slot) => !this.#clearing.has(slot) && !this.#held.has(slot),
        );
        fresh = claims.length;
        vanished = claims.filter((slot) => seen.holders[slot] !== null).length;
        return claims;
      });
      this.#renewed = asked;
    } catch (error) {
      note("warn", "the cluster's membership cannot be reached; payments are taken until the lease ends", {
        leaseLeftSeconds: this.#leaseLeftMs() / 1000,
        reason: error instanceof Error ? error.message : String(error),
      });
      return this.#checkLapse();
    }
    this.#checkLapse();
    this.#takeovers += vanished;
    if (vanished > 0) note("warn", "devices of a gateway that vanished are taken over", { slots: vanished });
    for (const slot of releases) this.#leaving.delete(slot);
    this.#agree(new Set(releases));
    const wanted = this.#held.size > 0 ? this.#delivery : null;
    if (wanted !== this.#subscribed || fresh > 0) this.#parts.subscribe(wanted);
    this.#subscribed = wanted;
  }

  /** Makes the slots held here agree with the membership, and ends the work of those that are lost or to be left. */
  #agree(released: ReadonlySet<number>): void {
    const { member } = this.#parts;
    const before = [...this.#held].filter((slot) => !released.has(slot));
    this.#held = new Set(this.#view.holders.flatMap((holder, slot) => (holder === member ? [slot] : [])));
    const lost = before.filter((slot) => !this.#held.has(slot) && !this.#clearing.has(slot));
    for (const slot of lost) {
      this.#leaving.delete(slot);
      this.#clearing.add(slot);
    }
    this.#endWork(lost, () => {
      for (const slot of lost) this.#clearing.delete(slot);
    });
    const leaves = wishOf(this.#view, { member }).leaves.filter((slot) => !this.#leaving.has(slot));
    for (const slot of leaves) this.#leaving.set(slot, false);
    this.#endWork(leaves, () => {
      for (const slot of leaves) if (this.#leaving.has(slot)) this.#leaving.set(slot, true);
      this.#turnSoon();
    });
  }

  #endWork(slots: readonly number[], done: () => void): void {
    if (slots.length === 0) return;
    const ended = new Set(slots);
    const work = this.#parts.leave((device) => ended.has(slotOf(device))).then(done);
    detach(work, noteFailure(this.#parts.note, "ending the work of devices given up"));
  }

  /** Leaves the subscription when the lease has ended, and logs it; logs also that it is renewed. */
  #checkLapse(): void {
    const { note } = this.#parts;
    const isLapsed = this.#held.size > 0 && this.#leaseLeftMs() === 0;
    if (isLapsed === this.#hasLapsed) return;
    this.#hasLapsed = isLapsed;
    if (isLapsed) {
      // Out of the shared subscription: no message that it brings here could be taken.
      this.#parts.subscribe(null);
      this.#subscribed = null;
      note("warn", "the lease has ended: no payment is taken until the membership is reached again", {});
    } else note("info", "the lease is renewed: payments are taken again", {});
  }

  /** One at a time: a caller during a turn waits for the end of the same. */
  #takeTurn(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#turning ??= this.#turn().finally(() => {
      this.#turning = null;
    });
    return this.#turning;
  }

  #turnSoon(): void {
    detach(this.#takeTurn(), noteFailure(this.#parts.note, "taking a turn at the cluster's membership"));
  }
}
