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
import type { Forward } from "./forward.ts";
import type { DeviceRecord } from "./ports.ts";
import {
  drop,
  makeOffer,
  openSession,
  proveHello,
  refuseOverloaded,
  type Session,
  type SessionParts,
  takePay,
  takeTelemetry,
} from "./session.ts";
import { SessionTable } from "./session-table.ts";

export interface SessionLimits {
  /** Devices remembered at once. */
  readonly devicesMax: number;
  /** Purchases under way at once. */
  readonly purchasesMax: number;
  /** Whether a device is connected; absent where the broker is somebody else's: then its silence tells. */
  readonly isConnected?: (device: string) => boolean;
}

export interface Sessions {
  receive(device: string, leaf: Leaf, payload: Uint8Array): void;
  /** Offers again to every device that waits for an offer, or should buy elsewhere, or what is on sale no more. */
  renewOffers(): void;
  readonly size: number;
  /**
   * Finishes what is under way for devices that another gateway serves from now on, and forgets them; what
   * they said since is theirs to say again. Resolves when nothing is under way for them here.
   */
  leave(isTheirs: (device: string) => boolean): Promise<void>;
  /** Resolves when no purchase is under way; new ones are no longer taken. */
  drain(): Promise<void>;
}

/** With another price come other quanta, so an offer that was refused for its money may be taken now. */
const CURED_BY_ANOTHER_PRICE: ReadonlySet<string> = new Set<Refusal>([
  "price-above-ceiling",
  "quantum-above-limit",
  "budget-exhausted",
]);

export function openSessions(parts: SessionParts, forward: Forward, limits: SessionLimits): Sessions {
  /** Work under way of each device. */
  const busy = new Map<string, number>();
  const sessions = new SessionTable({
    isConnected: limits.isConnected ?? null,
    isBusy: (session) => busy.has(session.record.device) || session.paying || session.offerWaits,
    now: parts.now,
  });
  const underWay = new Set<Promise<void>>();
  let isOpen = true;

  /** Sessions being read from the ledger: who asks meanwhile gets the same one. */
  const opening = new Map<string, Promise<Session | null>>();

  /** @param said the device as its hello describes it; else the ledger's record is read */
  function open(device: string, said: DeviceRecord | null): Promise<Session | null> {
    const before = opening.get(device);
    if (before) return before;
    const opened = (async () => {
      const record = said ?? (await parts.ledger.device(device));
      return record === null ? null : admit(await openSession(parts, record));
    })().finally(() => opening.delete(device));
    opening.set(device, opened);
    return opened;
  }

  function admit(session: Session): Session | null {
    const { device } = session.record;
    if (sessions.size >= limits.devicesMax && sessions.get(device) === undefined && !evict()) {
      parts.note("warn", "device turned away: the gateway is full", { device });
      return null;
    }
    sessions.keep(session);
    return session;
  }

  /** Forgets a device that left, wherever it is remembered; false when none did. */
  function evict(): boolean {
    const evicted = sessions.evict();
    if (evicted === null) return false;
    const { device } = evicted.record;
    // An offer is retained: an empty one takes it back. The device is offered again when it says hello.
    parts.devices.publish(device, "offer", new Uint8Array(0), LEAVES.offer.retained);
    parts.observe({ type: "evicted", device });
    return true;
  }

  function waitsForOffer({ record, channel, refusal }: Session): boolean {
    if (channel === null || CURED_BY_ANOTHER_PRICE.has(refusal ?? "")) return true;
    const client = parts.router.clientFor(record, channel.seller, false);
    if (client === null) return false;
    // A price that moved is told before the next rung is signed: one signed at the old price is worth nothing.
    return (
      !client.owns(channel.seller) ||
      client.tariff()?.menu.includes(Number(channel.requirements.amount)) === false
    );
  }

  function track(device: string, work: Promise<void>): void {
    underWay.add(work);
    busy.set(device, (busy.get(device) ?? 0) + 1);
    const ended = work.finally(() => {
      underWay.delete(work);
      const left = busy.get(device)! - 1;
      if (left > 0) busy.set(device, left);
      else busy.delete(device);
    });
    detach(ended, noteFailure(parts.note, "answering a device", { device }));
  }

  async function takeHello(device: string, payload: Uint8Array): Promise<void> {
    const { hello, error } = proveHello(parts, device, payload, sessions.get(device));
    if (hello === null) {
      drop(parts, device, "hello", "wrong-tag");
      parts.note("warn", "a hello proves no device", { device, reason: error });
      return;
    }
    parts.counts.hellos += 1;
    const { v: _, register, ...described } = hello;
    const record = { device, ...described };
    await parts.ledger.saveDevice(record);
    const session = sessions.get(device) ?? (await open(device, record));
    if (session === null) return drop(parts, device, "hello", "gateway-full");
    parts.observe({ type: "hello", device, hello });
    session.record = record;
    session.register = Math.max(session.register, register);
    await makeOffer(parts, session);
  }

  function deliver(session: Session, leaf: Leaf, payload: Uint8Array): void {
    if (leaf === "pay") {
      if (underWay.size >= limits.purchasesMax) refuseOverloaded(parts, session, payload);
      else track(session.record.device, takePay(parts, session, payload));
    } else if (leaf === "state" || leaf === "reading") {
      takeTelemetry(parts, session, leaf, payload);
    } else if (isGeneral(leaf)) {
      const { device } = session.record;
      if (underWay.size >= limits.purchasesMax) forward.refuse(device, payload, "overloaded");
      else track(device, forward.receive(device, leaf, payload));
    }
  }

  /** From a device that says nothing new but was not heard since the gateway started. */
  async function takeFirst(device: string, leaf: Leaf, payload: Uint8Array): Promise<void> {
    const session = await open(device, null);
    if (session !== null) return deliver(session, leaf, payload);
    drop(parts, device, leaf, "unknown-device");
    if (isGeneral(leaf)) forward.refuse(device, payload, "unknown-device");
  }

  function take(device: string, leaf: Leaf, payload: Uint8Array): void {
    const session = sessions.get(device);
    if (session) sessions.keep(session);
    if (session && leaf !== "hello") deliver(session, leaf, payload);
    else if (leaf !== "hello" && underWay.size >= limits.purchasesMax) {
      drop(parts, device, leaf, "gateway-full");
      if (isGeneral(leaf)) forward.refuse(device, payload, "overloaded");
    } else {
      const work = leaf === "hello" ? takeHello(device, payload) : takeFirst(device, leaf, payload);
      track(device, work);
    }
  }

  return {
    receive(device, leaf, payload) {
      if (!isOpen) return;
      try {
        take(device, leaf, payload);
      } catch (error) {
        // A message that a rule here did not foresee costs that message, and no other device.
        countFailure();
        drop(parts, device, leaf, "malformed");
        noteFailure(parts.note, "taking a message", { device, leaf })(error);
      }
    },
    renewOffers() {
      for (const session of sessions.values()) {
        if (isOpen && waitsForOffer(session)) track(session.record.device, makeOffer(parts, session));
      }
    },
    get size() {
      return sessions.size;
    },
    async leave(isTheirs) {
      const theirs = [...sessions.values()].filter(({ record }) => isTheirs(record.device));
      await Promise.allSettled([...underWay, ...theirs.map(({ turn }) => turn)]);
      for (const device of theirs.map(({ record }) => record.device)) {
        sessions.delete(device);
        parts.observe({ type: "released", device });
      }
    },
    async drain() {
      isOpen = false;
      await Promise.allSettled(underWay);
    },
  };
}

function isGeneral(leaf: Leaf): leaf is "request" | "payment" {
  return leaf === "request" || leaf === "payment";
}
