/**
 * The gateway's monitoring: hears everything the rules tell, and passes it on to pages, metrics, alarms and
 * Home Assistant.
 *
 * Promise: nothing here can stop or slow a payment: what is heard is counted at once, what takes time runs
 * on timers, and a configuration without `[http]` opens no port.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { detach } from "#core/detach";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import type { Broker } from "./broker/broker.ts";
import type { Access } from "./broker/external/access-probe.ts";
import { clusterTrouble } from "./cluster/cluster.ts";
import type { ClusterStatus } from "./cluster/cluster-status.ts";
import type { Config } from "./config/config.ts";
import type { Api } from "./http/api.ts";
import { dashboardFiles } from "./http/dashboard-files.ts";
import { openFeed } from "./http/feed.ts";
import { type Checks, openHealth } from "./http/health.ts";
import { type HttpServer, openHttpServer } from "./http/server.ts";
import type { WaitingPayments } from "./ledger/store.ts";
import { noteFailure } from "./purchase/faults/note-failure.ts";
import type { Note, Observe } from "./purchase/ports.ts";
import type { Timing } from "./purchase/timed-ports.ts";
import { isSelling } from "./sellers/seller-health.ts";
import type { SellerStatus } from "./sellers/seller-status.ts";
import type { AccessSources } from "./telemetry/access-metrics.ts";
import { openAlarms } from "./telemetry/alarms.ts";
import { openFleet } from "./telemetry/fleet-view.ts";
import { frameOf } from "./telemetry/frames.ts";
import { openHomeAssistant } from "./telemetry/home-assistant.ts";
import { readLocations } from "./telemetry/locations.ts";
import { openMetrics } from "./telemetry/metrics.ts";
import { openWebhooks } from "./telemetry/webhooks.ts";

export interface MonitoringParts {
  readonly broker: Pick<Broker, "isUp" | "retain">;
  readonly cluster: () => ClusterStatus;
  /** Atomic units; rejects while the chain does not answer. */
  readonly treasuryAtomic: () => Promise<number>;
  readonly treasuryAddress: string;
  /** In the order of preference. */
  readonly sellers: () => readonly SellerStatus[];
  readonly ledger: Api["ledger"];
  readonly journal: () => WaitingPayments;
  readonly access: AccessSources;
  readonly note: Note;
}

export interface Monitoring {
  readonly observe: Observe;
  readonly timing: Timing;
  /** Null when the configuration opens no port. */
  readonly url: string | null;
  close(): Promise<void>;
}

const SAMPLE_MS = 1_000;
const TICK_MS = 500;
const ALARM_MS = 5_000;
const LOOK_MS = 30_000;

const TOKEN_CHARACTERS_MIN = 16;

export function monotonicSeconds(): number {
  return performance.now() / 1000;
}

const wallSeconds = () => Date.now() / 1000;

/** What a configuration names that must be read before anything starts. Throws one line. */
export function readMonitoringFiles({ http, map, webhook }: Config) {
  return {
    token: http?.tokenFile === undefined ? null : tokenIn("http.tokenFile", http.tokenFile),
    locations: map === undefined ? new Map() : readLocations(textIn("map.places", map.places), map.places),
    webhooks: webhook.map(({ url, events, secretFile }) => ({
      url,
      events,
      secret: tokenIn("webhook.secretFile", secretFile),
    })),
  };
}

export async function openMonitoring(
  config: Config,
  files: ReturnType<typeof readMonitoringFiles>,
  parts: MonitoringParts,
): Promise<Monitoring> {
  const { note, broker } = parts;
  const fleet = openFleet({ locations: files.locations, lightsMax: config.limits.devices, now: wallSeconds });
  const feed = openFeed(fleet);
  const health = openHealth({
    brokerIsUp: () => broker.isUp(),
    brokerWarning: () => warningOf(parts.access.others()),
    dutyTrouble: () => clusterTrouble(parts.cluster()),
    sellers: parts.sellers,
    treasuryAtomic: parts.treasuryAtomic,
    dataFolder: config.gateway.data,
    wallSeconds,
    monotonicSeconds,
  });
  const webhooks = openWebhooks(files.webhooks, note);
  const alarms = openAlarms({
    lowBalanceDays: config.alarms.lowBalanceDays,
    treasuryMinAtomic: config.treasury.lowBalanceAtomic,
  });
  const metrics = openMetrics({
    fleet,
    lightsMax: config.limits.devices,
    lowBalanceDays: config.alarms.lowBalanceDays,
    isUp: () => goodIn(health.checks()),
    cluster: parts.cluster,
    sellers: parts.sellers,
    treasuryAtomic: () => health.treasuryAtomic,
    access: parts.access,
    journal: parts.journal,
    viewers: () => feed.viewers,
    webhooksQueued: () => webhooks.queued,
    now: wallSeconds,
  });
  const homeAssistant = openHomeAssistant({
    isEnabled: config.homeAssistant.enabled,
    prefix: config.homeAssistant.prefix,
    ...config.money,
    memoryFile: join(config.gateway.data, "home-assistant.txt"),
    retain: (topic, text) => broker.retain(topic, text),
  });
  let differences = 0;

  function lookForAlarms(): void {
    const around = {
      sellerDown: sellersDown(parts.sellers()),
      treasuryAtomic: health.treasuryAtomic,
      differences,
    };
    for (const alarm of alarms.look(fleet, around, wallSeconds())) {
      const told = { ...alarm, reason: alarm.kind };
      if (alarm.phase === "begins") note("warn", "an alarm begins", told);
      else note("info", "an alarm ends", told);
      webhooks.tell(alarm);
    }
  }

  await health.look();
  const timers = [
    setInterval(() => fleet.sample(), SAMPLE_MS),
    setInterval(() => feed.tick(), TICK_MS),
    setInterval(lookForAlarms, ALARM_MS),
    setInterval(() => detach(health.look(), noteFailure(note, "looking at the parts' health")), LOOK_MS),
  ];
  const stopTimers = () => {
    for (const timer of timers) clearInterval(timer);
  };

  let server: HttpServer | null = null;
  try {
    server = await serve();
  } catch (error) {
    stopTimers();
    webhooks.close();
    throw error;
  }

  async function serve(): Promise<HttpServer | null> {
    if (config.http === undefined) return null;
    const { host, port } = config.http;
    return openHttpServer({
      host,
      port,
      token: files.token,
      fleet,
      feed,
      health,
      metrics,
      ledger: parts.ledger,
      money: config.money,
      unit: config.sellers[0]!.unit,
      sellers: parts.sellers,
      cluster: parts.cluster,
      treasuryAtomic: () => health.treasuryAtomic,
      treasuryAddress: parts.treasuryAddress,
      version: packageVersion(),
      page: dashboardFiles(),
    });
  }

  return {
    observe(occurrence) {
      fleet.observe(occurrence);
      metrics.observe(occurrence);
      if (occurrence.type === "differs") differences += 1;
      if (occurrence.type === "hello") {
        const light = fleet.light(occurrence.device);
        if (light !== null) homeAssistant.announce({ ...light, name: light.location?.name ?? null });
      }
      if (occurrence.type === "evicted") {
        const { payments = 0, charged = 0 } = fleet.light(occurrence.device) ?? {};
        if (payments === 0 && charged === 0) homeAssistant.forget(occurrence.device);
      }
      if (!feed.wantsFrames) return;
      const frame = frameOf(occurrence, wallSeconds());
      if (frame !== null) feed.frame(frame);
    },
    timing: {
      took(stage, seconds, isGood) {
        metrics.took(stage, seconds, isGood);
        if (stage === "ledger") health.ledgerCommitted(isGood);
      },
      deposited: (amountAtomic) => metrics.deposited(amountAtomic),
    },
    url: server?.url ?? null,
    async close() {
      stopTimers();
      webhooks.close();
      feed.close();
      await server?.close();
    },
  };
}

/** Every seller that does not sell, with its reason; null when all do. */
function sellersDown(sellers: readonly SellerStatus[]): string | null {
  const down = sellers.filter(({ standing }) => !isSelling(standing));
  return down.length === 0 ? null : down.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
}

function warningOf(access: Access | null): string {
  return access?.kind === "open" ? access.reason : "";
}

function goodIn(checks: Checks): Readonly<Record<keyof Checks, boolean>> {
  const { broker, seller, ledger, clock, chain, duty } = checks;
  return {
    broker: broker.isGood,
    seller: seller.isGood,
    ledger: ledger.isGood,
    clock: clock.isGood,
    chain: chain.isGood,
    duty: duty.isGood,
  };
}

/** Places of a million lights, a line each. */
const FILE_BYTES_MAX = 128 * 1024 * 1024;

function textIn(member: string, file: string): string {
  return readText(file, `${member}: ${file}`, FILE_BYTES_MAX);
}

function tokenIn(member: string, file: string): string {
  const token = textIn(member, file).trim();
  if (token.length >= TOKEN_CHARACTERS_MIN && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new Watt402Error(
    "file-invalid",
    `${member}: ${file}: expected at least ${TOKEN_CHARACTERS_MIN} printable characters without spaces, found ` +
      `${token.length}; make one with: openssl rand -hex 32`,
  );
}

function packageVersion(): string {
  const file = new URL("../package.json", import.meta.url);
  return (parseJson(readFileSync(file, "utf8")) as { version: string }).version;
}
