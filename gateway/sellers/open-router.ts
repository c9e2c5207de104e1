/**
 * The configured sellers, opened: an HTTP pool and a client for each, and the router over them.
 *
 * Promise: a pool reaches its seller alone; after `stop` nothing more is asked of any seller.
 */

import { readFileSync } from "node:fs";
import type { ReceiptSource } from "#market/documents";
import type { PricePublisher } from "#market/price-series";
import { Watt402Error } from "#payment/watt402-error";
import type { Config } from "../config/config.ts";
import { shownUrl } from "../config/layers.ts";
import { devicesOf, type SellerConfig } from "../config/sellers-section.ts";
import type { ChannelRecord, Seller, SellerRouter } from "../purchase/ports.ts";
import type { Timer } from "./circuit.ts";
import { electricitySeller } from "./client/electricity-seller.ts";
import { fixedSeller } from "./client/fixed-seller.ts";
import { type Http, openHttp } from "./client/seller-http.ts";
import type { SellerGuards } from "./guarded-seller.ts";
import type { SeriesSource } from "./price-board.ts";
import { RunningSellerClient } from "./seller-client.ts";
import { openSellerRouter } from "./seller-router.ts";
import type { SellerStatus } from "./seller-status.ts";

export interface Sellers {
  readonly router: SellerRouter;
  /** Who signs receipts of a seller, by its name (ChannelRecord.seller); null for who signs none. */
  sourceOf(seller: string): ReceiptSource | null;
  /** Those that may publish prices ahead. */
  readonly series: readonly SeriesSource[];
  status(): readonly SellerStatus[];
  stop(): void;
}

const SYSTEM_TIMER: Timer = {
  nowMs: () => performance.now(),
  random: Math.random,
  after(delayMs, act) {
    const timer = setTimeout(act, delayMs);
    return () => clearTimeout(timer);
  },
};

/** An HTTP pool for each seller, by name, and one for the general transport. */
export interface HttpPools {
  readonly forward: Http;
  readonly sellers: ReadonlyMap<string, Http>;
  close(): Promise<unknown>;
}

/** @param authorities as `readAuthorities` read them */
export function openHttpPools(config: Config, authorities: ReadonlyMap<string, string>): HttpPools {
  const { limits } = config;
  const forward = openHttp({
    connections: limits.sellerConnections,
    timeoutMs: limits.sellerTimeoutMs,
    ...config.forward,
    authorities: null,
  });
  const sellers = new Map(
    config.sellers.map((seller) => [seller.name, openSellerHttp(seller, limits, authorities)]),
  );
  const close = () => Promise.all([forward, ...sellers.values()].map((http) => http.close()));
  return { forward, sellers, close };
}

export function openSellers(
  { sellers, groups, limits, market }: Config,
  http: HttpPools,
  guards: Omit<SellerGuards, "timer">,
): Sellers {
  const entries = sellers.map((seller, index) => {
    const options = {
      name: seller.name,
      kind: seller.kind,
      url: shownUrl(seller.url),
      tokens: seller.tokens,
      payee: seller.payee,
      callsMax: limits.sellerConnections,
      queueMax: limits.sellerQueue,
      awayAfterMs: market.awayAfterMs,
      isFirst: index === 0,
    };
    const spoken = clientOf(seller, http.sellers.get(seller.name)!);
    const client = new RunningSellerClient(spoken, options, { ...guards, timer: SYSTEM_TIMER });
    return { client, spoken, devices: devicesOf(seller, groups) };
  });
  return {
    sourceOf(name) {
      const owner = entries.find(({ client }) => client.owns(name));
      const { receipt } = owner?.spoken ?? {};
      return receipt === undefined ? null : { receipt };
    },
    series: entries.flatMap(({ client, spoken: { publishedPrices } }) =>
      publishedPrices === undefined ? [] : [seriesOf(client, publishedPrices)],
    ),
    router: openSellerRouter(entries, market.choose, SYSTEM_TIMER.nowMs),
    status: () => entries.map(({ client }) => client.status()),
    stop() {
      for (const { client } of entries) client.stop();
    },
  };
}

function seriesOf(
  client: RunningSellerClient,
  publishedPrices: PricePublisher["publishedPrices"],
): SeriesSource {
  const unit = () => client.tariff()?.unit ?? null;
  return { name: client.name, token: client.tokens[0]!, unit, publishedPrices };
}

/** An HTTP pool that reaches this seller alone. */
export function openSellerHttp(
  seller: SellerConfig,
  limits: Config["limits"],
  authorities: ReadonlyMap<string, string>,
): Http {
  return openHttp({
    connections: limits.sellerConnections,
    timeoutMs: limits.sellerTimeoutMs,
    origins: [seller.url],
    allowPrivate: seller.allowPrivate,
    authorities: authorities.get(seller.name) ?? null,
  });
}

/** The client that speaks a seller's language. */
export function clientOf(seller: SellerConfig, http: Http): Seller & Partial<ReceiptSource & PricePublisher> {
  const { kind, url, resource, method, unit, unitsPerPayment, metered } = seller;
  const { schemes, tokens, transferMethods: methods, verifyingContracts: verifiers, termsKeys } = seller;
  const payable = { schemes, tokens, methods, verifiers };
  if (kind === "electricity") return electricitySeller(http, url, payable, resource, termsKeys);
  return fixedSeller(http, { url, method, unit, unitsPerPayment: unitsPerPayment!, metered }, payable);
}

/** Where a seller takes a refund of a channel: at what it sells, at the place the configuration says. */
export function refundUrl({ kind, url }: SellerConfig, channel: ChannelRecord): string {
  if (kind === "fixed") return url;
  const { pathname, search } = new URL(channel.resource);
  return new URL(pathname + search, url).href;
}

/** The seller of a channel; undefined when the configuration names it no more. */
export function sellerOf(
  sellers: readonly SellerConfig[],
  { seller }: ChannelRecord,
): SellerConfig | undefined {
  // Rows of before there were several name none: they are the first one's.
  return seller === "" ? sellers[0] : sellers.find(({ name }) => name === seller);
}

/** The certificate authorities that sellers bring with them, by the sellers' names. Throws one line. */
export function readAuthorities(sellers: readonly SellerConfig[]): ReadonlyMap<string, string> {
  const read = new Map<string, string>();
  for (const { name, caFile } of sellers) {
    if (caFile === undefined) continue;
    try {
      read.set(name, readFileSync(caFile, "utf8"));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Watt402Error(
        "file-inaccessible",
        `seller ${name}: caFile ${caFile}: cannot be read (${code})`,
      );
    }
  }
  return read;
}
