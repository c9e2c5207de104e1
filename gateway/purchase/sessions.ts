/**
 * All devices at once: which session a message belongs to, and how many may be under way.
 *
 * Promise: memory is bounded by the number of devices remembered, and work by the number of purchases
 * under way; what is over either bound is refused, not queued. Devices that left make room for those that come.
 */

import { countFailure, detach } from "#core/detach";
import type { Refusal } from "#core/refusal";
import { LEAVES, type Leaf } from "#protocol/topics";
import { noteFailure } from "./faults/note-failure.ts";
import type { Forward } from "./general/forward.ts";
import type { ChannelRecord, DeviceRecord } from "./ports.ts";
import {
  drop,
  makeOffer,
  openSession,
  proveHello,
  refuseOverloaded,
  type SessionParts,
  takePay,
  takeTelemetry,
} from "./session.ts";
import { type Session, SessionTable } from "./session-table.ts";

interface SessionLimits {
  /** Devices remembered at once. */
  readonly devicesMax: number;
  /** Purchases under way at once. */
  readonly purchasesMax: number;
  /** Whether a device is connected; absent with an external broker: there a silent device counts as absent. */
  readonly isConnected?: (device: string) => boolean;
}

/** With another price come other quanta, so an offer that was refused for its money may be taken now. */
const CURED_BY_ANOTHER_PRICE: ReadonlySet<string> = new Set<Refusal>([
  "price-above-ceiling",
  "quantum-above-limit",
  "budget-exhausted",
]);

export class Sessions {
  readonly #parts: SessionParts;
  readonly #forward: Forward;
  readonly #limits: SessionLimits;
  readonly #table: SessionTable;
  /** Sessions being read from the ledger: all messages that arrive meanwhile get the same one. */
  readonly #opening = new Map<string, Promise<Session | null>>();
  readonly #underWay = new Set<Promise<void>>();
  /** Work under way of each device. */
  readonly #busy = new Map<string, number>();
  #isOpen = true;

  constructor(parts: SessionParts, forward: Forward, limits: SessionLimits) {
    this.#parts = parts;
    this.#forward = forward;
    this.#limits = limits;
    this.#table = new SessionTable({
      isConnected: limits.isConnected ?? null,
      isBusy: (session) => this.#busy.has(session.record.device) || session.paying || session.offerWaits,
      now: parts.now,
    });
  }

  get size(): number {
    return this.#table.size;
  }

  /** That a device buys on; null before its first offer. */
  channelOf(device: string): ChannelRecord | null {
    return this.#table.get(device)?.channel ?? null;
  }

  receive(device: string, leaf: Leaf, payload: Uint8Array): void {
    if (!this.#isOpen) return;
    try {
      this.#take(device, leaf, payload);
    } catch (error) {
      // A message that a rule here did not foresee costs that message, and no other device.
      countFailure();
      drop(this.#parts, device, leaf, "malformed");
      noteFailure(this.#parts.note, "taking a message", { device, leaf })(error);
    }
  }

  /** Offers again to every device that waits for an offer, or should buy elsewhere, or what is on sale no more. */
  renewOffers(): void {
    for (const session of this.#table.values()) {
      if (!this.#isOpen || !this.#waitsForOffer(session)) continue;
      this.#track(session.record.device, makeOffer(this.#parts, session));
    }
  }

  /**
   * Finishes what is under way for devices that another gateway serves from now on, and forgets them; they send
   * again what they sent since. Resolves when nothing is under way for them here.
   */
  async leave(isTheirs: (device: string) => boolean): Promise<void> {
    const theirs = [...this.#table.values()].filter(({ record }) => isTheirs(record.device));
    await Promise.allSettled([...this.#underWay, ...theirs.map(({ turn }) => turn)]);
    for (const device of theirs.map(({ record }) => record.device)) {
      this.#table.delete(device);
      this.#parts.observe({ type: "released", device });
    }
  }

  /** Resolves when no purchase is under way; new ones are no longer taken. */
  async drain(): Promise<void> {
    this.#isOpen = false;
    await Promise.allSettled(this.#underWay);
  }

  #take(device: string, leaf: Leaf, payload: Uint8Array): void {
    const session = this.#table.get(device);
    if (session) this.#table.keep(session);
    if (leaf === "hello") this.#track(device, this.#takeHello(device, payload));
    else if (session) this.#deliver(session, leaf, payload);
    else if (!this.#isFull) this.#track(device, this.#takeFirst(device, leaf, payload));
    else {
      drop(this.#parts, device, leaf, "gateway-full");
      if (isGeneral(leaf)) this.#forward.refuse(device, payload, "overloaded");
    }
  }

  get #isFull(): boolean {
    return this.#underWay.size >= this.#limits.purchasesMax;
  }

  async #takeHello(device: string, payload: Uint8Array): Promise<void> {
    const parts = this.#parts;
    const { hello, error } = proveHello(parts, device, payload, this.#table.get(device));
    if (hello === null) {
      drop(parts, device, "hello", "wrong-tag");
      parts.note("warn", "a hello proves no device", { device, reason: error });
      return;
    }
    parts.counts.hellos += 1;
    const { v: _, register, ...described } = hello;
    const named = { pays: hello.pays ?? "", payee: (hello.payee ?? "").toLowerCase() };
    const record = { device, ...described, ...named };
    await parts.ledger.saveDevice(record);
    const session = this.#table.get(device) ?? (await this.#open(device, record));
    if (session === null) return drop(parts, device, "hello", "gateway-full");
    parts.observe({ type: "hello", device, hello });
    session.record = record;
    session.register = Math.max(session.register, register);
    await makeOffer(parts, session);
  }

  /** The first message since the gateway started of a device that is known. */
  async #takeFirst(device: string, leaf: Leaf, payload: Uint8Array): Promise<void> {
    const session = await this.#open(device, null);
    if (session !== null) return this.#deliver(session, leaf, payload);
    drop(this.#parts, device, leaf, "unknown-device");
    if (isGeneral(leaf)) this.#forward.refuse(device, payload, "unknown-device");
  }

  #deliver(session: Session, leaf: Leaf, payload: Uint8Array): void {
    const { device } = session.record;
    if (leaf === "pay") {
      if (this.#isFull) refuseOverloaded(this.#parts, session, payload);
      else this.#track(device, takePay(this.#parts, session, payload));
    } else if (leaf === "state" || leaf === "reading") {
      takeTelemetry(this.#parts, session, leaf, payload);
    } else if (isGeneral(leaf)) {
      if (this.#isFull) this.#forward.refuse(device, payload, "overloaded");
      else this.#track(device, this.#forward.receive(device, leaf, payload));
    }
  }

  #track(device: string, work: Promise<void>): void {
    this.#underWay.add(work);
    this.#busy.set(device, (this.#busy.get(device) ?? 0) + 1);
    const ended = work.finally(() => {
      this.#underWay.delete(work);
      const left = this.#busy.get(device)! - 1;
      if (left > 0) this.#busy.set(device, left);
      else this.#busy.delete(device);
    });
    detach(ended, noteFailure(this.#parts.note, "answering a device", { device }));
  }

  /** @param described the device as its hello describes it; null: as the ledger has it */
  #open(device: string, described: DeviceRecord | null): Promise<Session | null> {
    const before = this.#opening.get(device);
    if (before) return before;
    const opened = this.#readSession(device, described).finally(() => this.#opening.delete(device));
    this.#opening.set(device, opened);
    return opened;
  }

  async #readSession(device: string, described: DeviceRecord | null): Promise<Session | null> {
    const record = described ?? (await this.#parts.ledger.device(device));
    return record === null ? null : this.#admit(await openSession(this.#parts, record));
  }

  #admit(session: Session): Session | null {
    const { device } = session.record;
    const isFull = this.#table.size >= this.#limits.devicesMax && this.#table.get(device) === undefined;
    if (isFull && !this.#evict()) {
      this.#parts.note("warn", "device turned away: the gateway is full", { device });
      return null;
    }
    this.#table.keep(session);
    return session;
  }

  /** Forgets a device that left, wherever it is remembered; false when none did. */
  #evict(): boolean {
    const evicted = this.#table.evict();
    if (evicted === null) return false;
    const { device } = evicted.record;
    // An offer is retained: an empty one takes it back. The device is offered again when it says hello.
    this.#parts.devices.publish(device, "offer", new Uint8Array(0), LEAVES.offer.retained);
    this.#parts.observe({ type: "evicted", device });
    return true;
  }

  #waitsForOffer({ record, channel, refusal, signsAhead }: Session): boolean {
    if (channel === null || CURED_BY_ANOTHER_PRICE.has(refusal ?? "")) return true;
    const client = this.#parts.router.clientFor(record, channel.seller, false, signsAhead);
    if (client === null) return false;
    if (!client.owns(channel.seller)) return true;
    // A price that moved is offered before the next rung is signed: one signed at the old price is worth nothing.
    return client.tariff()?.menu.includes(Number(channel.requirements.amount)) === false;
  }
}

function isGeneral(leaf: Leaf): leaf is "request" | "payment" {
  return leaf === "request" || leaf === "payment";
}
