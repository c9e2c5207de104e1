/**
 * What the bench stands on: a chain beside everything, and whatever is started is stopped, in reverse order.
 */
import { privateKeyToAccount } from "viem/accounts";
import type { Hex } from "#payment/bytes";
import { type Anvil, startAnvil } from "#simulator/chain/anvil";
import { type Contracts, deployContracts, mint } from "#simulator/chain/deploy";
import type { RunChain } from "#simulator/chain/open-chain";
import { ELECTRICITY } from "#simulator/seller/sale/goods";
import { DEFAULT_MENU } from "#simulator/seller/sale/tariff";
import { type Services, startServices } from "#simulator/services/services";

/** How long and how often things are measured. */
/** More than any part of the bench has. */
const DEVICES_MAX = 20_000;

export interface BenchPlan {
  readonly rounds: number;
  /** Rounds of the world, each a process of its own. */
  readonly nights: number;
  readonly roundMs: number;
  /** Before the first round, and at the beginning of each. */
  readonly warmMs: number;
  /** Before memory is weighed. */
  readonly settleMs: number;
  readonly channels: number;
  readonly sellerChannels: number;
  readonly idleLights: number;
  readonly worldLights: number;
}

interface Stoppable {
  stop(): Promise<unknown>;
}

export interface BenchGround {
  readonly plan: BenchPlan;
  readonly anvil: Anvil;
  readonly contracts: Contracts;
  readonly chain: RunChain;
  readonly receiver: Hex;
  say(text: string): void;
  /** Stops it with everything else, whatever happens; returns it. One that comes too late is stopped at once. */
  own<Part extends Stoppable>(part: Part): Part;
  /** The same for one that takes time to start: it is waited for before all is stopped. */
  start<Part extends Stoppable>(part: Promise<Part>): Promise<Part>;
  /** Stops one part now. */
  release(part: Stoppable): Promise<void>;
  /** A gateway, and a seller unless there is one at a URL. */
  services(depositAtomic: number, sellerUrl: string | null): Promise<Services>;
  /** Sleeps; rejects as soon as the bench is interrupted. */
  pass(ms: number): Promise<void>;
  stop(): Promise<void>;
}

/** $10,000,000: no bench comes near. */
const TREASURY_ATOMIC = 10_000_000_000_000n;
/** Longest time that one part has to end before the next is asked to. */
const HEAD_START_MS = 1_000;

export const PRICE_PER_MILLION_UNITS = 200_000;
/** One purchase, atomic units: 50 mWh. */
export const AMOUNT_ATOMIC = 10;

const TARIFF = `flat:${PRICE_PER_MILLION_UNITS}`;

export async function openBenchGround(
  plan: BenchPlan,
  say: (text: string) => void,
  interrupted: AbortSignal,
): Promise<BenchGround> {
  const parts: Stoppable[] = [];
  const starting = new Set<Promise<unknown>>();
  let isStopping = false;
  const anvil = await startAnvil();
  parts.push(anvil);
  const contracts = await deployContracts(anvil);
  const [treasury, receiver, facilitator] = anvil.accounts;
  await mint(anvil, treasury!.address, TREASURY_ATOMIC);
  const chain: RunChain = {
    rpcUrl: anvil.rpcUrl,
    chainId: anvil.chainId,
    token: contracts.token.toLowerCase() as Hex,
    treasuryKey: treasury!.privateKey,
    receiverKey: receiver!.privateKey,
    facilitatorKey: facilitator!.privateKey,
    furtherSellers: [],
    stop: () => anvil.stop(),
  };
  const ground: BenchGround = {
    plan,
    anvil,
    contracts,
    chain,
    receiver: privateKeyToAccount(chain.receiverKey).address.toLowerCase() as Hex,
    say,
    own(part) {
      if (isStopping) void part.stop().catch(() => undefined);
      else parts.push(part);
      return part;
    },
    async start(part) {
      const owned = part.then(async (started) => {
        if (isStopping) await started.stop();
        else parts.push(started);
        return started;
      });
      starting.add(owned);
      try {
        return await owned;
      } finally {
        starting.delete(owned);
      }
    },
    async release(part) {
      const at = parts.indexOf(part);
      if (at >= 0) parts.splice(at, 1);
      await part.stop();
    },
    services(depositAtomic, sellerUrl) {
      const services = startServices({
        sellers: [{ chain, keys: chain, own: null, goods: ELECTRICITY, menu: DEFAULT_MENU, tariff: TARIFF }],
        schemes: ["batch-settlement"],
        sellerUrl,
        brokerUrl: null,
        server: "direct",
        epochSeconds: Math.floor(Date.now() / 1000),
        speed: 1,
        depositAtomic,
        devices: DEVICES_MAX,
        onTrouble: (text) => say(text),
      });
      return ground.start(services);
    },
    pass: (ms) =>
      new Promise((resolve, reject) => {
        interrupted.throwIfAborted();
        const stop = () => {
          clearTimeout(timer);
          reject(interrupted.reason as Error);
        };
        const timer = setTimeout(() => {
          interrupted.removeEventListener("abort", stop);
          resolve();
        }, ms);
        interrupted.addEventListener("abort", stop, { once: true });
      }),
    async stop() {
      isStopping = true;
      const stopping = [...starting];
      for (const part of parts.splice(0).reverse()) {
        const stopped = part.stop().catch(() => undefined);
        stopping.push(stopped);
        // Who buys ends before who sells; but no process delays all others for long.
        await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, HEAD_START_MS))]);
      }
      await Promise.allSettled(stopping);
    },
  };
  return ground;
}
