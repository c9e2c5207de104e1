/**
 * The gateway put together: broker, sessions, seller, treasury, chain and ledger from one configuration.
 *
 * Promise: when this resolves, the gateway takes payments; after `stop` no payment is half-done: those
 * under way were finished or are resumed by their devices.
 */

import { randomBytes } from "node:crypto";
import { type Curve, fastestCurve, signersOn } from "#node/key/native-curve";
import { hmacSha256 } from "#node/key/native-hmac";
import { type Hex, toHex } from "#payment/bytes";
import type { Key } from "#payment/key";
import { tokenName } from "#protocol/payment-token";
import type { Broker } from "./broker/broker.ts";
import { type EmbeddedBroker, openEmbeddedBroker } from "./broker/embedded/embedded.ts";
import { type ExternalBroker, openExternalBroker, type ReceiveShared } from "./broker/external/external.ts";
import { Closers } from "./closers.ts";
import type { ClusterStatus } from "./cluster/cluster-status.ts";
import { certificatesOf, listenersOf } from "./config/broker-section.ts";
import type { Config } from "./config/config.ts";
import { readExternalFiles } from "./config/external-broker-section.ts";
import { type EnrolmentService, openEnrolmentService, readAllowed } from "./enrolment/enrolment-service.ts";
import { openGatewayLedger } from "./ledger/open-ledger.ts";
import type { MemberIdentity } from "./ledger/postgres/postgres-membership.ts";
import type { LedgerStore } from "./ledger/store.ts";
import { Monitoring, readMonitoringFiles } from "./monitoring.ts";
import { ClusterIntake, fenceDevices, groupOf, memberIdentityOf } from "./open-cluster.ts";
import type { FindToken } from "./purchase/deposit.ts";
import { isNewcomer } from "./purchase/funding.ts";
import { GeneralTransport } from "./purchase/general/forward.ts";
import { OwnDocuments } from "./purchase/general/own-documents.ts";
import { isVoucherSigned } from "./purchase/payload.ts";
import type { ChannelRecord, Logger } from "./purchase/ports.ts";
import type { Counts } from "./purchase/session.ts";
import { Sessions } from "./purchase/sessions.ts";
import { fetchResource } from "./sellers/client/resource.ts";
import { type HttpPools, openHttpPools, openSellers, readAuthorities } from "./sellers/open-router.ts";
import { PriceBoard, type SellerPrices } from "./sellers/price-board.ts";
import { ReceiptRounds } from "./sellers/receipt-rounds.ts";
import { EventHub } from "./telemetry/event-hub.ts";
import { limitNotes } from "./telemetry/limited-log.ts";
import { type OpenChains, openChains } from "./treasury/open-chains.ts";
import { keyIn, openTreasury } from "./treasury/open-treasury.ts";

export interface Gateway {
  /** Where devices connect. */
  readonly brokerUrl: string;
  readonly address: Hex;
  /** Compressed, 0x and 66 hex digits: what devices are provisioned with. */
  readonly publicKey: Hex;
  readonly treasury: Hex;
  /** Where operators look; null when the configuration opens no port. */
  readonly httpUrl: string | null;
  status(): GatewayStatus;
  /** Reads the files again that may change while it runs: certificates, the allow-list. */
  reload(): void;
  stop(): Promise<void>;
}

export interface GatewayStatus extends Readonly<Counts> {
  readonly devices: number;
  readonly ledgerPayments: number;
  readonly ledgerCommits: number;
  readonly duty: ClusterStatus;
}

/** @param mayCreateKeys makes keys where there are none: a first look only */
export async function startGateway(
  config: Config,
  everyNote: Logger,
  mayCreateKeys = false,
): Promise<Gateway> {
  const note = limitNotes(everyNote, () => performance.now());
  const closers = new Closers(note);
  try {
    return await openGateway(config, note, mayCreateKeys, closers);
  } catch (error) {
    await closers.close();
    throw error;
  }
}

/** The steps, in the order in which each needs those before it; nothing comes in from devices before the last one. */
async function openGateway(
  config: Config,
  note: Logger,
  mayCreateKeys: boolean,
  closers: Closers,
): Promise<Gateway> {
  const files = readFiles(config);
  const keys = await openKeys(config, note, mayCreateKeys);
  const chains = await openChains(config.chains, keys.treasury, note);
  closers.add("chain", () => chains.stop());
  const identity = memberIdentityOf(config, keys.gateway.address);
  const ledger = await openGatewayLedger(config, note, identity);
  // What was acknowledged is on the disk already; what the disk does not take in time stays in the journal.
  closers.add("ledger", () => ledger.close(), LEDGER_CLOSE_MAX_MS);
  const enrolment = openEnrolmentService(config, files.allowed, ledger, note);
  closers.add("enrolment", () => enrolment.stop());
  const http = openHttpPools(config, files.authorities);
  closers.add("HTTP connections", () => http.close());
  const cluster = new ClusterIntake();
  const opened = await openBroker({ config, keys, identity, ledger, enrolment, note }, cluster.receive);
  const { broker, embedded, external } = opened;
  closers.add("broker", () => broker.close());
  const events = new EventHub();
  const rules = openRules({ config, keys, chains, ledger, enrolment, http, cluster, events, note }, opened);
  closers.add("sellers", () => rules.sellers.stop());
  const receipts = new ReceiptRounds({
    ledger,
    sourceOf: (seller) => rules.sellers.sourceOf(seller),
    holds: (device) => cluster.holds(device),
    note,
    everyMs: config.market.receiptsEverySeconds * 1_000,
  });
  const { prices } = rules;
  closers.add("prices ahead", () => prices.stop());
  const monitoring = await Monitoring.open(config, files.monitoring, {
    broker,
    prices: () => prices.all(),
    cluster: () => cluster.status(),
    sellers: () => rules.sellers.status(),
    treasuryAtomic: ({ network, asset }) =>
      chains.watched.get(network)!.tokenBalance(asset, keys.treasury.address),
    treasuryAddress: keys.treasury.address,
    ledger,
    journal: () => ledger.waiting,
    access: {
      broker: () => embedded,
      others: () => external?.access() ?? null,
      devicesPending: () => rules.filter.pending,
      certificates: () => certificatesOf(config.broker, Date.now() / 1000),
    },
    note,
  });
  closers.add("monitoring", () => monitoring.close());
  events.report(monitoring);
  prices.start((seller, known) => monitoring.pricesChanged(seller, known));
  // Membership is given up after the last purchase ended: then no other gateway repeats it.
  closers.add("cluster", () => cluster.close());
  closers.add("receipts of use", () => receipts.stop());
  closers.add("sessions", () => rules.sessions.drain());
  await cluster.join(config, identity, external, { ...rules, receive: rules.filter.receive }, note);

  return {
    brokerUrl: broker.url,
    address: keys.gateway.address,
    publicKey: toHex(keys.gateway.publicKey),
    treasury: keys.treasury.address as Hex,
    httpUrl: monitoring.url,
    status: () => ({
      ...rules.counts,
      devices: rules.sessions.size,
      ledgerPayments: ledger.counts.payments,
      ledgerCommits: ledger.counts.commits,
      duty: cluster.status(),
    }),
    reload() {
      enrolment.reload();
      embedded?.reload();
      external?.reload();
    },
    stop: () => closers.close(),
  };
}

const LEDGER_CLOSE_MAX_MS = 2_000;

/** What a configuration names that must be readable before anything starts. Throws one line. */
function readFiles(config: Config) {
  return {
    monitoring: readMonitoringFiles(config),
    authorities: readAuthorities(config.sellers),
    allowed: readAllowed(config),
  };
}

interface Keys {
  readonly gateway: Key;
  readonly treasury: Awaited<ReturnType<typeof openTreasury>>;
  readonly curve: Curve;
}

async function openKeys(config: Config, note: Logger, mayCreateKeys: boolean): Promise<Keys> {
  const { curve, reason } = fastestCurve();
  if (reason !== undefined) note("warn", "logins are verified in JavaScript, 25 times slower", { reason });
  const gateway = keyIn("gateway.key", config.gateway.key, mayCreateKeys, curve.openKey);
  return { gateway, treasury: await openTreasury(config.treasury, mayCreateKeys), curve };
}

interface OpenedParts {
  readonly config: Config;
  readonly keys: Keys;
  readonly ledger: LedgerStore;
  readonly enrolment: EnrolmentService;
  readonly note: Logger;
}

interface OpenBroker {
  readonly broker: Broker;
  /** The same, when it is an external one. */
  readonly external: ExternalBroker | null;
  /** The same, when it is the gateway's own. */
  readonly embedded: EmbeddedBroker | null;
}

async function openBroker(
  {
    config,
    keys,
    identity,
    ledger,
    enrolment,
    note,
  }: OpenedParts & { readonly identity: MemberIdentity | null },
  receive: ReceiveShared,
): Promise<OpenBroker> {
  const { broker, limits } = config;
  if (broker.kind === "embedded") {
    const { barred, isEnrolled } = enrolment;
    const embedded = await openEmbeddedBroker(
      {
        ...listenersOf(broker),
        gateway: keys.gateway,
        recoverSigner: signersOn(keys.curve),
        barred,
        isNewcomer: (device) => isNewcomer({ ledger, isEnrolled }, device),
        note,
      },
      (device, leaf, payload) => receive(device, leaf, payload, false),
    );
    return { broker: embedded, external: null, embedded };
  }
  const { probe } = readExternalFiles(broker);
  const external = await openExternalBroker(
    {
      url: broker.url,
      version: broker.version,
      login: broker,
      probe,
      clientId: broker.clientId ?? `watt402-gateway-${identity?.member ?? randomBytes(6).toString("hex")}`,
      receiveMaximum: limits.purchases,
      share: identity && { group: groupOf(keys.gateway), member: identity.member },
      note,
    },
    receive,
  );
  return { broker: external, external, embedded: null };
}

interface RulesParts extends OpenedParts {
  readonly chains: OpenChains;
  readonly http: HttpPools;
  readonly cluster: ClusterIntake;
  readonly events: EventHub;
}

/** Sellers, enrolment filter, general transport and sessions: they call each other only once messages come in. */
function openRules(
  { config, keys, chains, ledger, enrolment, http, cluster, events, note }: RulesParts,
  { broker, embedded }: OpenBroker,
) {
  const { gateway: key, treasury } = keys;
  const { observe, timing } = events;
  const counts: Counts = { hellos: 0, offers: 0, pays: 0, grants: 0, refusals: 0, dropped: 0 };
  const sellers = openSellers(config, http, {
    timing,
    note,
    holds: (device) => cluster.holds(device),
    changed: () => sessions.renewOffers(),
    termsTrouble: chains.termsTrouble,
  });
  const filter = enrolment.openFilter({
    key,
    hmac: hmacSha256,
    devices: fenceDevices(broker, cluster),
    receive: (...message) => sessions.receive(...message),
    observe,
  });
  const prices = new PriceBoard(sellers.series, () => Date.now() / 1000, note);
  const { devices } = filter;
  const forward = new GeneralTransport({
    devices,
    fetch: fetchResource(http.forward),
    origins: config.forward.origins.map((origin) => new URL(origin).origin),
    documents: new OwnDocuments({
      ledger,
      channelOf: (device): ChannelRecord | null => sessions.channelOf(device),
      sourceOf: (seller) => sellers.sourceOf(seller),
      pricesFor: (device): SellerPrices | null => prices.of(sessions.channelOf(device)?.seller ?? ""),
    }),
  });
  const sessions = new Sessions(
    {
      key,
      hmac: hmacSha256,
      devices,
      router: sellers.router,
      ledger,
      treasury,
      findToken: findTokenOf(config, chains),
      isEnrolled: enrolment.isEnrolled,
      isSigned: isVoucherSigned,
      note,
      observe,
      timing,
      counts,
      now: () => Date.now() / 1000,
    },
    forward,
    {
      devicesMax: config.limits.devices,
      purchasesMax: config.limits.purchases,
      ...(embedded === null ? {} : { isConnected: (device: string) => embedded.isConnected(device) }),
    },
  );
  return { sellers, prices, filter, forward, sessions, counts };
}

/** The configured tokens, each with its chain and the limits of its deposits. */
function findTokenOf({ tokens }: Config, { watched }: OpenChains): FindToken {
  const parts = new Map(
    tokens.map((token) => [tokenName(token), { chain: watched.get(token.network)!, limits: token }]),
  );
  return (token) => parts.get(tokenName(token)) ?? null;
}
