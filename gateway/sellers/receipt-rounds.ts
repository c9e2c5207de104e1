/**
 * Asks sellers that sign their terms for receipts of use, at intervals and once more at the end.
 *
 * Promise: nothing of it is in a payment's path; a receipt is stored only under the seller's right signature, and one that was
 * missed is made good by the next, as each states cumulative counters.
 */
import { detach } from "#core/detach";
import { type ReceiptDue, type ReceiptSource, receiptDocument, termsDocument } from "#market/documents";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { Ledger, Logger, Read } from "../purchase/ports.ts";

/** Channels that are asked about in one round; the others come with the next one. */
const CHANNELS_A_ROUND_MAX = 1_000;

interface ReceiptRoundsParts {
  readonly ledger: Pick<Ledger, "saveDocument"> & {
    receiptsDue(limit: number): Read<readonly ReceiptDue[]>;
  };
  /** Null for a seller that the configuration names no more, or that signs nothing. */
  readonly sourceOf: (seller: string) => ReceiptSource | null;
  /** Does this gateway serve the device now? */
  readonly holds: (device: string) => boolean;
  readonly note: Logger;
  /** Between two rounds, milliseconds; 0: none but the last. */
  readonly everyMs: number;
}

export class ReceiptRounds {
  readonly #parts: ReceiptRoundsParts;
  readonly #timer: NodeJS.Timeout | null;
  #round: Promise<void> = Promise.resolve();
  /** The channel that got the latest receipt: a seller that signs few a second would serve the same ones in each round. */
  #latest = "";

  constructor(parts: ReceiptRoundsParts) {
    this.#parts = parts;
    const { everyMs, note } = parts;
    const go = () => detach(this.round(), noteFailure(note, "asking for receipts of use"));
    this.#timer = everyMs === 0 ? null : setInterval(go, everyMs).unref();
  }

  /** One round, after the one that is under way. */
  round(): Promise<void> {
    this.#round = this.#round.catch(() => undefined).then(() => this.#askAll());
    return this.#round;
  }

  /** With a last round, which ends with its sellers' connections at the latest. */
  stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    return this.round();
  }

  async #askAll(): Promise<void> {
    const { ledger, sourceOf, holds } = this.#parts;
    const due = await ledger.receiptsDue(CHANNELS_A_ROUND_MAX);
    const first = due.findIndex(({ channelId }) => channelId > this.#latest);
    for (const one of first === -1 ? due : [...due.slice(first), ...due.slice(0, first)]) {
      const source = sourceOf(one.seller);
      if (source !== null && holds(one.device)) await this.#ask(source, one);
    }
  }

  async #ask(source: ReceiptSource, { channelId, device, payTo, register }: ReceiptDue): Promise<void> {
    const { ledger, note } = this.#parts;
    const answer = await source.receipt(channelId, payTo, register);
    const { reason } = answer;
    if (reason !== "")
      note("warn", "a receipt of use is missing, or its terms", { device, channelId, reason });
    if (answer.kind === "none") return;
    this.#latest = channelId;
    if (answer.offered !== null) await ledger.saveDocument(termsDocument(answer.offered));
    await ledger.saveDocument(receiptDocument(answer.signed));
  }
}
