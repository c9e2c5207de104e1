/**
 * The gate between broker and sessions: only devices that may buy get through.
 *
 * Promise: to a device that may not, no offer gets out and no money is moved; its hello is
 * answered by the refusal "not-enrolled", all else of it is dropped and counted. Approval lets its last
 * hello through at once; a refusal closes the gate at once. What waits here is bounded.
 */

import { detach } from "#core/detach";
import type { Grant } from "#core/events";
import { fromHex } from "#payment/bytes";
import { tagKeyBetween } from "#payment/tag-key";
import { encodeGrant } from "#protocol/frames";
import { sealFrame } from "#protocol/tag";
import { LEAVES, type Leaf } from "#protocol/topics";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { Devices, Drop, Logger, Observe } from "../purchase/ports.ts";
import { proveHello, type SessionParts } from "../purchase/session.ts";
import type { Enrolment, EnrolmentRecord, Enrolments, Standing } from "./enrolment.ts";

type Receive = (device: string, leaf: Leaf, payload: Uint8Array) => void;

export interface EnrolmentFilterParts extends Pick<SessionParts, "key" | "hmac"> {
  readonly enrolment: Enrolment;
  readonly ledger: Pick<Enrolments, "enrolmentsSince" | "pendingCount">;
  readonly devices: Devices;
  /** Beyond the gate. */
  readonly receive: Receive;
  readonly note: Logger;
  readonly observe: Observe;
}

export interface EnrolmentFilterLimits {
  /** Devices whose standing is remembered. */
  readonly devicesMax: number;
  /** Hellos kept for devices that wait for approval. */
  readonly pendingMax: number;
}

export interface EnrolmentFilter {
  readonly receive: Receive;
  /** The way back: no offer passes to a device that may not buy. */
  readonly devices: Devices;
  /** Devices that wait for approval, as last counted. */
  readonly pending: number;
  /** Looks for decisions of the operator; to be called every few seconds. */
  look(): Promise<void>;
  /** Everybody's standing may have changed: the allow-list was read again. */
  reconsider(): void;
}

/** Messages that wait for the ledger to say where their device stands. */
const HELD_MAX = 1_000;

/** Decisions read at once. */
const DECISIONS_PER_LOOK = 1_000;

const NOT_ENROLLED: Grant = {
  refusal: "not-enrolled",
  channelTag: 0,
  charged: 0,
  granted: 0,
  pricePerMillionUnits: 0,
  validUntilSeconds: 0,
};

export function openEnrolmentFilter(
  parts: EnrolmentFilterParts,
  limits: EnrolmentFilterLimits,
): EnrolmentFilter {
  const { enrolment, ledger, devices, note, observe } = parts;
  const standings = new Map<string, Standing>();
  /** Last hello of devices that wait. */
  const hellos = new Map<string, Uint8Array>();
  /** Devices whose standing is being asked for: their messages go on in their order. */
  const asking = new Map<string, Promise<Standing>>();
  let held = 0;
  let seenRevision = -1;
  let pending = 0;

  function remember(device: string, standing: Standing): void {
    // Forgotten, it is asked for again.
    if (standings.size >= limits.devicesMax && !standings.has(device)) standings.clear();
    standings.set(device, standing);
    if (standing !== "pending") hellos.delete(device);
  }

  function drop(device: string, leaf: Leaf, reason: Drop): void {
    observe({ type: "dropped", device, leaf, reason });
  }

  function pass(device: string, leaf: Leaf, payload: Uint8Array, standing: Standing): void {
    if (standing === "enrolled") parts.receive(device, leaf, payload);
    else if (leaf === "hello") {
      detach(refuseHello(device, payload, standing), noteFailure(note, "refusing a hello", { device }));
    } else drop(device, leaf, "not-enrolled");
  }

  /** A hello of a device that may not buy: who proved its key is told so, and waits where that is the mode. */
  async function refuseHello(device: string, payload: Uint8Array, before: Standing): Promise<void> {
    const { hello, error } = proveHello(parts, device, payload, undefined);
    if (hello === null) {
      drop(device, "hello", "wrong-tag");
      return note("warn", "a hello proves no device", { device, reason: error });
    }
    try {
      const standing = before === "pending" ? await enrolment.ask(device) : before;
      remember(device, standing);
      if (standing === "enrolled") return parts.receive(device, "hello", payload);
      if (standing === "pending" && (hellos.size < limits.pendingMax || hellos.has(device)))
        hellos.set(device, payload);
      note("info", "a device that may not buy said hello", { device, reason: standing });
      observe({ type: "hello", device, hello });
      const tagger = { hmac: parts.hmac, key: tagKeyBetween(parts.key, fromHex(hello.publicKey)) };
      devices.publish(device, "grant", sealFrame(tagger, "grant", encodeGrant(NOT_ENROLLED)), false);
      observe({ type: "answered", device, channel: null, grant: NOT_ENROLLED, tookSeconds: 0 });
    } catch (error) {
      note("warn", "the ledger could not be asked who may buy", { device, reason: String(error) });
    }
  }

  function receive(device: string, leaf: Leaf, payload: Uint8Array): void {
    const known = standings.get(device);
    if (known !== undefined) pass(device, leaf, payload, known);
    else if (held >= HELD_MAX) drop(device, leaf, "gateway-full");
    else hold(device, leaf, payload);
  }

  function hold(device: string, leaf: Leaf, payload: Uint8Array): void {
    held += 1;
    const asked = asking.get(device) ?? enrolment.standing(device).finally(() => asking.delete(device));
    asking.set(device, asked);
    const passed = asked
      .then((standing) => {
        remember(device, standing);
        pass(device, leaf, payload, standing);
      })
      .finally(() => {
        held -= 1;
      });
    detach(passed, noteFailure(note, "asking the ledger who may buy", { device }));
  }

  /** Where a device stands now, and what follows from it. */
  async function reconsiderOne(device: string): Promise<void> {
    const before = standings.get(device);
    if (before === undefined) return;
    const standing = await enrolment.standing(device);
    const hello = hellos.get(device);
    remember(device, standing);
    if (standing === before) return;
    note("info", "a device's enrolment changed", { device, reason: standing });
    if (standing === "enrolled" && hello !== undefined) parts.receive(device, "hello", hello);
    // An offer is retained: an empty one takes it back.
    if (before === "enrolled") devices.publish(device, "offer", new Uint8Array(0), LEAVES.offer.retained);
  }

  async function reconsiderAll(names: Iterable<string>): Promise<void> {
    for (const device of names) await reconsiderOne(device);
  }

  return {
    receive,
    devices: {
      publish(device, leaf, payload, retained) {
        const standing = standings.get(device);
        const mayPass = leaf !== "offer" || standing === undefined || standing === "enrolled";
        if (mayPass) devices.publish(device, leaf, payload, retained);
      },
    },
    get pending() {
      return pending;
    },
    async look() {
      try {
        let changes: readonly EnrolmentRecord[];
        do {
          changes = await ledger.enrolmentsSince(seenRevision, DECISIONS_PER_LOOK);
          for (const { device, revision } of changes) {
            await reconsiderOne(device);
            seenRevision = revision;
          }
        } while (changes.length === DECISIONS_PER_LOOK);
        pending = await ledger.pendingCount();
      } catch (error) {
        note("warn", "the ledger could not be asked for enrolments", { reason: String(error) });
      }
    },
    reconsider() {
      detach(reconsiderAll([...standings.keys()]), noteFailure(note, "asking the ledger who may buy"));
    },
  };
}
