/**
 * Numbers about who may speak: connections, refusals by reason, devices that wait for approval.
 *
 * Promise: reasons are the closed list of broker/refusals.ts; a broker of others tells none of its own.
 */

import { Counter, Gauge, type Registry } from "prom-client";
import type { BrokerWatch } from "../broker/broker.ts";
import type { Access } from "../broker/external/access-probe.ts";
import type { CertificateUse } from "../config/broker-section.ts";

export interface AccessSources {
  /** Null: the broker is somebody else's. */
  readonly broker: () => BrokerWatch | null;
  /** What a broker of others lets devices read; null: the broker is the gateway's own. */
  readonly others: () => Access | null;
  readonly devicesPending: () => number;
  /** Seconds that are left to each certificate in use; negative: it has expired. */
  readonly certificates: () => Readonly<Partial<Record<CertificateUse, number>>>;
}

const OPEN: Readonly<Record<Access["kind"], number>> = { open: 1, closed: 0, "not-tested": Number.NaN };

export function registerAccess(registry: Registry, sources: AccessSources): void {
  const { broker, others, devicesPending, certificates } = sources;
  const registers = [registry];
  new Counter({
    name: "watt402_broker_refused_total",
    help: "What the gateway's own broker said no to, by reason",
    labelNames: ["reason"],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(broker()?.refused ?? {})) this.inc({ reason }, count);
    },
  });
  new Counter({
    name: "watt402_broker_take_overs_total",
    help: "Logins that took the place of an older connection of the same device",
    registers,
    collect() {
      this.reset();
      this.inc(broker()?.takeOvers ?? 0);
    },
  });
  new Gauge({
    name: "watt402_broker_connections",
    help: "Connections to the gateway's own broker, logged in or not",
    registers,
    collect() {
      this.set(broker()?.connections ?? 0);
    },
  });
  new Gauge({
    name: "watt402_broker_open",
    help: "1 while the broker lets a device read what others are told, 0 when it does not; NaN: not tested",
    registers,
    collect() {
      this.set(OPEN[others()?.kind ?? "closed"]);
    },
  });
  new Gauge({
    name: "watt402_certificate_expires_seconds",
    help: "Seconds until a certificate in use expires: the broker's, its clients' authority, the gateway's own at a broker of others",
    labelNames: ["which"],
    registers,
    collect() {
      for (const [which, seconds] of Object.entries(certificates())) this.set({ which }, seconds);
    },
  });
  new Gauge({
    name: "watt402_devices_pending",
    help: "Devices that wait for approval",
    registers,
    collect() {
      this.set(devicesPending());
    },
  });
}
