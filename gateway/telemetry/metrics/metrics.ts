/**
 * The gateway's metrics for Prometheus. Names end in units; counters in `_total`.
 *
 * Promise: labels come from closed lists, never from devices, so a fleet of any size makes as many series
 * as a single light.
 */
import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";
import type { PaymentToken } from "#protocol/payment-token";
import type { GatewayEvent, Timing } from "../../purchase/ports.ts";
import type { SellerStatus } from "../../sellers/seller-status.ts";
import { type AccessSources, registerAccess } from "./access-metrics.ts";
import { type FleetSources, registerFleet } from "./fleet-metrics.ts";
import { Scrape } from "./scrape.ts";
import { registerSellers } from "./seller-metrics.ts";
import { labelsOf, TOKEN_LABELS } from "./token-labels.ts";

/** What is read at each scrape. */
interface MetricSources extends FleetSources {
  readonly lightsMax: number;
  readonly sellers: () => readonly SellerStatus[];
  readonly access: AccessSources;
}

/** From a grant out of the ledger to a deposit that waits for its block. */
const STAGE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export class Metrics implements Omit<Timing, "nowSeconds"> {
  readonly #registry = new Registry();
  readonly #now: () => number;
  readonly #lightsMax: number;
  readonly #refusals = this.#counter("watt402_refusals_total", "Payments refused, by code", ["code"]);
  readonly #dropped = this.#counter(
    "watt402_dropped_total",
    "Messages dropped without an answer, by reason",
    ["reason"],
  );
  readonly #hellos = this.#counter("watt402_hellos_total", "Enrolments of devices");
  readonly #offers = this.#counter("watt402_offers_total", "Offers published");
  readonly #differences = this.#counter(
    "watt402_ledger_differences_total",
    "Times that ledger and seller counted grants differently",
  );
  readonly #deposits = this.#counter("watt402_deposits_total", "Deposits confirmed", TOKEN_LABELS);
  readonly #deposited = this.#counter(
    "watt402_deposited_atomic_total",
    "Money deposited into channels and wallets, atomic units of the token",
    TOKEN_LABELS,
  );
  readonly #stages = new Histogram({
    name: "watt402_stage_seconds",
    help: "Time of a purchase (PAY to GRANT) and of its stages: the seller's answer, the ledger's commit",
    labelNames: ["stage", "outcome"],
    buckets: STAGE_BUCKETS,
    registers: [this.#registry],
  });
  /** When each PAY that waits for its answer came, by device, oldest first. */
  readonly #waiting = new Map<string, number>();
  #paidSeconds = 0;

  constructor(sources: MetricSources) {
    this.#now = sources.now;
    this.#lightsMax = sources.lightsMax;
    collectDefaultMetrics({ register: this.#registry });
    const scrape = new Scrape(this.#registry);
    for (const token of sources.treasury()) this.#deposited.inc(labelsOf(token), 0);
    registerAccess(scrape, sources.access);
    registerFleet(scrape, sources);
    registerSellers(scrape, sources.sellers);
    scrape.gauge(
      "watt402_last_payment_timestamp_seconds",
      "Unix time of the last payment; 0 before the first",
      () => this.#paidSeconds,
    );
    scrape.gauge("watt402_purchases_waiting", "PAYs that wait for their answer", () => this.#waiting.size);
    scrape.gauge("watt402_oldest_purchase_seconds", "Age of the PAY that waits longest", () => {
      const [oldest] = this.#waiting.values();
      return oldest === undefined ? 0 : Math.max(0, this.#now() - oldest);
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  observe(event: GatewayEvent): void {
    switch (event.type) {
      case "hello":
        this.#hellos.inc();
        break;
      case "offered":
        this.#offers.inc();
        break;
      case "differs":
        this.#differences.inc();
        break;
      case "dropped":
        this.#dropped.inc({ reason: event.reason });
        break;
      case "lost":
      case "released":
      case "evicted":
        this.#waiting.delete(event.device);
        break;
      case "pay":
        if (!this.#waiting.has(event.device) && this.#waiting.size < this.#lightsMax) {
          this.#waiting.set(event.device, this.#now());
        }
        break;
      case "answered":
        this.#answered(event);
    }
  }

  took(stage: "seller" | "ledger", seconds: number, isGood: boolean): void {
    this.#took(stage, seconds, isGood);
    if (stage === "ledger" && isGood) this.#paidSeconds = this.#now();
  }

  deposited(token: PaymentToken, amountAtomic: number): void {
    this.#deposits.inc(labelsOf(token));
    this.#deposited.inc(labelsOf(token), amountAtomic);
  }

  #answered({ device, grant, tookSeconds }: Extract<GatewayEvent, { type: "answered" }>): void {
    this.#waiting.delete(device);
    this.#took("purchase", tookSeconds, grant.refusal === null);
    if (grant.refusal !== null) this.#refusals.inc({ code: grant.refusal });
  }

  #took(stage: "seller" | "ledger" | "purchase", seconds: number, isGood: boolean): void {
    this.#stages.observe({ stage, outcome: isGood ? "good" : "failed" }, seconds);
  }

  #counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }
}
