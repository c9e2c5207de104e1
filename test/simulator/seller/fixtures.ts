// What the utility's tests stand on: a real node with x402's contracts, a utility on it, and the stock client.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toClientEvmSigner } from "@x402/evm";
import {
  BatchSettlementEvmScheme,
  type BatchSettlementEvmSchemeOptions,
  InMemoryClientChannelStorage,
} from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { wrapFetchWithPayment, x402Client, x402HTTPClient } from "@x402/fetch";
import {
  createPublicClient,
  createWalletClient,
  type Hex,
  http,
  type PublicClient,
  publicActions,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { type Anvil, startAnvil } from "#simulator/chain/anvil";
import { type Contracts, deployContracts, mint } from "#simulator/chain/deploy";
import { facilitatorInProcess } from "#simulator/seller/claims/facilitator";
import type { Wallet } from "#simulator/seller/claims/wallet";
import { flatTariff } from "#simulator/seller/sale/tariff";
import { type SellerOptions, type SellerService, startSeller } from "#simulator/seller/seller";

export const PRICE = 200_000;

export interface Ground {
  readonly anvil: Anvil;
  readonly contracts: Contracts;
  readonly chain: PublicClient;
  readonly network: `eip155:${number}`;
  readonly receiverKey: Hex;
  readonly logged: string[];
  /** A utility with a database of its own unless `dataDirectory` says otherwise. */
  start(options?: Partial<SellerOptions>): Promise<SellerService>;
  directory(): Promise<string>;
  /** A payer with dollars and ether. */
  payer(dollarsAtomic?: bigint): Promise<Payer>;
  stop(): Promise<void>;
}

/** A facilitator with a wallet of its own, beside the seller's: that of a development account. */
export function facilitatorBeside({ anvil, contracts, network, chain }: Ground, account: number) {
  const wallet = createWalletClient({
    account: privateKeyToAccount(anvil.accounts[account]!.privateKey),
    chain: {
      id: contracts.chainId,
      name: "development",
      nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
      rpcUrls: { default: { http: [anvil.rpcUrl] } },
    },
    transport: http(anvil.rpcUrl),
  }) as Wallet;
  return facilitatorInProcess(network, wallet, chain);
}

/** @param defaults what every utility on it is started with */
export async function prepareGround(defaults: Partial<SellerOptions> = {}): Promise<Ground> {
  const anvil = await startAnvil();
  const contracts = await deployContracts(anvil);
  const chain = createPublicClient({ transport: http(anvil.rpcUrl), pollingInterval: 20 });
  const directories: string[] = [];
  const running: SellerService[] = [];
  const receiverKey = anvil.accounts[0]!.privateKey;
  const logged: string[] = [];
  let minting: Promise<void> = Promise.resolve();
  const ground: Ground = {
    anvil,
    contracts,
    chain,
    network: `eip155:${contracts.chainId}`,
    receiverKey,
    logged,
    directory: async () => {
      const directory = await mkdtemp(join(tmpdir(), "watt402-utility-"));
      directories.push(directory);
      return directory;
    },
    start: async (options) => {
      const utility = await startSeller({
        rpcUrl: anvil.rpcUrl,
        dataDirectory: options?.dataDirectory ?? (await ground.directory()),
        receiverKey,
        token: contracts.token,
        tariff: flatTariff(PRICE),
        log: (line) => logged.push(line),
        ...defaults,
        ...options,
      });
      running.push(utility);
      return utility;
    },
    payer: async (dollarsAtomic = 100_000_000n) => {
      const payer = new Payer(ground, generatePrivateKey());
      // One minter, one nonce at a time.
      minting = minting.then(() => mint(anvil, payer.address, dollarsAtomic));
      await minting;
      return payer;
    },
    stop: async () => {
      await Promise.all(running.map((utility) => utility.stop().catch(() => undefined)));
      await anvil.stop();
      await Promise.all(directories.map((directory) => rm(directory, { recursive: true, force: true })));
    },
  };
  return ground;
}

/** Someone with a key, paying as the stock client does. */
export class Payer {
  readonly #ground: Ground;
  readonly key: Hex;
  readonly account;
  readonly wallet;

  constructor(ground: Ground, key: Hex) {
    this.#ground = ground;
    this.key = key;
    this.account = privateKeyToAccount(key);
    this.wallet = createWalletClient({
      account: this.account,
      transport: http(ground.anvil.rpcUrl),
      pollingInterval: 20,
    }).extend(publicActions);
  }

  get address(): Hex {
    return this.account.address;
  }

  batch(options: BatchSettlementEvmSchemeOptions = {}): StockClient {
    const signer = toClientEvmSigner(
      this.account,
      this.#ground.chain as Parameters<typeof toClientEvmSigner>[1],
    );
    const storage = new InMemoryClientChannelStorage();
    const scheme = new BatchSettlementEvmScheme(signer, { storage, ...options });
    const client = this.#limited(new x402Client().register(this.#ground.network, scheme));
    return { client, http: new x402HTTPClient(client), fetch: wrapFetchWithPayment(fetch, client), scheme };
  }

  exact(): Omit<StockClient, "scheme"> {
    const client = this.#limited(
      new x402Client().register(this.#ground.network, new ExactEvmScheme(this.account)),
    );
    return { client, http: new x402HTTPClient(client), fetch: wrapFetchWithPayment(fetch, client) };
  }

  #limited(client: x402Client): x402Client {
    const { network, contracts } = this.#ground;
    return client.setSpendControls({
      allowedAssets: [{ network, asset: contracts.token, maxAmountPerPayment: "10000000" }],
    });
  }
}

export interface StockClient {
  readonly client: x402Client;
  readonly http: x402HTTPClient;
  readonly fetch: typeof fetch;
  readonly scheme: BatchSettlementEvmScheme;
}

/** The headers of a payment for `quantum`, signed once, to be presented as often as one likes. */
export async function signPayment(
  url: string,
  quantum: number,
  client: Pick<StockClient, "client" | "http">,
): Promise<Record<string, string>> {
  const unpaid = await fetch(`${url}/v1/energy?quantum=${quantum}`, { method: "POST" });
  const required = client.http.getPaymentRequiredResponse((name) => unpaid.headers.get(name));
  const payload = await client.client.createPaymentPayload(required);
  return client.http.encodePaymentSignatureHeader(payload);
}

export interface Presented {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly receipt: string | null;
  readonly required: string | null;
}

export async function present(
  url: string,
  quantum: number,
  headers: Record<string, string>,
): Promise<Presented> {
  const response = await fetch(`${url}/v1/energy?quantum=${quantum}`, { method: "POST", headers });
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown>,
    receipt: response.headers.get("PAYMENT-RESPONSE"),
    required: response.headers.get("PAYMENT-REQUIRED"),
  };
}
