/**
 * Chain, seller and gateway of one run, each a process of its own, as an operator would run them.
 *
 * Promise: seller and gateway are this project's own programs, started with ordinary configuration and
 * restarted when they die; everything stops in the order that loses nothing: lights, seller, gateway, chain.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generatePrivateKey } from "viem/accounts";
import type { Server } from "#gateway/config/broker-section";
import { fromHex, type Hex } from "#payment/bytes";
import type { RunChain } from "../chain/open-chain.ts";
import type { SchemeServer } from "../seller/scheme/scheme-server.ts";
import type { StopReport } from "../seller/seller.ts";
import { freePort } from "./free-port.ts";
import { type Supervised, supervise } from "./supervised.ts";

interface ServicesOptions {
  readonly chain: RunChain;
  readonly schemes: readonly ("batch-settlement" | "exact")[];
  /** As `watt402-simulate seller --scheme-server`; its default when absent. */
  readonly schemeServer?: SchemeServer;
  /** An electricity API that runs elsewhere; null starts one. */
  readonly sellerUrl: string | null;
  /** A broker that runs elsewhere; null lets the gateway open its own. */
  readonly brokerUrl: string | null;
  /** What that broker wants to know of the gateway, as members of its section. */
  readonly brokerAccount?: Readonly<Record<string, string>>;
  /** What speaks MQTT in the gateway's own broker. */
  readonly server: Server;
  /** As `watt402-simulate seller --tariff`. */
  readonly tariff: string;
  /** Unix time at which the tariff's clock starts, and its speed. */
  readonly epochSeconds: number;
  readonly speed: number;
  readonly depositAtomic: number;
  /** Devices that will make their first purchase in the run. */
  readonly devices: number;
  readonly onTrouble: (text: string) => void;
}

export interface Services {
  readonly brokerUrl: string;
  readonly sellerUrl: string;
  readonly gatewayPublicKey: Uint8Array;
  readonly gatewayPid: () => number;
  /** 0 when the seller runs elsewhere. */
  readonly sellerPid: () => number;
  /** Kills it and keeps it down until the returned function is called; the seller only when it is our own. */
  interruptGateway(): () => Promise<void>;
  interruptSeller(): () => Promise<void>;
  /** Sets the tariff's clock of a seller of our own: the lights' clock is the one that counts. */
  sendSellerTime(seconds: number): void;
  /** Lets the gateway finish its payments, so that nothing is charged any more. */
  stopGateway(): Promise<void>;
  /** Lets the seller claim and settle; null when it runs elsewhere, or ended without a report. */
  stopSeller(): Promise<StopReport | null>;
  /** The name of one of them that runs and says nothing within the limit; null when there is none. */
  silent(limitMs: number): Promise<string | null>;
  stop(): Promise<void>;
  /** Ends both at the same time, for who cannot wait for their order. */
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
  let seller: Supervised<SellerReady> | null = null;
  try {
    if (options.sellerUrl === null) seller = await startSeller(options, home);
    const sellerUrl = options.sellerUrl ?? seller!.ready.url;
    const gateway = await startGatewayProcess(options, home, sellerUrl);
    return {
      brokerUrl: options.brokerUrl ?? gateway.ready.brokerUrl,
      sellerUrl,
      gatewayPublicKey: fromHex(gateway.ready.publicKey),
      gatewayPid: () => gateway.pid(),
      sellerPid: () => seller?.pid() ?? 0,
      interruptGateway: () => gateway.interrupt(),
      interruptSeller: () => seller?.interrupt() ?? (() => Promise.resolve()),
      sendSellerTime: (tariffSeconds) => seller?.send({ tariffSeconds }),
      async stopGateway() {
        await gateway.stop();
      },
      async stopSeller() {
        const last = (await seller?.stop()) as { stopped?: true; report?: StopReport } | undefined;
        return last?.stopped ? (last.report ?? null) : null;
      },
      async silent(limitMs) {
        const [gatewayAnswers, sellerAnswers] = await Promise.all([
          gateway.answers(limitMs),
          seller === null ? isAnsweringHttp(sellerUrl, limitMs) : seller.answers(limitMs),
        ]);
        return gatewayAnswers ? (sellerAnswers ? null : "seller") : "gateway";
      },
      async stopTogether() {
        await Promise.all([gateway.stop(), seller?.stop()]);
      },
      async stop() {
        await gateway.stop();
        await seller?.stop();
        removeHome();
        process.off("exit", removeHome);
      },
    };
  } catch (error) {
    await seller?.stop();
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

async function startSeller(options: ServicesOptions, home: string): Promise<Supervised<SellerReady>> {
  const { chain, schemes } = options;
  const data = join(home, "seller");
  mkdirSync(data);
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
      ...["--tariff", options.tariff],
      ...["--tariff-epoch", String(options.epochSeconds)],
      ...["--speed", String(options.speed)],
      ...["--scheme", schemes.length === 2 ? "both" : schemes[0]!],
      // Nobody looks for these sellers, and what they declare would come back with each payment.
      "--no-discovery",
      ...(options.schemeServer === undefined ? [] : ["--scheme-server", options.schemeServer]),
      ...["--claim-interval", String(CLAIM_INTERVAL_SECONDS)],
      ...["--min-deposit", String(options.depositAtomic)],
    ],
    env: { WATT402_RECEIVER_KEY: chain.receiverKey, WATT402_FACILITATOR_KEY: chain.facilitatorKey },
    onTrouble: options.onTrouble,
  });
}

async function startGatewayProcess(
  options: ServicesOptions,
  home: string,
  sellerUrl: string,
): Promise<Supervised<GatewayReady>> {
  const { chain } = options;
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
    seller: {
      url: sellerUrl,
      network: `eip155:${chain.chainId}`,
      asset: chain.token,
      schemes: options.schemes,
    },
    treasury: {
      key: file("treasury.key", chain.treasuryKey),
      depositAtomic: options.depositAtomic,
      // Each is a newcomer once, and none of them a stranger.
      newcomersPerDayAtomic: options.depositAtomic * options.devices,
    },
    enrolment: { mode: "open" },
    chain: { rpc: chain.rpcUrl },
    forward: { origins: [sellerUrl] },
  };
  return supervise<GatewayReady>({
    name: "gateway",
    launcher: "../../gateway/watt402-gateway.mjs",
    args: ["--quiet", "--config", file("gateway.toml", toml(sections))],
    onTrouble: options.onTrouble,
  });
}

function toml(sections: Readonly<Record<string, Readonly<Record<string, unknown>>>>): string {
  return Object.entries(sections)
    .map(([name, members]) => {
      const lines = Object.entries(members).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
      return `[${name}]\n${lines.join("\n")}\n`;
    })
    .join("\n");
}
