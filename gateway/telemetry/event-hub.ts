/**
 * Where the rules report to, before and after monitoring is open.
 *
 * Promise: an event costs nothing while nothing listens.
 */
import { type GatewayEvent, type Observe, type Timing, UNTIMED } from "../purchase/ports.ts";

interface Listener {
  observe(event: GatewayEvent): void;
  readonly timing: Omit<Timing, "nowSeconds">;
}

export class EventHub {
  #listener: Listener = { observe: () => {}, timing: UNTIMED };

  readonly observe: Observe = (event) => this.#listener.observe(event);

  readonly timing: Timing = {
    nowSeconds: () => performance.now() / 1000,
    took: (part, seconds, isGood) => this.#listener.timing.took(part, seconds, isGood),
    deposited: (token, amountAtomic) => this.#listener.timing.deposited(token, amountAtomic),
  };

  report(listener: Listener): void {
    this.#listener = listener;
  }
}
