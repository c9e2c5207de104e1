/**
 * Metrics about access: connections, refusals by reason, devices that wait for approval.
 *
 * Promise: reasons are the closed list of gateway/broker/auth/refusals.ts; an external broker has none here.
 */
import type { BrokerWatch } from "../../broker/broker.ts";
import type { Access } from "../../broker/external/access-probe.ts";
import type { CertificateUse } from "../../config/broker-section.ts";
import type { Scrape } from "./scrape.ts";

export interface AccessSources {
  /** Null: the broker is an external one. */
  readonly broker: () => BrokerWatch | null;
  /** What an external broker lets devices read; null: the broker is the gateway's own. */
  readonly others: () => Access | null;
  readonly devicesPending: () => number;
  /** Seconds that are left to each certificate in use; negative: it has expired. */
  readonly certificates: () => Readonly<Partial<Record<CertificateUse, number>>>;
}

const OPEN: Readonly<Record<Access["kind"], number>> = { open: 1, closed: 0, "not-tested": Number.NaN };

export function registerAccess(scrape: Scrape, sources: AccessSources): void {
  const { broker, others, devicesPending, certificates } = sources;
  scrape.totals(
    "watt402_broker_refused_total",
    "What the gateway's own broker refused, by reason",
    ["reason"],
    () => Object.entries(broker()?.refused ?? {}).map(([reason, count]) => [{ reason }, count]),
  );
  scrape.total(
    "watt402_broker_take_overs_total",
    "Logins that ended an older connection of the same device",
    () => broker()?.takeOvers ?? 0,
  );
  scrape.gauge(
    "watt402_broker_connections",
    "Connections to the gateway's own broker, logged in or not",
    () => broker()?.connections ?? 0,
  );
  scrape.gauge(
    "watt402_broker_open",
    "1 while the broker lets a device read other devices' messages, 0 when it does not; NaN: not tested",
    () => OPEN[others()?.kind ?? "closed"],
  );
  scrape.gauges(
    "watt402_certificate_expires_seconds",
    "Seconds until a certificate in use expires: the broker's, its clients' authority, the gateway's own at an external broker",
    ["which"],
    () => Object.entries(certificates()).map(([which, seconds]) => [{ which }, seconds]),
  );
  scrape.gauge("watt402_devices_pending", "Devices that wait for approval", devicesPending);
}
