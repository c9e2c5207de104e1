/**
 * Which price a light received last on each of its channels since its power came back.
 *
 * Promise: from authentic messages alone, by what their bytes say: an offer's price is its own channel's, and
 * so is a grant's; an offer no newer than one heard, true or a lie, is an echo, for without the
 * gateway's memory the two look alike.
 */
import type { Grant, Offer } from "#core/events";
import { channelTagOf } from "#core/rungs";

interface Heard {
  price: number;
  /** When it last went above the ceiling or came below it, world milliseconds. */
  sinceMs: number;
  charged: number;
}

export class PricesHeard {
  private readonly ceiling: number;
  private readonly byTag = new Map<number, Heard>();
  private revision = 0;

  /** @param ceiling what the light refuses to exceed, atomic units per million metered units */
  constructor(ceiling: number) {
    this.ceiling = ceiling;
  }

  /** The light's memory of prices went with its power. */
  forget(): void {
    this.byTag.clear();
    this.revision = 0;
  }

  /** A lie under the right tag, whose channel id is right too: its price counts for nothing, its revision is used up. */
  lied(offer: Offer): void {
    this.revision = Math.max(this.revision, offer.revision);
  }

  offered(offer: Offer, nowMs: number): void {
    if (offer.revision <= this.revision) return;
    this.revision = offer.revision;
    const heard = this.of(channelTagOf(offer.channelId));
    heard.charged = Math.max(heard.charged, offer.charged);
    this.priced(heard, offer.pricePerMillionUnits, nowMs);
  }

  granted(grant: Grant, nowMs: number): void {
    const heard = this.of(grant.channelTag);
    if (grant.refusal !== null || grant.charged <= heard.charged) return;
    heard.charged = grant.charged;
    if (grant.pricePerMillionUnits > 0) this.priced(heard, grant.pricePerMillionUnits, nowMs);
  }

  /** The price on a channel when it has been above the ceiling for longer than `graceMs`, else null. */
  tooHigh(channelId: string, nowMs: number, graceMs: number): number | null {
    const { price, sinceMs } = this.of(channelTagOf(channelId));
    return price > this.ceiling && nowMs - sinceMs > graceMs ? price : null;
  }

  private priced(heard: Heard, price: number, nowMs: number): void {
    if (price > this.ceiling !== heard.price > this.ceiling) heard.sinceMs = nowMs;
    heard.price = price;
  }

  private of(channelTag: number): Heard {
    let heard = this.byTag.get(channelTag);
    if (heard === undefined) {
      heard = { price: 0, sinceMs: 0, charged: 0 };
      this.byTag.set(channelTag, heard);
    }
    return heard;
  }
}
