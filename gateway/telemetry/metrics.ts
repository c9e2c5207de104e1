/**
 * The gateway's numbers for Prometheus. Names end in units; counters in `_total`.
 *
 * Promise: labels come from closed lists, never from devices, so a fleet of any size makes as many series
 * as a single light.
 */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { failureCount } from "#core/detach";
import type { ClusterStatus } from "../cluster/cluster-status.ts";
import type { WaitingPayments } from "../ledger/store.ts";
import type { Observe } from "../purchase/ports.ts";
import type { Timing } from "../purchase/timed-ports.ts";
import { isSelling } from "../sellers/seller-health.ts";
import type { SellerStatus } from "../sellers/seller-status.ts";
import { type AccessSources, registerAccess } from "./access-metrics.ts";
import type { Fleet } from "./fleet-view.ts";
import { type CheckName, CONDITIONS } from "./labels.ts";
import { daysLeft } from "./light-view.ts";

/** What is asked for when somebody reads the metrics. */
export interface MetricSources {
  readonly fleet: Fleet;
  readonly lightsMax: number;
  readonly lowBalanceDays: number;
  readonly isUp: () => Readonly<Record<CheckName, boolean>>;
  readonly cluster: () => ClusterStatus;
  readonly sellers: () => readonly SellerStatus[];
  /** Null while unknown. */
  readonly treasuryAtomic: () => number | null;
  readonly access: AccessSources;
  /** Payments that are in the journal alone. */
  readonly journal: () => WaitingPayments;
  readonly viewers: () => number;
  readonly webhooksQueued: () => number;
  /** Unix seconds. */
  readonly now: () => number;
}

export interface Metrics extends Timing {
  readonly observe: Observe;
  readonly contentType: string;
  text(): Promise<string>;
}

/** From a grant out of the ledger to a deposit that waits for its block. */
const STAGE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function openMetrics(sources: MetricSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  registerAccess(registry, sources.access);
  const { fleet, now } = sources;

  total("watt402_payments_total", "Payments granted", () => fleet.summary().payments);
  total("watt402_spent_atomic_total", "Money charged for grants, atomic units of the token", () => {
    return fleet.summary().spentAtomic;
  });
  const refusals = new Counter({
    name: "watt402_refusals_total",
    help: "Payments refused, by code",
    labelNames: ["code"],
    registers,
  });
  const dropped = new Counter({
    name: "watt402_dropped_total",
    help: "Messages dropped without an answer, by reason",
    labelNames: ["reason"],
    registers,
  });
  const hellos = new Counter({ name: "watt402_hellos_total", help: "Enrolments of devices", registers });
  const offers = new Counter({ name: "watt402_offers_total", help: "Offers published", registers });
  const differences = new Counter({
    name: "watt402_ledger_differences_total",
    help: "Times that ledger and seller counted grants differently",
    registers,
  });
  const deposits = new Counter({ name: "watt402_deposits_total", help: "Deposits confirmed", registers });
  const deposited = new Counter({
    name: "watt402_deposited_atomic_total",
    help: "Money deposited into channels and wallets, atomic units of the token",
    registers,
  });
  const stages = new Histogram({
    name: "watt402_stage_seconds",
    help: "Time of a purchase (PAY to GRANT) and of its stages: the seller's answer, the ledger's commit",
    labelNames: ["stage", "outcome"],
    buckets: STAGE_BUCKETS,
    registers,
  });
  /** PAYs that wait for their answer, by device, oldest first. */
  const waiting = new Map<string, number>();
  let paidSeconds = 0;

  gauge("watt402_power_watts", "Power of all lights", () => fleet.summary().powerMilliwatts / 1000);
  gauge(
    "watt402_price_atomic_per_million_units",
    "The tariff, atomic units per million metered units (for mWh: per kWh)",
    () => fleet.summary().pricePerMillionUnits,
  );
  gauge(
    "watt402_last_payment_timestamp_seconds",
    "Unix time of the last payment; 0 before the first",
    () => paidSeconds,
  );
  gauge("watt402_purchases_waiting", "PAYs that wait for their answer", () => waiting.size);
  gauge("watt402_oldest_purchase_seconds", "Age of the PAY that waits longest", () => {
    const [oldest] = waiting.values();
    return oldest === undefined ? 0 : Math.max(0, now() - oldest);
  });
  gauge(
    "watt402_treasury_balance_atomic",
    "The treasury's tokens; NaN while the chain does not answer",
    () => {
      return sources.treasuryAtomic() ?? Number.NaN;
    },
  );
  gauge(
    "watt402_low_balance_lights",
    `Lights whose deposit lasts less than ${sources.lowBalanceDays} days`,
    () => {
      const isLow = (days: number | null) => days !== null && days < sources.lowBalanceDays;
      return fleet.lights.filter((light) => isLow(daysLeft(light, now()))).length;
    },
  );
  gauge(
    "watt402_members",
    "Live gateways that share this fleet, this one included",
    () => sources.cluster().members.filter(({ isLive }) => isLive).length || 1,
  );
  gauge("watt402_duty_ratio", "Part of the fleet that this gateway takes the payments of, 0 to 1", () => {
    const { slots, slotsOfAll } = sources.cluster();
    return slotsOfAll === 0 ? 0 : slots / slotsOfAll;
  });
  gauge(
    "watt402_lease_seconds",
    "What is left of the lease by which payments are taken; NaN for a gateway alone",
    () => sources.cluster().leaseLeftSeconds ?? Number.NaN,
  );
  total(
    "watt402_takeovers_total",
    "Parts of the fleet, of 64, taken over from gateways that vanished",
    () => sources.cluster().takeovers,
  );
  total(
    "watt402_unforeseen_failures_total",
    "Failures that no part of the gateway answered for: of detached work, or found by the process itself",
    failureCount,
  );
  gauge(
    "watt402_journal_payments",
    "Payments that are durable in the journal and not in the ledger's tables yet",
    () => sources.journal().payments,
  );
  gauge("watt402_journal_bytes", "Size of the journal's files", () => sources.journal().bytes);
  gauge("watt402_journal_oldest_seconds", "Age of the oldest payment that is in the journal alone", () => {
    const { sinceSeconds } = sources.journal();
    return sinceSeconds === null ? 0 : Math.max(0, now() - sinceSeconds);
  });
  gauge("watt402_viewers", "Viewers of the live feed", () => sources.viewers());
  gauge("watt402_webhooks_queued", "Webhook deliveries that wait", () => sources.webhooksQueued());
  new Gauge({
    name: "watt402_lights",
    help: "Lights, by condition",
    labelNames: ["condition"],
    registers,
    collect() {
      const { lights } = fleet.summary();
      for (const condition of CONDITIONS) this.set({ condition }, lights[condition]);
    },
  });
  new Gauge({
    name: "watt402_up",
    help: "1 while a part does its work: broker, seller, ledger, clock, chain, duty",
    labelNames: ["part"],
    registers,
    collect() {
      for (const [part, isUp] of Object.entries(sources.isUp())) this.set({ part }, isUp ? 1 : 0);
    },
  });

  new Gauge({
    name: "watt402_seller_up",
    help: "1 while a seller takes payments, as far as anybody knows; by the configuration's name",
    labelNames: ["seller"],
    registers,
    collect() {
      for (const { name, standing } of sources.sellers()) {
        this.set({ seller: name }, isSelling(standing) ? 1 : 0);
      }
    },
  });
  new Gauge({
    name: "watt402_seller_price_atomic_per_million_units",
    help: "A seller's tariff, atomic units per million metered units; absent before its first answer",
    labelNames: ["seller"],
    registers,
    collect() {
      for (const { name, pricePerMillionUnits } of sources.sellers()) {
        if (pricePerMillionUnits !== null) this.set({ seller: name }, pricePerMillionUnits);
      }
    },
  });
  new Gauge({
    name: "watt402_seller_calls_waiting",
    help: "Calls to a seller that are under way or wait for a connection",
    labelNames: ["seller"],
    registers,
    collect() {
      for (const { name, underWay, waiting } of sources.sellers()) {
        this.set({ seller: name }, underWay + waiting);
      }
    },
  });
  new Counter({
    name: "watt402_seller_calls_total",
    help: "Calls to a seller: answered, failed, or refused because it is to be left alone or too slow",
    labelNames: ["seller", "outcome"],
    registers,
    collect() {
      this.reset();
      for (const { name, answered, failed, refused } of sources.sellers()) {
        for (const [outcome, calls] of Object.entries({ answered, failed, refused })) {
          this.inc({ seller: name, outcome }, calls);
        }
      }
    },
  });

  function gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  }

  /** A counter that somebody else counts. */
  function total(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  return {
    observe(occurrence) {
      if (occurrence.type === "hello") hellos.inc();
      else if (occurrence.type === "offered") offers.inc();
      else if (occurrence.type === "differs") differences.inc();
      else if (occurrence.type === "dropped") dropped.inc({ reason: occurrence.reason });
      else if (["lost", "released", "evicted"].includes(occurrence.type) && "device" in occurrence)
        waiting.delete(occurrence.device);
      else if (occurrence.type === "pay") {
        if (!waiting.has(occurrence.device) && waiting.size < sources.lightsMax)
          waiting.set(occurrence.device, now());
      } else if (occurrence.type === "answered") {
        const { device, grant, tookSeconds } = occurrence;
        waiting.delete(device);
        stages.observe(
          { stage: "purchase", outcome: grant.refusal === null ? "good" : "failed" },
          tookSeconds,
        );
        if (grant.refusal !== null) refusals.inc({ code: grant.refusal });
      }
    },
    took(stage, seconds, isGood) {
      stages.observe({ stage, outcome: isGood ? "good" : "failed" }, seconds);
      if (stage === "ledger" && isGood) paidSeconds = now();
    },
    deposited(amountAtomic) {
      deposits.inc();
      deposited.inc(amountAtomic);
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}
