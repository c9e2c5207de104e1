/**
 * Sellers and gateway of one run, each a process of its own, as an operator would run them.
 *
 * Promise: seller and gateway are this project's own programs, started with ordinary configuration and
 * restarted when they die; everything stops in the order that loses nothing: lights, seller, gateway, chain.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { generatePrivateKey, privateKeyToAddress } from "viem/accounts";
import type { Server } from "#gateway/config/broker-section";
import { fromHex, type Hex } from "#payment/bytes";
import type { RunChain, SellerKeys } from "../chain/open-chain.ts";
import type { Profile } from "../profiles/profile.ts";
import type { Goods } from "../seller/sale/goods.ts";
import type { SchemeServer } from "../seller/scheme/scheme-server.ts";
import type { StopReport } from "../seller/seller.ts";
import { freePort } from "./free-port.ts";
import { type Supervised, supervise } from "./supervised.ts";

/** A seller of a run: what it sells, and where and by whom it is paid. */
export interface RunSeller {
  readonly chain: RunChain;
  readonly keys: SellerKeys;
  readonly goods: Goods;
  /** Whose seller it is, where a profile has its own; null: it sells its unit to all others. */
  readonly own: Profile | null;
  /** Quanta, atomic units, the smallest first. */
  readonly menu: readonly number[];
  /** As `watt402-simulate seller --tariff`. */
  readonly tariff: string;
}

interface ServicesOptions {
  /** Never empty; of a seller elsewhere only its chain counts. */
  readonly sellers: readonly RunSeller[];
  readonly schemes: readonly ("batch-settlement" | "exact")[];
  /** As `watt402-simulate seller --scheme-server`; its default when absent. */
  readonly schemeServer?: SchemeServer;
  /** As `watt402-simulate seller --charge-percent`; all when absent. */
  readonly chargePercent?: number;
  /** An electricity API that runs elsewhere, in the place of the only seller; null starts each. */
  readonly sellerUrl: string | null;
  /** A broker that runs elsewhere; null lets the gateway open its own. */
  readonly brokerUrl: string | null;
  /** What that broker wants to know of the gateway, as members of its section. */
  readonly brokerAccount?: Readonly<Record<string, string>>;
  /** What speaks MQTT in the gateway's own broker. */
  readonly server: Server;
  /** Unix time at which the tariffs' clock starts, and its speed. */
  readonly epochSeconds: number;
  readonly speed: number;
  readonly depositAtomic: number;
  /** Devices that will make their first purchase in the run. */
  readonly devices: number;
  readonly onTrouble: (text: string) => void;
}

export interface Services {
  readonly brokerUrl: string;
  /** In the order of the run's sellers. */
  readonly sellerUrls: readonly string[];
  readonly gatewayPublicKey: Uint8Array;
  readonly gatewayPid: () => number;
  /** In the same order; empty when the seller runs elsewhere. */
  readonly sellerPids: () => readonly number[];
  /** Kills it and keeps it down until the returned function is called; sellers only when they are our own. */
  interruptGateway(): () => Promise<void>;
  interruptSellers(): () => Promise<void>;
  /** Sets the tariff's clock of sellers of our own: the lights' clock is the one that counts. */
  sendSellerTime(seconds: number): void;
  /** Lets the gateway finish its payments, so that nothing is charged any more. */
  stopGateway(): Promise<void>;
  /** Lets sellers claim and settle; null for one that ended without a report, none when it runs elsewhere. */
  stopSellers(): Promise<readonly (StopReport | null)[]>;
  /** The name of one of them that runs and says nothing within the limit; null when there is none. */
  silent(limitMs: number): Promise<string | null>;
  stop(): Promise<void>;
  /** Ends all at the same time, for who cannot wait for their order. */
  stopTogether(): Promise<void>;
}

interface SellerReady {
  readonly url: string;
}
interface GatewayReady {
  readonly brokerUrl: string;
  readonly publicKey: Hex;
}

export async function startServices(options: ServicesOptions): Promise<Services> {
  const home = mkdtempSync(join(tmpdir(), "watt402-"));
  // Keys lie there: they go even when the run is left at once.
  const removeHome = () => rmSync(home, { recursive: true, force: true });
  process.once("exit", removeHome);
  const sellers: Supervised<SellerReady>[] = [];
  try {
    if (options.sellerUrl === null) {
      const starting = options.sellers.map((seller, index) =>
        startSeller(options, seller, join(home, `seller-${index}`)),
      );
      const started = await Promise.allSettled(starting);
      for (const one of started) if (one.status === "fulfilled") sellers.push(one.value);
      for (const one of started) if (one.status === "rejected") throw one.reason;
    }
    const sellerUrls =
      options.sellerUrl === null ? sellers.map(({ ready }) => ready.url) : [options.sellerUrl];
    const gateway = await startGatewayProcess(options, home, sellerUrls);
    return {
      brokerUrl: options.brokerUrl ?? gateway.ready.brokerUrl,
      sellerUrls,
      gatewayPublicKey: fromHex(gateway.ready.publicKey),
      gatewayPid: () => gateway.pid(),
      sellerPids: () => sellers.map((seller) => seller.pid()),
      interruptGateway: () => gateway.interrupt(),
      interruptSellers() {
        const resumes = sellers.map((seller) => seller.interrupt());
        return async () => {
          await Promise.all(resumes.map((resume) => resume()));
        };
      },
      sendSellerTime(tariffSeconds) {
        for (const seller of sellers) seller.send({ tariffSeconds });
      },
      async stopGateway() {
        await gateway.stop();
      },
      async stopSellers() {
        const ended = await Promise.all(sellers.map((seller) => seller.stop()));
        return ended.map((last) => {
          const { stopped, report } = (last ?? {}) as { stopped?: true; report?: StopReport };
          return stopped ? (report ?? null) : null;
        });
      },
      async silent(limitMs) {
        const [gatewayAnswers, ...sellersAnswer] = await Promise.all([
          gateway.answers(limitMs),
          ...(options.sellerUrl === null
            ? sellers.map((seller) => seller.answers(limitMs))
            : [isAnsweringHttp(options.sellerUrl, limitMs)]),
        ]);
        return gatewayAnswers ? (sellersAnswer.every(Boolean) ? null : "seller") : "gateway";
      },
      async stopTogether() {
        await Promise.all([gateway, ...sellers].map((one) => one.stop()));
      },
      async stop() {
        await gateway.stop();
        await Promise.all(sellers.map((seller) => seller.stop()));
        removeHome();
        process.off("exit", removeHome);
      },
    };
  } catch (error) {
    await Promise.all(sellers.map((seller) => seller.stop()));
    removeHome();
    process.off("exit", removeHome);
    throw error;
  }
}

/** A connection that is refused is an answer, too. */
async function isAnsweringHttp(url: string, limitMs: number): Promise<boolean> {
  const signal = AbortSignal.timeout(limitMs);
  await fetch(url, { signal }).then(
    (response) => response.body?.cancel(),
    () => undefined,
  );
  return !signal.aborted;
}

/** Claims during a run as well as at its end: once a minute is often for a meter and cheap for a chain. */
const CLAIM_INTERVAL_SECONDS = 60;

async function startSeller(
  options: ServicesOptions,
  { chain, keys, goods, menu, tariff }: RunSeller,
  data: string,
): Promise<Supervised<SellerReady>> {
  const { schemes } = options;
  mkdirSync(data);
  const sold = join(data, "goods.toml");
  writeFileSync(sold, stringify({ unit: goods.unit, menu: [...menu], resource: [...goods.resources] }));
  return supervise<SellerReady>({
    name: "seller",
    launcher: "../watt402-simulate.mjs",
    args: [
      "seller",
      ...["--rpc", chain.rpcUrl],
      ...["--chain-id", String(chain.chainId)],
      ...["--port", String(await freePort())],
      ...["--data", data],
      ...["--token", chain.token],
      ...["--sell", sold],
      ...["--tariff", tariff],
      ...["--tariff-epoch", String(options.epochSeconds)],
      ...["--speed", String(options.speed)],
      ...["--scheme", schemes.length === 2 ? "both" : schemes[0]!],
      // Nobody looks for these sellers, and what they declare would come back with each payment.
      "--no-discovery",
      ...(options.schemeServer === undefined ? [] : ["--scheme-server", options.schemeServer]),
      ...["--charge-percent", String(options.chargePercent ?? 100)],
      ...["--claim-interval", String(CLAIM_INTERVAL_SECONDS)],
      ...["--min-deposit", String(options.depositAtomic)],
    ],
    env: { WATT402_RECEIVER_KEY: keys.receiverKey, WATT402_FACILITATOR_KEY: keys.facilitatorKey },
    onTrouble: options.onTrouble,
  });
}

async function startGatewayProcess(
  options: ServicesOptions,
  home: string,
  sellerUrls: readonly string[],
): Promise<Supervised<GatewayReady>> {
  const chains = [...new Set(options.sellers.map(({ chain }) => chain))];
  const file = (name: string, text: string) => {
    writeFileSync(join(home, name), text, { mode: 0o600 });
    return join(home, name);
  };
  const broker =
    options.brokerUrl === null
      ? // Lights in fast time say in a second what others say in an hour.
        {
          kind: "embedded",
          server: options.server,
          port: await freePort(),
          messagesPerSecond: 100_000,
          messagesBurst: 1_000_000,
        }
      : {
          kind: "external",
          url: options.brokerUrl,
          clientId: `watt402-${process.pid}`,
          ...options.brokerAccount,
        };
  const sections = {
    gateway: { key: file("gateway.key", generatePrivateKey()), data: join(home, "gateway") },
    broker,
    sellers: options.sellers.map(({ chain, keys }, index) => ({
      name: `seller-${index}`,
      url: sellerUrls[index]!,
      ...(options.sellerUrl === null ? { payee: privateKeyToAddress(keys.receiverKey) } : {}),
      ...paidOn(chain),
      schemes: options.schemes,
    })),
    treasury: {
      key: file("treasury.key", chains[0]!.treasuryKey),
      depositAtomic: options.depositAtomic,
      // Each is a newcomer once, and none of them a stranger.
      newcomersPerDayAtomic: options.depositAtomic * options.devices,
    },
    enrolment: { mode: "open" },
    chains: chains.map(({ chainId, rpcUrl }) => ({ network: `eip155:${chainId}`, rpc: rpcUrl })),
    tokens: chains.map((chain) => ({ ...paidOn(chain), symbol: "USDC", decimals: 6 })),
    forward: { origins: sellerUrls },
  };
  return supervise<GatewayReady>({
    name: "gateway",
    launcher: "../../gateway/watt402-gateway.mjs",
    args: ["--quiet", "--config", file("gateway.toml", stringify(sections))],
    onTrouble: options.onTrouble,
  });
}

function paidOn({ chainId, token }: RunChain): { readonly network: string; readonly asset: string } {
  return { network: `eip155:${chainId}`, asset: token };
}
