/**
 * The filter between broker and sessions: it passes on messages of devices that may buy.
 *
 * Promise: to a device that may not, no offer is published and for it no money is moved; its hello is
 * answered by the refusal "not-enrolled", all else of it is dropped and counted. After an approval its last
 * hello is passed on at once; a refusal takes effect at once. What waits here is bounded.
 */

import { detach } from "#core/detach";
import type { Grant } from "#core/events";
import { fromHex } from "#payment/bytes";
import { tagKeyBetween } from "#payment/tag-key";
import { encodeGrant } from "#protocol/frames";
import type { Hello } from "#protocol/messages";
import { sealFrame } from "#protocol/tag";
import { LEAVES, type Leaf } from "#protocol/topics";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { Devices, Drop, Logger, Observe } from "../purchase/ports.ts";
import { proveHello, type SessionParts } from "../purchase/session.ts";
import type { Enrolment, EnrolmentRecord, EnrolmentState, Enrolments } from "./enrolment.ts";

type Receive = (device: string, leaf: Leaf, payload: Uint8Array) => void;

export interface EnrolmentFilterParts extends Pick<SessionParts, "key" | "hmac"> {
  readonly enrolment: Enrolment;
  readonly ledger: Pick<Enrolments, "enrolmentsSince" | "pendingCount">;
  readonly devices: Devices;
  /** Takes what the filter passes on. */
  readonly receive: Receive;
  readonly note: Logger;
  readonly observe: Observe;
}

interface EnrolmentFilterLimits {
  /** Devices whose state is remembered. */
  readonly devicesMax: number;
  /** Hellos kept for devices that wait for approval. */
  readonly pendingMax: number;
}

/** Messages that wait for the state of their device to be read. */
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

export class EnrolmentFilter {
  /** To devices: no offer is published to a device that may not buy. */
  readonly devices: Devices;
  readonly #parts: EnrolmentFilterParts;
  readonly #limits: EnrolmentFilterLimits;
  readonly #states = new Map<string, EnrolmentState>();
  /** Last hello of devices that wait. */
  readonly #hellos = new Map<string, Uint8Array>();
  /** Devices whose state is being read: their messages go on in their order. */
  readonly #reading = new Map<string, Promise<EnrolmentState>>();
  #held = 0;
  #seenRevision = -1;
  #pending = 0;

  constructor(parts: EnrolmentFilterParts, limits: EnrolmentFilterLimits) {
    this.#parts = parts;
    this.#limits = limits;
    this.devices = {
      publish: (device, leaf, payload, retained) => {
        const state = this.#states.get(device);
        const mayBuy = state === undefined || state === "enrolled";
        if (leaf !== "offer" || mayBuy) parts.devices.publish(device, leaf, payload, retained);
      },
    };
  }

  /** Devices that wait for approval, as last counted. */
  get pending(): number {
    return this.#pending;
  }

  /** Bound to this filter. */
  readonly receive: Receive = (device, leaf, payload) => {
    const known = this.#states.get(device);
    if (known !== undefined) this.#pass(device, leaf, payload, known);
    else if (this.#held >= HELD_MAX) this.#drop(device, leaf, "gateway-full");
    else this.#hold(device, leaf, payload);
  };

  /** Looks for decisions of the operator; to be called every few seconds. */
  async look(): Promise<void> {
    const { ledger, note } = this.#parts;
    try {
      let changes: readonly EnrolmentRecord[];
      do {
        changes = await ledger.enrolmentsSince(this.#seenRevision, DECISIONS_PER_LOOK);
        for (const { device, revision } of changes) {
          await this.#reconsider(device);
          this.#seenRevision = revision;
        }
      } while (changes.length === DECISIONS_PER_LOOK);
      this.#pending = await ledger.pendingCount();
    } catch (error) {
      note("warn", "the ledger could not be asked for enrolments", { reason: String(error) });
    }
  }

  /** Reads the state of every device again: the allow-list was reloaded. */
  reconsider(): void {
    const failed = noteFailure(this.#parts.note, "asking the ledger who may buy");
    detach(this.#reconsiderAll([...this.#states.keys()]), failed);
  }

  #remember(device: string, state: EnrolmentState): void {
    // Forgotten, it is read again.
    if (this.#states.size >= this.#limits.devicesMax && !this.#states.has(device)) this.#states.clear();
    this.#states.set(device, state);
    if (state !== "pending") this.#hellos.delete(device);
  }

  #drop(device: string, leaf: Leaf, reason: Drop): void {
    this.#parts.observe({ type: "dropped", device, leaf, reason });
  }

  #pass(device: string, leaf: Leaf, payload: Uint8Array, state: EnrolmentState): void {
    if (state === "enrolled") this.#parts.receive(device, leaf, payload);
    else if (leaf === "hello") {
      const failed = noteFailure(this.#parts.note, "refusing a hello", { device });
      detach(this.#refuseHello(device, payload, state), failed);
    } else this.#drop(device, leaf, "not-enrolled");
  }

  /** Answers a hello of a device that may not buy, if it proves its key; the device waits where that is the mode. */
  async #refuseHello(device: string, payload: Uint8Array, before: EnrolmentState): Promise<void> {
    const { enrolment, note } = this.#parts;
    const { hello, error } = proveHello(this.#parts, device, payload, undefined);
    if (hello === null) {
      this.#drop(device, "hello", "wrong-tag");
      return note("warn", "a hello proves no device", { device, reason: error });
    }
    try {
      const state = before === "pending" ? await enrolment.ask(device) : before;
      this.#remember(device, state);
      if (state === "enrolled") return this.#parts.receive(device, "hello", payload);
      const hasRoom = this.#hellos.size < this.#limits.pendingMax || this.#hellos.has(device);
      if (state === "pending" && hasRoom) this.#hellos.set(device, payload);
      note("info", "a device that may not buy said hello", { device, reason: state });
      this.#answer(device, hello);
    } catch (error) {
      note("warn", "the ledger could not be asked who may buy", { device, reason: String(error) });
    }
  }

  #answer(device: string, hello: Hello): void {
    const { key, hmac, devices, observe } = this.#parts;
    observe({ type: "hello", device, hello });
    const tagger = { hmac, key: tagKeyBetween(key, fromHex(hello.publicKey)) };
    devices.publish(device, "grant", sealFrame(tagger, "grant", encodeGrant(NOT_ENROLLED)), false);
    observe({ type: "answered", device, channel: null, grant: NOT_ENROLLED, tookSeconds: 0 });
  }

  #hold(device: string, leaf: Leaf, payload: Uint8Array): void {
    this.#held += 1;
    const known = this.#reading.get(device);
    const read = known ?? this.#parts.enrolment.state(device).finally(() => this.#reading.delete(device));
    this.#reading.set(device, read);
    const passed = read
      .then((state) => {
        this.#remember(device, state);
        this.#pass(device, leaf, payload, state);
      })
      .finally(() => {
        this.#held -= 1;
      });
    detach(passed, noteFailure(this.#parts.note, "asking the ledger who may buy", { device }));
  }

  async #reconsiderAll(devices: readonly string[]): Promise<void> {
    for (const device of devices) await this.#reconsider(device);
  }

  /** Reads a device's state again, and acts on a change. */
  async #reconsider(device: string): Promise<void> {
    const { enrolment, devices, note } = this.#parts;
    const before = this.#states.get(device);
    if (before === undefined) return;
    const state = await enrolment.state(device);
    const hello = this.#hellos.get(device);
    this.#remember(device, state);
    if (state === before) return;
    note("info", "a device's enrolment changed", { device, reason: state });
    if (state === "enrolled" && hello !== undefined) this.#parts.receive(device, "hello", hello);
    // An offer is retained: an empty one takes it back.
    if (before === "enrolled") devices.publish(device, "offer", new Uint8Array(0), LEAVES.offer.retained);
  }
}
