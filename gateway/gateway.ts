/**
 * The gateway put together: broker, sessions, seller, treasury, chain and ledger from one configuration.
 *
 * Promise: when this resolves, the gateway takes payments; after `stop` no payment is half-done: those
 * under way were finished or are resumed by their devices.
 */

import { randomBytes } from "node:crypto";
import { within } from "#node/deadline";
import { type Curve, fastestCurve, signersOn } from "#node/key/native-curve";
import { hmacSha256 } from "#node/key/native-hmac";
import { type Hex, toHex } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import type { Key } from "#payment/key";
import type { Broker } from "./broker/broker.ts";
import { type EmbeddedBroker, openEmbeddedBroker } from "./broker/embedded/embedded.ts";
import { type ExternalBroker, openExternalBroker, type ReceiveShared } from "./broker/external/external.ts";
import { type Cluster, SOLE_MEMBER } from "./cluster/cluster.ts";
import type { ClusterStatus } from "./cluster/cluster-status.ts";
import { fenceDevices, fenceRouter } from "./cluster/fenced-ports.ts";
import { certificatesOf, listenersOf } from "./config/broker-section.ts";
import type { Config } from "./config/config.ts";
import { readExternalFiles } from "./config/external-broker-section.ts";
import type { EnrolmentFilter } from "./enrolment/enrolment-filter.ts";
import { type EnrolmentService, openEnrolmentService, readAllowed } from "./enrolment/enrolment-service.ts";
import { openGatewayLedger } from "./ledger/open-ledger.ts";
import type { Seat } from "./ledger/postgres/postgres-membership.ts";
import { Monitoring, monotonicSeconds, readMonitoringFiles } from "./monitoring.ts";
import { groupOf, openCluster, receiveByCluster, seatOf } from "./open-cluster.ts";
import { openForward } from "./purchase/forward.ts";
import { isNewcomer } from "./purchase/funding.ts";
import type { Logger } from "./purchase/ports.ts";
import type { Counts } from "./purchase/session.ts";
import { openSessions } from "./purchase/sessions.ts";
import { timedLedger } from "./purchase/timed-ports.ts";
import { fetchResource } from "./sellers/client/resource.ts";
import { openHttp } from "./sellers/client/seller-http.ts";
import { openSellers, readAuthorities, type Sellers } from "./sellers/open-router.ts";
import { limitNotes } from "./telemetry/limited-log.ts";
import { watchChain } from "./treasury/evm-chain.ts";
import { connectEvm } from "./treasury/evm-client.ts";
import { keyIn, openTreasury } from "./treasury/open-treasury.ts";
import { termsOnChain } from "./treasury/terms.ts";

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
  reread(): void;
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
  const files = readMonitoringFiles(config);
  const authorities = readAuthorities(config.sellers);
  const allowed = readAllowed(config);
  const { curve, reason } = fastestCurve();
  if (reason !== undefined) note("warn", "logins are verified in JavaScript, 25 times slower", { reason });
  const key = keyIn("gateway.key", config.gateway.key, mayCreateKeys, curve.openKey);
  const treasury = await openTreasury(config.treasury, mayCreateKeys);
  const { network, asset } = config.sellers[0]!;
  const connection = connectEvm(config.chain.rpc, chainIdOf(network), treasury);
  const chain = await watchChain(connection, note);
  const seat = seatOf(config, key.address);
  const ledger = await openGatewayLedger(config, note, seat).catch((error) => {
    chain.stop();
    throw error;
  });
  const enrolment = openEnrolmentService(config, allowed, ledger, note);
  const http = openHttp({
    connections: config.limits.sellerConnections,
    timeoutMs: config.limits.sellerTimeoutMs,
    ...config.forward,
    authorities: null,
  });
  const counts: Counts = { hellos: 0, offers: 0, pays: 0, grants: 0, refusals: 0, dropped: 0 };

  // The broker delivers to the sessions, and they answer through it: one of the two has to come first.
  let receive: ReceiveShared = () => {};
  const { broker, external, embedded } = await openBroker(
    config,
    key,
    curve,
    seat,
    enrolment.barred,
    (device) => isNewcomer({ ledger, isEnrolled: enrolment.isEnrolled }, device),
    note,
    (...message) => receive(...message),
  ).catch(async (error) => {
    chain.stop();
    await ledger.close();
    await http.close();
    throw error;
  });

  let sellers: Sellers | null = null;
  // Until the seat is taken a broker of others is asked for nothing.
  let duty: Cluster = SOLE_MEMBER;
  let gate: EnrolmentFilter | null = null;
  const monitoring = await Monitoring.open(config, files, {
    broker,
    cluster: () => duty.status(),
    sellers: () => sellers?.status() ?? [],
    treasuryAtomic: () => chain.tokenBalance(asset, treasury.address),
    treasuryAddress: treasury.address,
    ledger,
    journal: () => ledger.waiting,
    access: {
      broker: () => embedded,
      others: () => external?.access() ?? null,
      devicesPending: () => gate?.pending ?? 0,
      certificates: () => certificatesOf(config.broker, Date.now() / 1000),
    },
    note,
  }).catch(async (error) => {
    await broker.close();
    chain.stop();
    await ledger.close();
    await http.close();
    throw error;
  });
  const opened = openSellers(
    config,
    authorities,
    monitoring.timing,
    note,
    () => sessions.renewOffers(),
    termsOnChain(connection, treasury.address, () => performance.now()),
  );
  sellers = opened;
  const mayLose: Pick<Cluster, "holds"> = { holds: (device) => duty.holds(device) };
  const guarded = seat === null ? broker : fenceDevices(broker, mayLose);
  const filter = enrolment.gate({
    key,
    hmac: hmacSha256,
    devices: guarded,
    receive: (...message) => sessions.receive(...message),
    observe: (event) => monitoring.observe(event),
  });
  gate = filter;
  const { devices } = filter;
  const forward = openForward({
    devices,
    fetch: fetchResource(http),
    origins: config.forward.origins.map((origin) => new URL(origin).origin),
  });
  const sessions = openSessions(
    {
      key,
      hmac: hmacSha256,
      devices,
      router: seat === null ? opened.router : fenceRouter(opened.router, mayLose),
      ledger: timedLedger(ledger, monitoring.timing, monotonicSeconds),
      treasury,
      chain,
      limits: config.treasury,
      isEnrolled: enrolment.isEnrolled,
      note,
      observe: (event) => monitoring.observe(event),
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
  async function stop(): Promise<void> {
    opened.stop();
    enrolment.stop();
    chain.stop();
    const endMs = performance.now() + STOP_MAX_MS;
    const inTime = (work: Promise<unknown>) => within(endMs - performance.now(), work, () => undefined);
    await inTime(sessions.drain());
    await inTime(duty.close());
    await inTime(monitoring.close());
    await inTime(broker.close());
    await inTime(Promise.all([opened.close(), http.close()]));
    // What was acknowledged is on the disk already; what the disk does not take in time stays in the journal.
    await within(LEDGER_STOP_MAX_MS, ledger.close(), () => undefined);
  }
  duty = await openCluster(config, seat, external, { sessions, forward }, note).catch(async (error) => {
    await stop();
    throw error;
  });
  receive = receiveByCluster(duty, external, filter.receive);

  return {
    brokerUrl: broker.url,
    address: key.address,
    publicKey: toHex(key.publicKey),
    treasury: treasury.address as Hex,
    httpUrl: monitoring.url,
    status: () => ({
      ...counts,
      devices: sessions.size,
      ledgerPayments: ledger.counts.payments,
      ledgerCommits: ledger.counts.commits,
      duty: duty.status(),
    }),
    reread() {
      enrolment.reread();
      embedded?.reread();
      external?.reread();
    },
    stop,
  };
}

/** All parts but the ledger end within it, whatever hangs; what is cut off is resumed by its device. */
const STOP_MAX_MS = 2_500;
const LEDGER_STOP_MAX_MS = 2_000;

interface OpenBroker {
  readonly broker: Broker;
  /** The same, when it is somebody else's. */
  readonly external: ExternalBroker | null;
  /** The same, when it is the gateway's own. */
  readonly embedded: EmbeddedBroker | null;
}

async function openBroker(
  { broker, limits }: Config,
  key: Key,
  curve: Curve,
  seat: Seat | null,
  barred: EnrolmentService["barred"],
  isNewcomer: (device: string) => Promise<boolean>,
  note: Logger,
  receive: ReceiveShared,
): Promise<OpenBroker> {
  if (broker.kind === "embedded") {
    const embedded = await openEmbeddedBroker(
      { ...listenersOf(broker), gateway: key, recoverSigner: signersOn(curve), barred, isNewcomer, note },
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
      clientId: broker.clientId ?? `watt402-gateway-${seat?.member ?? randomBytes(6).toString("hex")}`,
      receiveMaximum: limits.purchases,
      share: seat && { group: groupOf(key), member: seat.member },
      note,
    },
    receive,
  );
  return { broker: external, external, embedded: null };
}
