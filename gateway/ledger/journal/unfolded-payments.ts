/**
 * Payments that are in the journal and not yet in the tables, as reads need them.
 *
 * Promise: a read that adds these to the tables' rows sees every payment once; of two records of one payment the first
 * one counts, and counters only rise.
 */
import type { ChannelRecord, PaymentRecord } from "../../purchase/ports.ts";
import { type Cell, COLUMNS, channelIn, paymentIn, type Row } from "../rows.ts";

/** A payment's cells, the channel's counters after it, and the channel's whole row where its terms are new. */
export type JournalRow = readonly Cell[];

export const COUNTERS = ["promised", "charged", "granted", "revision"] as const;
const AT_SECONDS_AT = COLUMNS.payment.indexOf("at_seconds");
const COUNTERS_AT = COLUMNS.payment.length;
const CHANNEL_AT = COUNTERS_AT + COUNTERS.length;

type Counters = Pick<ChannelRecord, (typeof COUNTERS)[number]>;

interface Entry {
  readonly segment: number;
  readonly row: JournalRow;
}

interface ChannelEntries {
  /** By cumulative amount. */
  readonly payments: Map<number, Entry>;
  counters: Counters;
  /** The newest row with its terms; null where the tables have it. */
  channelRow: readonly Cell[] | null;
}

const keyOf = (row: JournalRow) => ({ channelId: row[0] as string, maxClaimable: row[1] as number });

const recordOf = (columns: readonly string[], cells: readonly Cell[]): Row =>
  Object.fromEntries(columns.map((name, index) => [name, cells[index]]));

const paymentOf = ({ row }: Entry) => paymentIn(recordOf(COLUMNS.payment, row));

/** The cells of a channel's whole row; null where the entry has its counters alone. */
const channelCells = (row: JournalRow): readonly Cell[] | null =>
  row.length > CHANNEL_AT ? row.slice(CHANNEL_AT) : null;

/** Rows of a fold, in the order of their columns. */
interface FoldRows {
  readonly payments: readonly (readonly Cell[])[];
  readonly channels: readonly (readonly Cell[])[];
  /** The counters, then the channel that they are of. */
  readonly counters: readonly (readonly Cell[])[];
}

export class UnfoldedPayments {
  readonly #channels = new Map<string, ChannelEntries>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** When the first of them was paid, Unix time; null while there is none. */
  get sinceSeconds(): number | null {
    let since: number | null = null;
    for (const { payments } of this.#channels.values()) {
      for (const { row } of payments.values()) {
        const atSeconds = row[AT_SECONDS_AT] as number;
        if (since === null || atSeconds < since) since = atSeconds;
      }
    }
    return since;
  }

  add(segment: number, row: JournalRow): void {
    const { channelId, maxClaimable } = keyOf(row);
    const [promised, charged, granted, revision] = row.slice(COUNTERS_AT, CHANNEL_AT) as number[];
    const counters = { promised: promised!, charged: charged!, granted: granted!, revision: revision! };
    const known = this.#channels.get(channelId);
    const entries = known ?? { payments: new Map<number, Entry>(), counters, channelRow: null };
    this.#channels.set(channelId, entries);
    entries.counters = highest(entries.counters, counters);
    entries.channelRow = channelCells(row) ?? entries.channelRow;
    if (entries.payments.has(maxClaimable)) return;
    entries.payments.set(maxClaimable, { segment, row });
    this.#size += 1;
  }

  /** What the tables lack of the segments up to `segment`, by channel; counters are those of now. */
  rowsThrough(segment: number): FoldRows {
    const payments: (readonly Cell[])[] = [];
    const channels: (readonly Cell[])[] = [];
    const counters: (readonly Cell[])[] = [];
    for (const [channelId, entries] of this.#channels) {
      if (entries.channelRow !== null) channels.push(entries.channelRow);
      counters.push([...COUNTERS.map((name) => entries.counters[name]), channelId]);
      for (const { segment: its, row } of entries.payments.values()) {
        if (its <= segment) payments.push(row.slice(0, COUNTERS_AT));
      }
    }
    return { payments, channels, counters };
  }

  /** Forgets what the tables have by now. */
  forgetThrough(segment: number): void {
    for (const [channelId, { payments }] of this.#channels) {
      for (const [maxClaimable, entry] of payments) {
        if (entry.segment <= segment && payments.delete(maxClaimable)) this.#size -= 1;
      }
      if (payments.size === 0) this.#channels.delete(channelId);
    }
  }

  payment(channelId: string, maxClaimable: number): PaymentRecord | null {
    const entry = this.#channels.get(channelId)?.payments.get(maxClaimable);
    return entry === undefined ? null : paymentOf(entry);
  }

  /** Of one channel, or of all, in the order of (channel, amount), beyond a key. */
  payments(channelId: string | null, afterChannel: string, afterAmount: number): PaymentRecord[] {
    const ids = channelId === null ? [...this.#channels.keys()].sort() : [channelId];
    return ids.flatMap((id) => {
      if (id < afterChannel) return [];
      const amounts = [...(this.#channels.get(id)?.payments ?? [])];
      return amounts
        .filter(([amount]) => id > afterChannel || amount > afterAmount)
        .sort(([left], [right]) => left - right)
        .map(([, entry]) => paymentOf(entry));
    });
  }

  /** A channel with its counters as they are. */
  counted(channel: ChannelRecord): ChannelRecord {
    const entries = this.#channels.get(channel.id);
    if (entries === undefined) return channel;
    const counters = highest(channel, entries.counters);
    return {
      ...channel,
      ...newerTerms(channel, entries),
      ...counters,
      signed: signedOn(entries, channel.signed),
    };
  }

  /** Channels whose rows may not be in the tables yet; their balance is the caller's to derive. */
  channels(): ChannelRecord[] {
    return [...this.#channels.values()].flatMap((entries) => {
      const { channelRow } = entries;
      if (channelRow === null) return [];
      const channel = channelIn({ ...recordOf(COLUMNS.channel, channelRow), balance: 0 });
      return [{ ...channel, ...entries.counters, signed: signedOn(entries, 0) }];
    });
  }
}

/** The highest amount charged, whole or in part: what waits here is the newest. */
function signedOn({ payments, counters }: ChannelEntries, known: number): number {
  let signed = Math.max(known, counters.charged);
  for (const amount of payments.keys()) signed = Math.max(signed, amount);
  return signed;
}

/** The journal's terms, unless the tables were given later ones. */
function newerTerms(channel: ChannelRecord, { channelRow }: ChannelEntries): Partial<ChannelRecord> {
  if (channelRow === null) return {};
  const { seller, resource, requirements, revision } = channelIn(recordOf(COLUMNS.channel, channelRow));
  return revision < channel.revision ? {} : { seller, resource, requirements };
}

function highest(left: Counters, right: Counters): Counters {
  return {
    promised: Math.max(left.promised, right.promised),
    charged: Math.max(left.charged, right.charged),
    granted: Math.max(left.granted, right.granted),
    revision: Math.max(left.revision, right.revision),
  };
}
