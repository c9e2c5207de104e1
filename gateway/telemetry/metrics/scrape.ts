/**
 * Metrics whose values are read from their source at each scrape.
 *
 * Promise: what is counted elsewhere is shown as it is there, however often it is scraped.
 */
import { Counter, Gauge, type Registry } from "prom-client";

/** Values by labels: [{ part: "broker" }, 1]. */
type Labelled = readonly (readonly [Readonly<Record<string, string>>, number])[];

export class Scrape {
  readonly #registers: Registry[];

  constructor(registry: Registry) {
    this.#registers = [registry];
  }

  gauge(name: string, help: string, read: () => number): void {
    this.gauges(name, help, [], () => [[{}, read()]]);
  }

  total(name: string, help: string, read: () => number): void {
    this.totals(name, help, [], () => [[{}, read()]]);
  }

  gauges(name: string, help: string, labelNames: readonly string[], read: () => Labelled): void {
    const registers = this.#registers;
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        for (const [labels, value] of read()) this.set(labels, value);
      },
    });
  }

  totals(name: string, help: string, labelNames: readonly string[], read: () => Labelled): void {
    const registers = this.#registers;
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value);
      },
    });
  }
}
