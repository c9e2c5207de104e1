/**
 * Stock clients in a process of their own: @x402/fetch with batch-settlement, one channel each, each paying again as
 * soon as it was answered.
 */
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { createPublicClient, type Hex, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { percentile } from "../figures.ts";
import type { Passage } from "../gate.ts";
import { answerParent, optionsOfParent } from "./child.ts";
import type { FleetMark, Latency } from "./fleet-process.ts";

export interface StockClientOptions {
  readonly url: string;
  readonly rpcUrl: string;
  readonly network: `eip155:${number}`;
  readonly token: string;
  /** One for each channel; each owns tokens. */
  readonly keys: readonly Hex[];
}

const { url, rpcUrl, network, token, keys } = optionsOfParent<StockClientOptions>();
const REST_MS = 10_000;
const chain = createPublicClient({ transport: http(rpcUrl), pollingInterval: 20 });
let purchases = 0;
let underWay = 0;
let latenciesMs: number[] = [];
let isOpen = false;
let open: Promise<void> = Promise.resolve();
let openNow = () => {};
let failure: string | null = null;
shut();

function shut(): void {
  isOpen = false;
  open = new Promise((resolve) => {
    openNow = resolve;
  });
}

const payers = keys.map((key) => {
  const signer = toClientEvmSigner(
    privateKeyToAccount(key),
    chain as Parameters<typeof toClientEvmSigner>[1],
  );
  const client = new x402Client()
    .register(network, new BatchSettlementEvmScheme(signer))
    .setSpendControls({ allowedAssets: [{ network, asset: token, maxAmountPerPayment: "1000000000" }] });
  return wrapFetchWithPayment(fetch, client);
});

async function buy(pay: (typeof payers)[number]): Promise<void> {
  const sinceMs = performance.now();
  underWay += 1;
  try {
    const response = await pay(url);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`HTTP ${response.status} ${text.slice(0, 200)}`);
    purchases += 1;
    latenciesMs.push(performance.now() - sinceMs);
  } finally {
    underWay -= 1;
  }
}

async function buyForEver(pay: (typeof payers)[number]): Promise<void> {
  for (;;) {
    if (!isOpen) await open;
    await buy(pay);
  }
}

answerParent(
  {
    /** Opens every channel: each client buys once, one after the other. */
    async buyOnce() {
      for (const pay of payers) await buy(pay);
      latenciesMs = [];
      for (const pay of payers) {
        void buyForEver(pay).catch((error: Error) => {
          failure = error.message;
        });
      }
    },
    pass({ passage }: { passage: Passage }) {
      if (passage === "shut") return shut();
      isOpen = true;
      openNow();
    },
    async rest() {
      shut();
      const deadlineMs = performance.now() + REST_MS;
      while (underWay > 0 && performance.now() < deadlineMs) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    mark(): FleetMark {
      if (failure !== null) throw new Error(failure);
      const { user, system } = process.cpuUsage();
      return { atMs: performance.now(), purchases, cpuMicroseconds: user + system };
    },
    latency(): Latency {
      const samples = latenciesMs;
      latenciesMs = [];
      return { p50: percentile(samples, 0.5), p99: percentile(samples, 0.99), answers: samples.length };
    },
  },
  async () => shut(),
);
