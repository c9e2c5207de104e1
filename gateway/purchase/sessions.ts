/**
 * All devices at once: which session a message belongs to, and how many may be under way.
 *
 * Promise: memory is bounded by the number of devices admitted, and work by the number of purchases
 * under way; what is over either bound is refused, not queued.
 */
import type { Leaf } from "#protocol/topics";
import type { Forward } from "./forward.ts";
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

export interface SessionLimits {
  /** Devices remembered at once. */
  readonly devicesMax: number;
  /** Purchases under way at once. */
  readonly purchasesMax: number;
}

export interface Sessions {
  receive(device: string, leaf: Leaf, payload: Uint8Array): void;
  /** Offers again to every device that waits for one: the seller came back, or its price fell. */
  renewOffers(): void;
  readonly size: number;
  /** Resolves when no purchase is under way; new ones are no longer taken. */
  drain(): Promise<void>;
}

export function openSessions(parts: SessionParts, forward: Forward, limits: SessionLimits): Sessions {
  const sessions = new Map<string, Session>();
  const underWay = new Set<Promise<void>>();
  let open = true;

  function find(device: string): Session | null {
    const session = sessions.get(device);
    if (session) return session;
    const record = parts.ledger.device(device);
    return record === null ? null : admit(openSession(parts, record));
  }

  function admit(session: Session): Session | null {
    if (sessions.size >= limits.devicesMax && !sessions.has(session.record.device)) {
      parts.note("warn", "device turned away: the gateway is full", { device: session.record.device });
      return null;
    }
    sessions.set(session.record.device, session);
    return session;
  }

  function track(work: Promise<void>): void {
    underWay.add(work);
    void work.finally(() => underWay.delete(work));
  }

  async function takeHello(device: string, payload: Uint8Array): Promise<void> {
    const { hello, error } = proveHello(parts, device, payload);
    if (hello === null) {
      drop(parts, device, "hello", "wrong-tag");
      parts.note("warn", error, { device });
      return;
    }
    parts.counts.hellos += 1;
    parts.observe({ type: "hello", device, hello });
    const { v: _, register, ...described } = hello;
    const record = { device, ...described };
    await parts.ledger.saveDevice(record);
    const session = sessions.get(device) ?? admit(openSession(parts, record));
    if (session === null) return drop(parts, device, "hello", "gateway-full");
    session.record = record;
    session.register = Math.max(session.register, register);
    await makeOffer(parts, session);
  }

  return {
    receive(device, leaf, payload) {
      if (!open) return;
      if (leaf === "hello") {
        track(takeHello(device, payload).catch((error) => parts.note("warn", String(error), { device })));
        return;
      }
      const session = find(device);
      if (session === null) {
        drop(parts, device, leaf, "unknown-device");
        return;
      }
      if (leaf === "pay") {
        if (underWay.size >= limits.purchasesMax) refuseOverloaded(parts, session, payload);
        else track(takePay(parts, session, payload));
      } else if (leaf === "state" || leaf === "reading") {
        takeTelemetry(parts, session, leaf, payload);
      } else if (leaf === "request" || leaf === "payment") {
        track(forward.receive(device, leaf, payload));
      }
    },
    renewOffers() {
      for (const session of sessions.values()) {
        const waits = session.channel === null || session.state?.refusal === "price-above-ceiling";
        if (waits && open) track(makeOffer(parts, session));
      }
    },
    get size() {
      return sessions.size;
    },
    async drain() {
      open = false;
      await Promise.allSettled(underWay);
    },
  };
}
