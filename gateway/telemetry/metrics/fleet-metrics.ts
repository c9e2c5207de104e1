/**
 * Metrics of the fleet, and of the gateway's part of it, read from their sources at each scrape.
 *
 * Promise: labels come from closed lists, never from devices.
 */
import { failureCount } from "#core/detach";
import type { ClusterStatus } from "../../cluster/cluster-status.ts";
import type { WaitingPayments } from "../../ledger/store.ts";
import type { TreasuryBalance } from "../alarms.ts";
import type { Fleet } from "../fleet-view.ts";
import { type CheckName, CONDITIONS } from "../labels.ts";
import { daysLeft } from "../light-view.ts";
import type { Scrape } from "./scrape.ts";
import { labelsOf, TOKEN_LABELS } from "./token-labels.ts";

export interface FleetSources {
  readonly fleet: Fleet;
  readonly lowBalanceDays: number;
  readonly isUp: () => Readonly<Record<CheckName, boolean>>;
  readonly cluster: () => ClusterStatus;
  readonly treasury: () => readonly TreasuryBalance[];
  /** Payments that are in the journal alone. */
  readonly journal: () => WaitingPayments;
  readonly viewers: () => number;
  readonly webhooksQueued: () => number;
  /** Unix seconds. */
  readonly now: () => number;
}

export function registerFleet(scrape: Scrape, sources: FleetSources): void {
  registerLights(scrape, sources);
  registerCluster(scrape, sources.cluster);
  registerJournal(scrape, sources);
  scrape.gauges(
    "watt402_treasury_balance_atomic",
    "The treasury's tokens; NaN while their chain does not answer",
    TOKEN_LABELS,
    () => sources.treasury().map((token) => [labelsOf(token), token.balanceAtomic ?? Number.NaN]),
  );
  scrape.total(
    "watt402_unforeseen_failures_total",
    "Failures that no part of the gateway handled: of detached work, or found by the process itself",
    failureCount,
  );
  scrape.gauge("watt402_viewers", "Viewers of the live feed", sources.viewers);
  scrape.gauge("watt402_webhooks_queued", "Webhook deliveries that wait", sources.webhooksQueued);
  scrape.gauges(
    "watt402_up",
    "1 while a part does its work: broker, seller, ledger, clock, chain, duty",
    ["part"],
    () => Object.entries(sources.isUp()).map(([part, isUp]) => [{ part }, isUp ? 1 : 0]),
  );
}

function registerLights(scrape: Scrape, { fleet, lowBalanceDays, now }: FleetSources): void {
  scrape.total("watt402_payments_total", "Payments granted", () => fleet.summary().payments);
  scrape.totals(
    "watt402_spent_atomic_total",
    "Money charged for grants, atomic units of the token",
    TOKEN_LABELS,
    () => fleet.summary().tokens.map((token) => [labelsOf(token), token.spentAtomic]),
  );
  scrape.gauge("watt402_power_watts", "Power of all lights", () => fleet.summary().powerMilliwatts / 1000);
  scrape.gauges(
    "watt402_price_atomic_per_million_units",
    "The tariff offered last, atomic units of the token per million metered units (for mWh: per kWh)",
    TOKEN_LABELS,
    () => fleet.summary().tokens.map((token) => [labelsOf(token), token.pricePerMillionUnits]),
  );
  scrape.gauge(
    "watt402_low_balance_lights",
    `Lights whose deposit lasts less than ${lowBalanceDays} days`,
    () => {
      const isLow = (days: number | null) => days !== null && days < lowBalanceDays;
      return fleet.lights.filter((light) => isLow(daysLeft(light, now()))).length;
    },
  );
  const unknownSince = () =>
    fleet.lights.flatMap(({ unknownSinceSeconds: since }) => (since === null ? [] : [since]));
  scrape.gauge(
    "watt402_unknown_outcomes",
    "Lights whose payment was presented and is neither paid nor unpaid, as far as is known",
    () => unknownSince().length,
  );
  scrape.gauge(
    "watt402_oldest_unknown_outcome_seconds",
    "Time for which the outcome that is missing longest is not known",
    () => unknownSince().reduce((oldest, since) => Math.max(oldest, now() - since), 0),
  );
  scrape.gauges("watt402_lights", "Lights, by condition", ["condition"], () => {
    const { lights } = fleet.summary();
    return CONDITIONS.map((condition) => [{ condition }, lights[condition]]);
  });
}

function registerCluster(scrape: Scrape, cluster: () => ClusterStatus): void {
  scrape.gauge(
    "watt402_members",
    "Live gateways that share this fleet, this one included",
    () => cluster().members.filter(({ isLive }) => isLive).length || 1,
  );
  scrape.gauge(
    "watt402_duty_ratio",
    "Part of the fleet that this gateway takes the payments of, 0 to 1",
    () => {
      const { slots, slotsOfAll } = cluster();
      return slotsOfAll === 0 ? 0 : slots / slotsOfAll;
    },
  );
  scrape.gauge(
    "watt402_lease_seconds",
    "What is left of the lease by which payments are taken; NaN for a gateway alone",
    () => cluster().leaseLeftSeconds ?? Number.NaN,
  );
  scrape.total(
    "watt402_takeovers_total",
    "Parts of the fleet, of 64, taken over from gateways that vanished",
    () => cluster().takeovers,
  );
}

function registerJournal(scrape: Scrape, { journal, now }: FleetSources): void {
  scrape.gauge(
    "watt402_journal_payments",
    "Payments that are durable in the journal and not in the ledger's tables yet",
    () => journal().payments,
  );
  scrape.gauge("watt402_journal_bytes", "Size of the journal's files", () => journal().bytes);
  scrape.gauge(
    "watt402_journal_oldest_seconds",
    "Age of the oldest payment that is in the journal alone",
    () => {
      const { sinceSeconds } = journal();
      return sinceSeconds === null ? 0 : Math.max(0, now() - sinceSeconds);
    },
  );
}
