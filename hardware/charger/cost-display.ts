/**
 * Cost so far, on the charge point's display.
 *
 * Promise: a charge point that cannot show it says so once, and is not told again while it is connected.
 */
import type { Clock } from "#core/ports";
import type { CostShown, StationCommands } from "./ocpp/ports.ts";

/** Behind the answer to the message that it follows from. */
const SOON_MS = 20;

export class CostDisplay {
  readonly #clock: Clock;
  readonly #tokenDecimals: number;
  #commands: StationCommands | null = null;

  constructor(clock: Clock, tokenDecimals: number) {
    this.#clock = clock;
    this.#tokenDecimals = tokenDecimals;
  }

  attach(commands: StationCommands | null): void {
    this.#commands = commands;
  }

  /** Whole currency of atomic token units. */
  inCurrency(atomic: number): number {
    return Number((atomic / 10 ** this.#tokenDecimals).toFixed(6));
  }

  show(transactionId: string, shown: CostShown): void {
    const commands = this.#commands;
    if (commands === null) return;
    const without = () => {
      if (this.#commands === commands) this.#commands = null;
    };
    this.#clock.at(this.#clock.nowMs() + SOON_MS, () => {
      commands.showCost(transactionId, shown).then((accepted) => accepted || without(), without);
    });
  }
}
