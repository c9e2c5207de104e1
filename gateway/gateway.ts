/**
 * The gateway put together: broker, sessions, seller, treasury, chain and ledger from one configuration.
 *
 * Promise: when this resolves, the gateway takes payments; after `stop` no payment is half-done: those
 * under way were finished or are resumed by their devices.
 */
import { hmacSha256 } from "#node/hmac";
import { type Hex, toHex } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import type { Broker, Receive } from "./broker/broker.ts";

import { openEmbeddedBroker } from "./broker/embedded.ts";
import { openExternalBroker } from "./broker/external.ts";
import { doorsOf } from "./broker-config.ts";
import { doorsOf } from "./broker-config.ts";
import type { Config } from "./config.ts";
import { openLedger } from "./ledger/open-ledger.ts";
import { monotonicSeconds, openLookout, readLookoutFiles } from "./lookout.ts";
import { limitNotes } from "./observe/limited-note.ts";
import { timedLedger, timedSeller } from "./observe/timed-ports.ts";
import { openForward } from "./purchase/forward.ts";
import type { Note, Seller } from "./purchase/ports.ts";
import type { Counts } from "./purchase/session.ts";
import { openSessions } from "./purchase/sessions.ts";
import { electricitySeller } from "./sellers/electricity-seller.ts";
import { fixedSeller } from "./sellers/fixed-seller.ts";
import { type Http, openHttp } from "./sellers/http.ts";
import { fetchResource } from "./sellers/resource.ts";
import { watchTariff } from "./sellers/tariff-watch.ts";
import { watchChain } from "./treasury/evm-chain.ts";
import { connectEvm } from "./treasury/evm-client.ts";
import { keyIn, openTreasury, readSecret } from "./treasury/open-treasury.ts";

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
  stop(): Promise<void>;
}

export interface GatewayStatus extends Readonly<Counts> {
  readonly devices: number;
  readonly ledgerPayments: number;
  readonly ledgerCommits: number;
}

/** @param mayCreateKeys makes keys where there are none: a first look only */
export async function startGateway(config: Config, everyNote: Note, mayCreateKeys = false): Promise<Gateway> {
  const note = limitNotes(everyNote, () => performance.now());
  const files = readLookoutFiles(config);
  const key = keyIn("gateway.key", config.gateway.key, mayCreateKeys);
  const treasury = await openTreasury(config.treasury, mayCreateKeys);
  const connection = connectEvm(config.chain.rpc, chainIdOf(config.seller.network), treasury);
  const chain = await watchChain(connection, note);
  const ledger = await openLedger(config, note).catch((error) => {
    chain.stop();
    throw error;
  });
  const http = openHttp({
    connections: config.limits.sellerConnections,
    timeoutMs: config.limits.sellerTimeoutMs,
  });
  const counts: Counts = { hellos: 0, offers: 0, pays: 0, grants: 0, refusals: 0, dropped: 0 };

  // The broker delivers to the sessions, and they answer through it: one of the two has to come first.
  let receive: Receive = () => {};
  const broker = await openBroker(config, key.address, note, (device, leaf, payload) =>
    receive(device, leaf, payload),
  ).catch(async (error) => {
    chain.stop();
    await ledger.close();
    await http.close();
    throw error;
  });

  const lookout = await openLookout(config, files, {
    broker,
    treasuryAtomic: () => chain.tokenBalance(config.seller.asset, treasury.address),
    treasuryAddress: treasury.address,
    ledger,
    note,
  }).catch(async (error) => {
    await broker.close();
    chain.stop();
    await ledger.close();
    await http.close();
    throw error;
  });
  const seller = timedSeller(sellerOf(config, http), lookout.timing, monotonicSeconds);
  const watch = watchTariff(seller, note, () => sessions.renewOffers());
  const shop = { name: "seller", seller, owns: () => true, ...watch };
  const forward = openForward({
    devices: broker,
    fetch: fetchResource(http),
    origins: config.forward.origins.map((origin) => new URL(origin).origin),
  });
  const sessions = openSessions(
    {
      key,
      hmac: hmacSha256,
      devices: broker,
      market: { shopFor: () => shop, shopOf: () => shop },
      ledger: timedLedger(ledger, lookout.timing, monotonicSeconds),
      treasury,
      chain,
      limits: config.treasury,
      note,
      observe: lookout.observe,
      counts,
      now: () => Date.now() / 1000,
    },
    forward,
    { devicesMax: config.limits.devices, purchasesMax: config.limits.purchases },
  );
  receive = sessions.receive;

  return {
    brokerUrl: broker.url,
    address: key.address,
    publicKey: toHex(key.publicKey),
    treasury: treasury.address as Hex,
    httpUrl: lookout.url,
    status: () => ({
      ...counts,
      devices: sessions.size,
      ledgerPayments: ledger.counts.payments,
      ledgerCommits: ledger.counts.commits,
    }),
    async stop() {
      watch.stop();
      chain.stop();
      await withinMs(STOP_MAX_MS, sessions.drain());
      await withinMs(STOP_MAX_MS, lookout.close());
      await withinMs(STOP_MAX_MS, broker.close());
      await withinMs(STOP_MAX_MS, http.close());
      await ledger.close();
    },
  };
}

/** Longest wait for each part to end; what is cut off is resumed by its device. */
const STOP_MAX_MS = 5_000;

function withinMs(limitMs: number, work: Promise<unknown>): Promise<unknown> {
  return Promise.race([work, new Promise((resolve) => setTimeout(resolve, limitMs).unref())]);
}

function sellerOf({ seller }: Config, http: Http): Seller {
  const payable = { schemes: seller.schemes, network: seller.network, asset: seller.asset };
  if (seller.kind === "electricity") return electricitySeller(http, seller.url, payable);
  const { url, method, unit, unitsPerPayment } = seller;
  return fixedSeller(http, { url, method, unit, unitsPerPayment: unitsPerPayment! }, payable);
}

async function openBroker(config: Config, gateway: string, note: Note, receive: Receive): Promise<Broker> {
  const { broker } = config;
  if (broker.kind === "embedded") {
    return openEmbeddedBroker({ ...doorsOf(broker), gateway, barred: () => null, note }, receive);
  }
  const { url, version, clientId, passwordFile } = broker;
  const password = passwordFile === undefined ? null : readSecret("broker.passwordFile", passwordFile);
  const username = broker.username ?? null;
  const caFile = broker.caFile ?? null;
  return openExternalBroker({ url, version, username, password, caFile, clientId, note }, receive);
}
