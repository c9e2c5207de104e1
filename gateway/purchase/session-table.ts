/**
 * The sessions that are remembered, what each holds, and which of them makes room for another device.
 *
 * Promise: never more than the bound. When the table is full, a device that is absent and never paid is forgotten
 * first, then one that is absent and has paid; one that is present, or has work under way, is never forgotten. A
 * forgotten device loses nothing: what it bought is in the ledger, and is read again with its next message.
 */
import { channelTagOf } from "#core/rungs";
import type { Tagger } from "#protocol/tag";
import type { BehindChain } from "./faults/behind-chain.ts";
import type { ChannelRecord, DeviceRecord } from "./ports.ts";

/** What is remembered of one device's conversation with the gateway. */
export interface Session {
  record: DeviceRecord;
  readonly tagger: Tagger;
  /** The channel offered last; null until an offer could be made. */
  channel: ChannelRecord | null;
  /** All channels of this device: few, and found by the tag that their frames carry. */
  readonly channels: ChannelRecord[];
  /** A payment is under way or waits its turn. */
  paying: boolean;
  /** An offer waits its turn: it serves all who want one meanwhile, and none who want one while it is made. */
  offerWaits: boolean;
  /** Its seller does not know a deposit that the chain knows: how long it is left alone with this channel. */
  behind: BehindChain | null;
  /** The last offer asks for an approval of Permit2, which serves one payment. */
  asksApproval: boolean;
  /** Money of the last rung, atomic units, when the seller refused it: its terms may have changed. Else null. */
  refusedAtomic: number | null;
  /** Ends when all work of this session so far has: payments and offers read and write the same channel. */
  turn: Promise<void>;
  /** It signs its ladder ahead, as its states show. */
  signsAhead: boolean;
  /** Why the device, as it said last, does not buy; null when it does. */
  refusal: string | null;
  register: number;
  /** Unix seconds of its last message. */
  heardSeconds: number;
}

export function channelBy({ channels }: Session, tag: number): ChannelRecord | undefined {
  return channels.find(({ id }) => channelTagOf(id) === tag);
}

export function keepChannel({ channels }: Session, channel: ChannelRecord): void {
  const tag = channelTagOf(channel.id);
  const at = channels.findIndex(({ id }) => channelTagOf(id) === tag);
  if (at < 0) channels.push(channel);
  else channels[at] = channel;
}

export interface Presence {
  /** Whether a device is connected; null with an external broker: there a silent device counts as absent. */
  readonly isConnected: ((device: string) => boolean) | null;
  /** Has it work under way? */
  readonly isBusy: (session: Session) => boolean;
  /** Unix seconds. */
  readonly now: () => number;
}

/** Silence after which a device counts as absent: lights send a reading about every minute. */
const NEWCOMER_SILENT_SECONDS = 120;
const BUYER_SILENT_SECONDS = 900;

/** Sessions looked at for one that arrives: one message must not cost a walk through the whole fleet. */
const LOOKS_MAX = 256;

export class SessionTable {
  readonly #presence: Presence;
  /** Each with the one that was looked at, or heard, longest ago at the front. */
  readonly #newcomers = new Map<string, Session>();
  readonly #buyers = new Map<string, Session>();

  constructor(presence: Presence) {
    this.#presence = presence;
  }

  get size(): number {
    return this.#newcomers.size + this.#buyers.size;
  }

  get(device: string): Session | undefined {
    return this.#buyers.get(device) ?? this.#newcomers.get(device);
  }

  /** Keeps a session; again, when its device is heard. */
  keep(session: Session): void {
    const { device } = session.record;
    session.heardSeconds = this.#presence.now();
    this.delete(device);
    (hasPaid(session) ? this.#buyers : this.#newcomers).set(device, session);
  }

  delete(device: string): void {
    this.#newcomers.delete(device);
    this.#buyers.delete(device);
  }

  *values(): Generator<Session> {
    yield* this.#newcomers.values();
    yield* this.#buyers.values();
  }

  /** Forgets one session, and returns it; null when none of those looked at may be forgotten. */
  evict(): Session | null {
    return (
      this.#evictFrom(this.#newcomers, NEWCOMER_SILENT_SECONDS) ??
      this.#evictFrom(this.#buyers, BUYER_SILENT_SECONDS)
    );
  }

  #evictFrom(sessions: Map<string, Session>, silentSeconds: number): Session | null {
    for (let looks = Math.min(LOOKS_MAX, sessions.size); looks > 0; looks -= 1) {
      const [device, session] = sessions.entries().next().value!;
      sessions.delete(device);
      // It has paid since it was heard.
      if (sessions === this.#newcomers && hasPaid(session)) {
        this.#buyers.set(device, session);
        continue;
      }
      if (!this.#presence.isBusy(session) && this.#isAbsent(session, silentSeconds)) return session;
      sessions.set(device, session);
    }
    return null;
  }

  #isAbsent({ record, heardSeconds }: Session, silentSeconds: number): boolean {
    const { isConnected, now } = this.#presence;
    if (isConnected !== null) return !isConnected(record.device);
    return now() - heardSeconds >= silentSeconds;
  }
}

function hasPaid({ channels }: Session): boolean {
  return channels.some(({ charged }) => charged > 0);
}
