// The utility: an electricity seller on a real chain, put together. It starts only on ground that holds (its
// chain, its token, its database) and stops by turning every charged voucher into settled money.

import { x402ResourceServer } from "@x402/core/server";
import { authorizationTypes } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import type { FastifyInstance } from "fastify";
import {
  type Address,
  createPublicClient,
  createWalletClient,
  defineChain,
  type Hex,
  http,
  type PublicClient,
  verifyTypedData,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import type { Curve } from "#node/key/native-curve";
import { Watt402Error } from "#payment/watt402-error";
import { tokenAbi } from "#simulator/chain/abi";
import { connectChain, MULTICALL3_ADDRESS } from "#simulator/chain/deploy";
import type { Scheme } from "./accounts/accounts.ts";
import { SqliteAccounts } from "./accounts/sqlite-accounts.ts";
import { ChainWatch, LOOK_EVERY_MS, LOOK_TIMEOUT_MS } from "./claims/chain-watch.ts";
import { type ClaimRound, Claims } from "./claims/claims.ts";
import { evmChain } from "./claims/evm-chain.ts";
import { facilitatorAt, facilitatorInProcess } from "./claims/facilitator.ts";
import type { Clock } from "./ports.ts";
import { EnergySale, type EnergySaleParts } from "./sale/energy-sale.ts";
import { DEFAULT_MENU, quoting, type Tariff } from "./sale/tariff.ts";
import { Terms } from "./sale/terms.ts";
import { openOwnScheme } from "./scheme/open-scheme.ts";
import type { SchemeServer } from "./scheme/scheme-server.ts";
import type { PublicBaseOptions } from "./server/public-base.ts";
import { energyServer } from "./server/server.ts";
import { learnGas, type StopReport, stopInOrder } from "./server/stop.ts";

/** A week of one lamp's light: one deposit (120k gas) carries some ten thousand purchases. */
export const DEFAULT_MIN_DEPOSIT_ATOMIC = 1_000_000;
/**
 * A day. From the moment a payer asks to withdraw the seller has this long to claim, so it must outlast an
 * outage of node or seller that someone repairs next morning; longer would lock the payer's money for nothing.
 */
export const DEFAULT_WITHDRAW_DELAY_SECONDS = 86_400;
export const DEFAULT_CLAIM_INTERVAL_SECONDS = 3_600;
/** Withdrawals are looked for at least this often, however rarely claims are made. */
export const MAX_WATCH_INTERVAL_SECONDS = 30;
export const DEFAULT_STOP_TIMEOUT_MS = 60_000;
/** How long a buyer's authorization of a transfer stays good: long enough to be presented again after a restart. */
const MAX_TIMEOUT_SECONDS = 300;
const RECEIPT_POLL_MS = 20;
const RPC_TIMEOUT_MS = 10_000;
/** A voucher whose channel has to be read anew waits for it. */
const RPC_RETRIES = 1;

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
  /** A facilitator elsewhere instead of the one in this process. */
  readonly facilitatorUrl?: string;
  readonly token: Address;
  readonly tariff: Tariff;
  readonly clock?: Clock;
  readonly menu?: readonly number[];
  readonly schemes?: readonly Scheme[];
  /** Meter-grade when absent. */
  readonly schemeServer?: SchemeServer;
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

export async function startSeller(options: SellerOptions): Promise<SellerService> {
  const log = options.log ?? ((line: string) => process.stderr.write(`${line}\n`));
  const { chainId } = await connectChain(options.rpcUrl, options.expectedChainId);
  const network = `eip155:${chainId}` as const;
  const chainDefinition = defineChain({
    id: chainId,
    name: network,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [options.rpcUrl] } },
    contracts: { multicall3: { address: MULTICALL3_ADDRESS } },
  });
  const connection = {
    chain: chainDefinition,
    transport: http(options.rpcUrl, { timeout: RPC_TIMEOUT_MS, retryCount: RPC_RETRIES }),
    pollingInterval: RECEIPT_POLL_MS,
  };
  const client: PublicClient = createPublicClient(connection);
  const asked = createPublicClient({
    transport: http(options.rpcUrl, { timeout: LOOK_TIMEOUT_MS, retryCount: 0 }),
  });
  const chainWatch = new ChainWatch({
    rpcUrl: options.rpcUrl,
    ask: () => asked.getBlockNumber({ cacheTime: 0 }),
    nowMs: () => performance.now(),
    log,
  });
  const { name: tokenName, version: tokenVersion } = await describeToken(client, options.token);
  const receiver = privateKeyToAccount(options.receiverKey);
  const wallet = createWalletClient({
    ...connection,
    account: privateKeyToAccount(options.facilitatorKey ?? options.receiverKey),
  });
  const facilitator =
    options.facilitatorUrl === undefined
      ? facilitatorInProcess(network, wallet, client)
      : facilitatorAt(options.facilitatorUrl);

  const clock = options.clock ?? { nowSeconds: () => Math.floor(Date.now() / 1000) };
  const quoteAt = quoting(options.tariff);
  const quote = () => quoteAt(clock.nowSeconds());
  const withdrawDelay = options.withdrawDelaySeconds ?? DEFAULT_WITHDRAW_DELAY_SECONDS;
  const store = new SqliteAccounts({
    directory: options.dataDirectory,
    identity: { network, token: options.token, receiver: receiver.address },
    quote,
    log,
  });
  try {
    return await serve();
  } catch (error) {
    await store.close();
    throw error;
  }

  async function serve(): Promise<SellerService> {
    const official = new BatchSettlementEvmScheme(receiver.address, {
      storage: store,
      receiverAuthorizerSigner: receiver,
      withdrawDelay,
      // The watcher tells of withdrawals; the rest of a channel's state changes only through this seller or to
      // its advantage. So cached state may serve long: no RPC per voucher. A third of the delay is still a
      // bound should the watcher be blind, and leaves two thirds to claim in.
      onchainStateTtlMs: (withdrawDelay * 1000) / 3,
    });
    const chain = evmChain({
      client,
      facilitator,
      scheme: official,
      network,
      token: options.token,
      receiver: receiver.address,
    });
    const nowMs = () => Date.now();
    const meter =
      options.schemeServer === "official"
        ? undefined
        : await openOwnScheme({ official, chainId, chain, store, nowMs, log });
    const resourceServer = new x402ResourceServer(facilitator)
      .register(network, meter?.scheme ?? official)
      .register(network, new ExactEvmScheme());
    await resourceServer.initialize();
    const terms = await Terms.build({
      resourceServer,
      schemes: options.schemes ?? ["batch-settlement", "exact"],
      network,
      token: options.token,
      tokenName,
      tokenVersion,
      receiver: receiver.address,
      minDepositAtomic: options.minDepositAtomic ?? DEFAULT_MIN_DEPOSIT_ATOMIC,
      maxTimeoutSeconds: MAX_TIMEOUT_SECONDS,
      menu: options.menu ?? DEFAULT_MENU,
    });
    const sale = new EnergySale({
      resourceServer,
      store,
      chain,
      node: chainWatch,
      till: meter?.till,
      nowMs,
      authorizationIsSigned: authorizationCheck(chainId, options.token, tokenName, tokenVersion),
      warn: log,
    });
    const claims = new Claims(store, chain, nowMs);
    await claims.catchUp();
    const app = energyServer({
      sale,
      till: meter?.till,
      store,
      quote,
      terms,
      chain: chainWatch,
      publicBase: options,
      log,
    });
    await listen(app, options.host ?? "127.0.0.1", options.port ?? 0);

    const claimIntervalSeconds = options.claimIntervalSeconds ?? DEFAULT_CLAIM_INTERVAL_SECONDS;
    const watchIntervalSeconds =
      options.watchIntervalSeconds ?? Math.min(claimIntervalSeconds, MAX_WATCH_INTERVAL_SECONDS);
    // A node that does not answer is told of once, by its watch; what waits for it is not told each time.
    const trouble = async (line: string) => {
      if ((await chainWatch.look()) === undefined) log(line);
    };
    const rounds = every(
      claimIntervalSeconds,
      async () => report(await claims.round(), log, trouble),
      trouble,
    );
    const watch = every(
      watchIntervalSeconds,
      async () => {
        const leaving = await claims.watch();
        for (const id of leaving) log(`channel ${id}: its payer withdraws; claimed and no longer served`);
        await learnGas(store, chain);
      },
      trouble,
    );
    const lookAtChain = async () => {
      await chainWatch.look();
    };
    const looks = every(LOOK_EVERY_MS / 1_000, lookAtChain, trouble);
    const stopTimeoutMs = options.stopTimeoutMs ?? DEFAULT_STOP_TIMEOUT_MS;
    let stopping: Promise<StopReport> | undefined;
    return {
      url: app.listeningOrigin,
      receiver: receiver.address,
      vouchersVerifiedBy: meter?.curve ?? "official",
      stop: () => {
        const jobs = [rounds, watch, looks];
        stopping ??= stopInOrder({
          app,
          sale,
          jobs,
          claims,
          chain,
          watch: chainWatch,
          store,
          stopTimeoutMs,
        });
        return stopping;
      },
    };
  }
}

async function describeToken(
  client: PublicClient,
  token: Address,
): Promise<{ name: string; version: string }> {
  const code = await client.getCode({ address: token });
  if (code === undefined)
    throw new Watt402Error("not-found", `token ${token}: expected a contract on this chain, found no code`);
  try {
    const [name, version] = await Promise.all([
      client.readContract({ address: token, abi: tokenAbi, functionName: "name" }),
      client.readContract({ address: token, abi: tokenAbi, functionName: "version" }),
    ]);
    return { name, version };
  } catch {
    throw new Watt402Error(
      "not-found",
      `token ${token}: expected an EIP-3009 token with name() and version(), found neither`,
    );
  }
}

function authorizationCheck(
  chainId: number,
  token: Address,
  name: string,
  version: string,
): EnergySaleParts["authorizationIsSigned"] {
  return async (payment) => {
    const { signature, authorization } = payment.payload as {
      signature: Hex;
      authorization: Record<"from" | "to" | "nonce", Hex> &
        Record<"value" | "validAfter" | "validBefore", string>;
    };
    return verifyTypedData({
      address: authorization.from,
      domain: { name, version, chainId, verifyingContract: token },
      types: authorizationTypes,
      primaryType: "TransferWithAuthorization",
      message: {
        from: authorization.from,
        to: authorization.to,
        value: BigInt(authorization.value),
        validAfter: BigInt(authorization.validAfter),
        validBefore: BigInt(authorization.validBefore),
        nonce: authorization.nonce,
      },
      signature,
    }).catch(() => false);
  };
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

/** Runs `job` again and again, never twice at once; a failure is told and the next turn comes as ever. */
function every(
  seconds: number,
  job: () => Promise<void>,
  tell: (line: string) => Promise<void>,
): { stop(): Promise<void> } {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  const arm = () => {
    timer = setTimeout(() => {
      running = job()
        .catch((error: Error) => tell(`utility: ${error.message.split("\n")[0]}`))
        .finally(() => {
          if (!stopped) arm();
        });
    }, seconds * 1000);
  };
  arm();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      return running;
    },
  };
}

async function report(
  round: ClaimRound,
  log: (line: string) => void,
  trouble: (line: string) => Promise<void>,
): Promise<void> {
  for (const { channelId, reason } of round.excluded) log(`channel ${channelId}: ${reason}`);
  if (round.interrupted !== undefined) await trouble(`claims: ${round.interrupted}; the next round goes on`);
}
