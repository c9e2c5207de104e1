/**
 * Events that wait while the effects of the one before are carried out.
 *
 * Promise: first in, first out, and bounded. Of ticks, plans and link changes only the newest is worth
 * keeping, so each holds one place; grants and offers are refused when full: the next one carries
 * counters at least as high. The host's own failures are few: it reports one after each back-off.
 */
import type { Event } from "#core/events";

/** Messages from the gateway that may wait. */
export const MESSAGES_WAITING_MAX = 64;

export class EventQueue {
  private events: Event[] = [];

  /** False when the event was refused because the queue is full. */
  push(event: Event): boolean {
    if (isMessage(event) && this.events.length >= MESSAGES_WAITING_MAX) return false;
    if (isSuperseding(event)) this.events = this.events.filter((waiting) => waiting.type !== event.type);
    this.events.push(event);
    return true;
  }

  shift(): Event | null {
    const event = this.events.length === 0 ? null : this.events.shift()!;
    // An array that was ever long stays long.
    if (event !== null && this.events.length === 0) this.events = [];
    return event;
  }

  clear(): void {
    this.events = [];
  }
}

function isSuperseding(event: Event): boolean {
  return event.type === "tick" || event.type === "plan" || event.type === "link";
}

function isMessage(event: Event): boolean {
  return event.type === "grant" || event.type === "offer" || event.type === "offer-refused";
}
