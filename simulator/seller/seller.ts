/**
 * An electricity seller on a real chain.
 *
 * Promise: it starts only when its chain, its token and its database are as expected, and stops by turning every
 * charged voucher into settled money.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { x402ResourceServer } from "@x402/core/server";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import type { FastifyInstance } from "fastify";
import type { Address, Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import type { PriceSeries } from "#market/price-series";
import type { Curve } from "#node/key/native-curve";
import { fromHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import type { Scheme } from "./accounts/accounts.ts";
import { SqliteAccounts } from "./accounts/sqlite-accounts.ts";
import { type ChainConnection, openChainConnection } from "./claims/chain-connection.ts";
import { Claims } from "./claims/claims.ts";
import { facilitatorInProcess } from "./claims/facilitator.ts";
import { type FacilitatorOptions, FacilitatorsElsewhere } from "./claims/facilitators-elsewhere.ts";
import { requireSponsoring } from "./claims/gas-sponsor.ts";
import { startRounds } from "./claims/rounds.ts";
import { EvmChain } from "./claims/settlement-chain.ts";
import { authorizationCheck } from "./claims/signed-authorization.ts";
import { type Conduct, lieOf, takenQuote } from "./conduct/conduct.ts";
import { GreedyTariff } from "./conduct/greedy-tariff.ts";
import { LyingPen } from "./conduct/lying-pen.ts";
import { Stock } from "./conduct/stock.ts";
import { vanishing } from "./conduct/vanishing.ts";
import type { Clock } from "./ports.ts";
import { shareOf, WHOLE } from "./sale/charged-share.ts";
import { EnergySale } from "./sale/energy-sale.ts";
import { ELECTRICITY, type Goods } from "./sale/goods.ts";
import { type GasSponsoring, paymentWays, type TransferMethod } from "./sale/payment-ways.ts";
import { seriesOf } from "./sale/price-curve.ts";
import { DEFAULT_MENU, type Quote, quoting, type Tariff } from "./sale/tariff.ts";
import { openOwnScheme } from "./scheme/open-scheme.ts";
import type { SchemeServer } from "./scheme/scheme-server.ts";
import { energyServer } from "./server/energy-server.ts";
import type { PublicBaseOptions } from "./server/public-base.ts";
import { type StopReport, stopInOrder } from "./server/stop.ts";
import { BoundPrices } from "./terms/bound-prices.ts";
import { declaredExtensions } from "./terms/declared-extensions.ts";
import { SignedTerms } from "./terms/signed-terms.ts";
import { Terms } from "./terms/terms.ts";

/** A week of one lamp's light: one deposit (120k gas) carries some ten thousand purchases. */
const DEFAULT_MIN_DEPOSIT_ATOMIC = 1_000_000;
/**
 * A day. From the moment a payer asks to withdraw the seller has this long to claim, so it must outlast an
 * outage of node or seller that someone repairs next morning; longer would lock the payer's money for nothing.
 */
const DEFAULT_WITHDRAW_DELAY_SECONDS = 86_400;
const DEFAULT_CLAIM_INTERVAL_SECONDS = 3_600;
/** Withdrawals are looked for at least this often, however rarely claims are made. */
const MAX_WATCH_INTERVAL_SECONDS = 30;
const DEFAULT_STOP_TIMEOUT_MS = 60_000;
/** How long a buyer's authorization of a transfer stays good: long enough to be presented again after a restart. */
const MAX_TIMEOUT_SECONDS = 300;

export type { StopReport };

export interface SellerOptions extends PublicBaseOptions {
  readonly rpcUrl: string;
  readonly expectedChainId?: number;
  /** 0 or absent: any free port */
  readonly port?: number;
  readonly host?: string;
  readonly dataDirectory: string;
  readonly receiverKey: Hex;
  /** Pays the gas; the receiver's own key when absent. */
  readonly facilitatorKey?: Hex;
  /** Facilitators elsewhere instead of the one in this process, in order of preference. */
  readonly facilitators?: readonly FacilitatorOptions[];
  readonly token: Address;
  readonly tariff: Tariff;
  /** Signs terms, offers and receipts of use, and sells at the prices it has signed; false when absent. */
  readonly signsTerms?: boolean;
  /** Honest when absent. */
  readonly conduct?: Conduct;
  /** Units that it has to sell on a day of its clock; no end of them when absent. */
  readonly stockUnits?: number;
  readonly clock?: Clock;
  readonly menu?: readonly number[];
  /** Electricity when absent. */
  readonly goods?: Goods;
  /** In order of preference; batch-settlement and exact when absent. */
  readonly schemes?: readonly Scheme[];
  /** What moves the token, in order of preference; EIP-3009 alone when absent. */
  readonly transferMethods?: readonly TransferMethod[];
  /** Gas of a first approval of Permit2 that this seller pays; none when absent. */
  readonly gasSponsoring?: readonly GasSponsoring[];
  /** Whether the 402 says how the resource is called, for catalogues; true when absent. */
  readonly isDiscoverable?: boolean;
  /** Meter-grade when absent. */
  readonly schemeServer?: SchemeServer;
  /** Charges this share of each voucher, as a seller does that meters by itself; 100 when absent. */
  readonly chargePercent?: number;
  readonly claimIntervalSeconds?: number;
  readonly watchIntervalSeconds?: number;
  readonly withdrawDelaySeconds?: number;
  readonly minDepositAtomic?: number;
  /** How long `stop` may take in all. */
  readonly stopTimeoutMs?: number;
  /** One line for the operator; standard error when absent. */
  readonly log?: (line: string) => void;
}

export interface SellerService {
  readonly url: string;
  readonly receiver: Address;
  /** What verifies vouchers: libsecp256k1, JavaScript, or whatever the official scheme does. */
  readonly vouchersVerifiedBy: Curve["name"] | "official";
  /** Takes no more payments, claims, settles, closes. Totals count from the database's first day. */
  stop(): Promise<StopReport>;
}

/** What the HTTP server is built on. */
interface Opened {
  readonly options: SellerOptions;
  readonly connection: ChainConnection;
  readonly store: SqliteAccounts;
  readonly quote: () => Quote;
  /** Absent: nothing is signed. */
  readonly prices: BoundPrices | undefined;
  /** Of the tariff's clock. */
  readonly nowSeconds: () => number;
  readonly isSoldOut: (() => boolean) | undefined;
  readonly log: (line: string) => void;
}

export async function startSeller(options: SellerOptions): Promise<SellerService> {
  const log = options.log ?? ((line: string) => process.stderr.write(`${line}\n`));
  const { rpcUrl, expectedChainId, token, receiverKey, facilitatorKey = receiverKey } = options;
  const connection = await openChainConnection({
    rpcUrl,
    expectedChainId,
    token,
    facilitatorKey,
    log,
  });
  const clock = options.clock ?? { nowSeconds: () => Math.floor(Date.now() / 1000) };
  const nowSeconds = () => clock.nowSeconds();
  const { conduct = "honest", stockUnits } = options;
  const greedy = conduct === "greedy" ? new GreedyTariff(options.tariff) : undefined;
  const tariff = greedy ?? options.tariff;
  const stock = stockUnits === undefined ? undefined : new Stock(stockUnits, nowSeconds);
  const prices = options.signsTerms === true ? new BoundPrices(boundFile(options), tariff) : undefined;
  const quoteAt = quoting(tariff);
  const quote = () => (prices === undefined ? quoteAt(nowSeconds()) : prices.quote(nowSeconds()));
  const store = new SqliteAccounts({
    directory: options.dataDirectory,
    identity: { network: connection.network, token, receiver: privateKeyToAccount(receiverKey).address },
    quote: () => takenQuote(conduct, quote()),
    sold(units) {
      greedy?.sold();
      stock?.take(units);
    },
    log,
  });
  const isSoldOut = stock && (() => stock.isEmpty);
  try {
    return await serve({ options, connection, store, quote, prices, nowSeconds, isSoldOut, log });
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function serve(opened: Opened): Promise<SellerService> {
  const { options, connection, store, quote, isSoldOut, log } = opened;
  const { network, client, watch } = connection;
  const { gasSponsoring = [] } = options;
  const receiver = privateKeyToAccount(options.receiverKey);
  const facilitator =
    options.facilitators === undefined
      ? facilitatorInProcess(network, connection.wallet, client, gasSponsoring.includes("erc20-approval"))
      : new FacilitatorsElsewhere(options.facilitators, log, () => performance.now());
  const withdrawDelay = options.withdrawDelaySeconds ?? DEFAULT_WITHDRAW_DELAY_SECONDS;
  const official = new BatchSettlementEvmScheme(receiver.address, {
    storage: store,
    receiverAuthorizerSigner: receiver,
    withdrawDelay,
    // The watch finds withdrawals; the rest of a channel's state changes only through this seller or to its
    // advantage. So cached state may serve long: no RPC per voucher. A third of the delay is still a bound should
    // the watch be blind, and leaves two thirds to claim in.
    onchainStateTtlMs: (withdrawDelay * 1000) / 3,
  });
  const { token } = options;
  const chain = new EvmChain({
    client,
    facilitator,
    scheme: official,
    network,
    token,
    receiver: receiver.address,
  });
  const nowMs = () => Date.now();
  const chargedShare = shareOf(options.chargePercent ?? 100);
  const own =
    options.schemeServer === "official"
      ? undefined
      : await openOwnScheme({
          official,
          chainId: connection.chainId,
          chain,
          store,
          chargedShare,
          nowMs,
          isSoldOut,
          log,
        });
  const resourceServer = new x402ResourceServer(facilitator)
    .register(network, own?.scheme ?? official)
    .register(network, new ExactEvmScheme())
    .register(network, new UptoEvmScheme());
  await resourceServer.initialize();
  await requireSponsoring(facilitator, gasSponsoring);
  let origin = "";
  const api = () => options.publicUrl ?? origin;
  const terms = await buildTerms(opened, resourceServer, receiver.address, api, chargedShare !== WHOLE);
  const sale = new EnergySale({
    resourceServer,
    store,
    chain,
    node: watch,
    voucherService: own?.voucherService,
    chargedShare,
    nowMs,
    isSoldOut,
    authorizationIsSigned: authorizationCheck(connection, token),
    echoesExtensions: (payment) => terms.echoesExtensions(payment),
    warn: log,
  });
  const claims = new Claims(store, chain, nowMs);
  await claims.catchUp();
  const publicBase = options;
  const app = energyServer({
    sale,
    voucherService: own?.voucherService,
    store,
    quote,
    series: () => seriesNow(opened, terms.goods.unit),
    isMetered: chargedShare !== WHOLE,
    terms,
    chain: watch,
    publicBase,
    before: options.conduct === "vanishing" ? vanishing : undefined,
    log,
  });
  await listen(app, options.host ?? "127.0.0.1", options.port ?? 0);
  origin = app.listeningOrigin;

  const { claimIntervalSeconds = DEFAULT_CLAIM_INTERVAL_SECONDS } = options;
  const { watchIntervalSeconds = Math.min(claimIntervalSeconds, MAX_WATCH_INTERVAL_SECONDS) } = options;
  const { stopTimeoutMs = DEFAULT_STOP_TIMEOUT_MS } = options;
  const jobs = startRounds({ claims, chain, watch, store, log, claimIntervalSeconds, watchIntervalSeconds });
  let stopping: Promise<StopReport> | undefined;
  return {
    url: app.listeningOrigin,
    receiver: receiver.address,
    vouchersVerifiedBy: own?.curve ?? "official",
    stop: () => {
      stopping ??= stopInOrder({ app, sale, jobs, claims, chain, watch, store, stopTimeoutMs });
      return stopping;
    },
  };
}

function buildTerms(
  opened: Opened,
  resourceServer: x402ResourceServer,
  receiver: Address,
  api: () => string,
  metered: boolean,
): Promise<Terms> {
  const { options, connection, prices, store, nowSeconds } = opened;
  const { network, tokenName, tokenVersion } = connection;
  const {
    schemes = ["batch-settlement", "exact"],
    transferMethods = ["eip3009"],
    gasSponsoring = [],
    isDiscoverable = true,
    menu = DEFAULT_MENU,
  } = options;
  const { goods = ELECTRICITY, token, conduct = "honest" } = options;
  const lie = lieOf(conduct);
  const ways = paymentWays(schemes, transferMethods, gasSponsoring);
  const signed =
    prices === undefined
      ? undefined
      : new SignedTerms({
          ...{ prices, store, nowSeconds, api },
          nowMs: () => Date.now(),
          lying: lie === null ? undefined : new LyingPen(lie),
          key: openKey(fromHex(options.receiverKey)),
          sold: {
            ...{ unit: goods.unit, network, metered },
            asset: token.toLowerCase(),
            payTo: receiver.toLowerCase(),
            quantaAtomic: menu.toSorted((a, b) => a - b),
          },
        });
  return Terms.build({
    ...{ resourceServer, ways, goods, signed, network, token, tokenName, tokenVersion, receiver, menu },
    extensions: declaredExtensions(ways, gasSponsoring, isDiscoverable, menu[0]!),
    minDepositAtomic: options.minDepositAtomic ?? DEFAULT_MIN_DEPOSIT_ATOMIC,
    maxTimeoutSeconds: MAX_TIMEOUT_SECONDS,
  });
}

/** Where the prices that it has signed are kept. */
function seriesNow({ options, prices, nowSeconds }: Opened, unit: string): PriceSeries {
  const now = nowSeconds();
  return seriesOf(options.tariff, unit, now, prices?.windowAt(now) ?? null);
}

function boundFile({ dataDirectory }: SellerOptions): string {
  mkdirSync(dataDirectory, { recursive: true });
  return join(dataDirectory, "bound-prices.json");
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EADDRINUSE") throw error;
    throw new Watt402Error(
      "in-use",
      `port ${port} on ${host}: in use by another process; choose another with --port`,
    );
  }
}
