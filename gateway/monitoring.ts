/**
 * The gateway's monitoring: passes each event of the rules on to pages, metrics, alarms and Home Assistant.
 *
 * Promise: nothing here can stop or slow a payment: an event is counted at once, what takes time runs
 * on timers, and a configuration without `[http]` opens no port.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { detach } from "#core/detach";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";
import { isSameToken, type PaymentToken } from "#protocol/payment-token";
import type { Broker } from "./broker/broker.ts";
import type { Access } from "./broker/external/access-probe.ts";
import { PRICES_FOLDER } from "./broker/external/external.ts";
import { clusterTrouble } from "./cluster/cluster.ts";
import type { ClusterStatus } from "./cluster/cluster-status.ts";
import type { Config } from "./config/config.ts";
import type { MoneySection } from "./config/monitoring-section.ts";
import type { TokenConfig } from "./config/tokens-section.ts";
import type { Api } from "./http/api.ts";
import { dashboardFiles } from "./http/dashboard-files.ts";
import { Feed } from "./http/feed.ts";
import { Health } from "./http/health.ts";
import { type HttpServer, openHttpServer } from "./http/http-server.ts";
import type { WaitingPayments } from "./ledger/store.ts";
import { noteFailure } from "./purchase/faults/note-failure.ts";
import type { GatewayEvent, Logger, Timing } from "./purchase/ports.ts";
import type { SellerPrices } from "./sellers/price-board.ts";
import { isSelling } from "./sellers/seller-health.ts";
import type { SellerStatus } from "./sellers/seller-status.ts";
import { type AlarmConditions, Alarms } from "./telemetry/alarms.ts";
import { frameOf } from "./telemetry/decoded-frames.ts";
import { Fleet } from "./telemetry/fleet-view.ts";
import { type HomeAssistant, openHomeAssistant } from "./telemetry/home-assistant.ts";
import type { CheckName } from "./telemetry/labels.ts";
import type { Light } from "./telemetry/light-view.ts";
import { readLocations } from "./telemetry/locations.ts";
import type { AccessSources } from "./telemetry/metrics/access-metrics.ts";
import { Metrics } from "./telemetry/metrics/metrics.ts";
import { priceDiscovery, priceMessage } from "./telemetry/price-forms.ts";
import { openWebhooks, type Webhooks } from "./telemetry/webhooks.ts";

interface MonitoringParts {
  readonly broker: Pick<Broker, "isUp" | "retain">;
  readonly cluster: () => ClusterStatus;
  /** Of a token that sellers take, atomic units; rejects while its chain does not answer. */
  readonly treasuryAtomic: (token: PaymentToken) => Promise<number>;
  readonly treasuryAddress: string;
  /** In the order of preference. */
  readonly sellers: () => readonly SellerStatus[];
  /** Of those that publish any. */
  readonly prices: () => readonly SellerPrices[];
  readonly ledger: Api["ledger"];
  readonly journal: () => WaitingPayments;
  readonly access: AccessSources;
  readonly note: Logger;
}

const SAMPLE_MS = 1_000;
const TICK_MS = 500;
const ALARM_MS = 5_000;
const LOOK_MS = 30_000;

const TOKEN_CHARACTERS_MIN = 16;

function monotonicSeconds(): number {
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

type MonitoringFiles = ReturnType<typeof readMonitoringFiles>;

export class Monitoring {
  readonly #config: Config;
  readonly #parts: MonitoringParts;
  readonly #fleet: Fleet;
  readonly #feed: Feed;
  readonly #health: Health;
  readonly #metrics: Metrics;
  readonly #alarms: Alarms;
  readonly #webhooks: Webhooks;
  readonly #homeAssistant: HomeAssistant;
  /** Times that ledger and seller differed, since the start. */
  #differences = 0;
  #timers: readonly NodeJS.Timeout[] = [];
  #server: HttpServer | null = null;

  readonly timing: Omit<Timing, "nowSeconds"> = {
    took: (part, seconds, isGood) => {
      this.#metrics.took(part, seconds, isGood);
      if (part === "ledger") this.#health.ledgerCommitted(isGood);
    },
    deposited: (token, amountAtomic) => this.#metrics.deposited(token, amountAtomic),
  };

  private constructor(config: Config, files: MonitoringFiles, parts: MonitoringParts) {
    const { limits, alarms, gateway, homeAssistant, tokens } = config;
    this.#config = config;
    this.#parts = parts;
    this.#fleet = new Fleet({
      locations: files.locations,
      lightsMax: limits.devices,
      tokens,
      now: wallSeconds,
    });
    this.#feed = new Feed(this.#fleet);
    this.#health = new Health({
      brokerIsUp: () => parts.broker.isUp(),
      brokerWarning: () => warningOf(parts.access.others()),
      clusterTrouble: () => clusterTrouble(parts.cluster()),
      sellers: parts.sellers,
      tokens,
      treasuryAtomic: parts.treasuryAtomic,
      dataFolder: gateway.data,
      wallSeconds,
      monotonicSeconds,
    });
    this.#webhooks = openWebhooks(files.webhooks, parts.note);
    this.#alarms = new Alarms({ lowBalanceDays: alarms.lowBalanceDays });
    this.#metrics = new Metrics({
      ...parts,
      fleet: this.#fleet,
      lightsMax: limits.devices,
      lowBalanceDays: alarms.lowBalanceDays,
      isUp: () => this.#isUp(),
      treasury: () => this.#health.treasury,
      viewers: () => this.#feed.viewers,
      webhooksQueued: () => this.#webhooks.queued,
      now: wallSeconds,
    });
    this.#homeAssistant = openHomeAssistant({
      isEnabled: homeAssistant.enabled,
      prefix: homeAssistant.prefix,
      moneyOf: (light) => moneyOf(tokens, light),
      memoryFile: join(gateway.data, "home-assistant.txt"),
      retain: (topic, text) => parts.broker.retain(topic, text),
    });
  }

  static async open(config: Config, files: MonitoringFiles, parts: MonitoringParts): Promise<Monitoring> {
    const monitoring = new Monitoring(config, files, parts);
    await monitoring.#health.look();
    monitoring.#startTimers();
    try {
      monitoring.#server = await monitoring.#serve(files.token);
    } catch (error) {
      await monitoring.close();
      throw error;
    }
    return monitoring;
  }

  /** Null when the configuration opens no port. */
  get url(): string | null {
    return this.#server?.url ?? null;
  }

  observe(event: GatewayEvent): void {
    this.#fleet.observe(event);
    this.#metrics.observe(event);
    if (event.type === "differs") this.#differences += 1;
    // The token that it pays in is heard with its offer.
    if (event.type === "hello" || event.type === "offered") {
      const light = this.#fleet.light(event.device);
      if (light !== null) this.#homeAssistant.announce({ ...light, name: light.location?.name ?? null });
    }
    if (event.type === "evicted") {
      const { payments = 0, charged = 0 } = this.#fleet.light(event.device) ?? {};
      if (payments === 0 && charged === 0) this.#homeAssistant.forget(event.device);
    }
    if (!this.#feed.wantsFrames) return;
    const frame = frameOf(event, wallSeconds());
    if (frame !== null) this.#feed.frame(frame);
  }

  /** Another price holds, or another series is known; null: it is over. */
  pricesChanged(seller: string, prices: SellerPrices | null): void {
    const { broker } = this.#parts;
    if (prices === null) {
      broker.retain(PRICES_FOLDER + seller, "");
      return;
    }
    const money = moneyOf(this.#config.tokens, prices.token);
    this.#homeAssistant.announcePrice(seller, priceDiscovery(prices, money));
    broker.retain(PRICES_FOLDER + seller, priceMessage(prices, money));
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#webhooks.close();
    this.#feed.close();
    await this.#server?.close();
  }

  #startTimers(): void {
    const onTrouble = noteFailure(this.#parts.note, "looking at the parts' health");
    this.#timers = [
      setInterval(() => this.#fleet.sample(), SAMPLE_MS),
      setInterval(() => this.#feed.tick(), TICK_MS),
      setInterval(() => this.#lookForAlarms(), ALARM_MS),
      setInterval(() => detach(this.#health.look(), onTrouble), LOOK_MS),
    ];
  }

  #lookForAlarms(): void {
    const { note, sellers } = this.#parts;
    const conditions: AlarmConditions = {
      sellerDown: sellersDown(sellers()),
      treasury: this.#health.treasury,
      differences: this.#differences,
    };
    for (const alarm of this.#alarms.look(this.#fleet, conditions, wallSeconds())) {
      const fields = { ...alarm, reason: alarm.kind };
      if (alarm.phase === "begins") note("warn", "an alarm begins", fields);
      else note("info", "an alarm ends", fields);
      this.#webhooks.send(alarm);
    }
  }

  #isUp(): Readonly<Record<CheckName, boolean>> {
    const checks = Object.entries(this.#health.checks());
    return Object.fromEntries(checks.map(([name, { isGood }]) => [name, isGood])) as Record<
      CheckName,
      boolean
    >;
  }

  async #serve(token: string | null): Promise<HttpServer | null> {
    const { http, tokens, sellers } = this.#config;
    if (http === undefined) return null;
    return openHttpServer({
      ...this.#parts,
      host: http.host,
      port: http.port,
      token,
      fleet: this.#fleet,
      feed: this.#feed,
      health: this.#health,
      metrics: this.#metrics,
      tokens,
      unit: sellers[0]!.unit,
      treasury: () => this.#health.treasury,
      version: packageVersion(),
      page: dashboardFiles(),
    });
  }
}

/** How amounts of a light's token are written; the first token's before it was offered any. */
function moneyOf(
  tokens: readonly TokenConfig[],
  { network, asset }: Pick<Light, "network" | "asset">,
): MoneySection {
  const paid = network !== null && asset !== null ? { network, asset } : tokens[0]!;
  return tokens.find((token) => isSameToken(token, paid)) ?? tokens[0]!;
}

/** Every seller that does not sell, with its reason; null when all do. */
function sellersDown(sellers: readonly SellerStatus[]): string | null {
  const down = sellers.filter(({ standing }) => !isSelling(standing));
  return down.length === 0 ? null : down.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
}

function warningOf(access: Access | null): string {
  return access?.kind === "open" ? access.reason : "";
}

/** Locations of a million lights, a line each. */
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
