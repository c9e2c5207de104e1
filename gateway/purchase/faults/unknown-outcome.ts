/**
 * A payment whose outcome is not known: presented, and neither paid nor unpaid as far as seller and chain have told.
 *
 * Promise: it is in the ledger before its device hears of it; it ends by the seller's counter, by the chain or by being
 * paid, and by nothing else: until then no other refusal of the same rung is passed on, so that it is presented again,
 * byte for byte, and never replaced.
 */
import type { WireRefusal } from "#core/refusal";
import type { Pay } from "#protocol/frames";
import type { ChannelRecord, Ledger, Logger, WallClock } from "../ports.ts";
import { type Purchase, refuse } from "../purchase.ts";

interface OutcomeParts {
  readonly ledger: Pick<Ledger, "saveUnknown">;
  readonly note: Logger;
  readonly now: WallClock;
}

/** What they say ends the channel, or the rung, whatever became of it. */
const PASSED_ON: readonly WireRefusal[] = ["channel-closing", "bad-signature"];

/** The answer to a PAY, with what is not known of it kept or ended. Rejects when the ledger fails. */
export async function keepOutcome(parts: OutcomeParts, pay: Pay, bought: Purchase): Promise<Purchase> {
  const { channel, grant } = bought;
  const { refusal } = grant;
  const isOpen = channel.unknown?.maxClaimable === pay.maxClaimable;
  const fields = { channelId: channel.id, maxClaimable: pay.maxClaimable };
  if (refusal === null || bought.isDecided || (refusal !== "outcome-unknown" && !isOpen)) {
    if (channel.unknown === undefined || (refusal !== null && !isOpen)) return bought;
    await parts.ledger.saveUnknown(channel.id, null);
    parts.note("info", "the outcome of a payment is known now", { ...fields, outcome: refusal ?? "paid" });
    return { ...bought, channel: known(channel) };
  }
  if (refusal !== "outcome-unknown" && PASSED_ON.includes(refusal)) return bought;
  if (isOpen) return { ...refuse(channel, "outcome-unknown"), fault: null };
  const unknown = { maxClaimable: pay.maxClaimable, sinceSeconds: Math.floor(parts.now()) };
  await parts.ledger.saveUnknown(channel.id, unknown);
  parts.note(
    "warn",
    "the outcome of a payment is not known: it is presented again and paid at most once",
    fields,
  );
  return { ...bought, channel: { ...channel, unknown } };
}

function known({ unknown: _, ...channel }: ChannelRecord): ChannelRecord {
  return channel;
}
