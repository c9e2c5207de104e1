// The membership in memory, with the promises of the one in PostgreSQL: one turn at a time, one clock.

import { LEASE_MS } from "#gateway/cluster/cluster";
import type { Membership, MembershipView, Presence } from "#gateway/cluster/membership";
import { SLOTS } from "#gateway/cluster/membership";

interface Row extends Presence {
  readonly member: string;
  untilMs: number;
}

export class MemoryMembership {
  readonly #rows = new Map<string, Row>();
  readonly holders: (string | null)[] = Array.from({ length: SLOTS }, () => null);
  readonly #nowMs: () => number;
  /** Members that cannot reach it. */
  readonly cutOff = new Set<string>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** What the fencing check of the ledger would answer. */
  mayWrite(member: string, slot: number): boolean {
    return this.holders[slot] === member && (this.#rows.get(member)?.untilMs ?? 0) > this.#nowMs();
  }

  of(member: string): Membership {
    const reach = () => {
      if (this.cutOff.has(member)) throw new Error("the database does not answer");
    };
    return {
      turn: async (presence, claim) => {
        reach();
        this.#rows.set(member, { ...presence, member, untilMs: this.#nowMs() + LEASE_MS });
        for (const slot of presence.releases) if (this.holders[slot] === member) this.holders[slot] = null;
        for (const slot of claim(this.view())) this.holders[slot] = member;
        return this.view();
      },
      leave: async () => {
        reach();
        this.#rows.delete(member);
        for (const [slot, holder] of this.holders.entries()) if (holder === member) this.holders[slot] = null;
      },
      close: async () => {},
    };
  }

  view(): MembershipView {
    const members = [...this.#rows.values()].map(({ member, delivery, hears, untilMs }) => {
      const leaseLeftMs = Math.max(0, untilMs - this.#nowMs());
      return { member, name: member, delivery, hears, isLive: leaseLeftMs > 0, leaseLeftMs };
    });
    return { members, holders: [...this.holders] };
  }
}
