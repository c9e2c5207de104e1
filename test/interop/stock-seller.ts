// A seller as @x402/express's README makes it; ours are only the token of the price and the facilitator's
// wallet, for the development chain has no public ones.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { decodePaymentSignatureHeader } from "@x402/core/http";
import type { FacilitatorClient } from "@x402/core/server";
import type { PaymentPayload } from "@x402/core/types";
import {
  type BatchSettlementChannelManager,
  BatchSettlementEvmScheme,
} from "@x402/evm/batch-settlement/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import express from "express";
import {
  type Address,
  createPublicClient,
  createWalletClient,
  defineChain,
  http,
  type PublicClient,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { tokenAbi } from "#simulator/chain/abi";
import type { Anvil } from "#simulator/chain/anvil";
import { DEVELOPMENT_DOLLAR_DOMAIN } from "#simulator/chain/deploy";
import { facilitatorInProcess } from "#simulator/seller/claims/facilitator";
import type { Ground } from "../gateway/fixtures.ts";

const KEEP_ALIVE_MS = 60_000;

export interface StockSeller {
  readonly url: string;
  readonly receiver: Address;
  /** How often the paid route's handler ran. */
  readonly served: number;
  /** Tokens that the receiver owns. */
  received(): Promise<bigint>;
  /** Of a seller by batch-settlement. */
  readonly manager: BatchSettlementChannelManager | null;
  /** Cumulative charges by channel id, as the seller's own storage has them. */
  charges(): Promise<ReadonlyMap<string, bigint>>;
  close(): Promise<void>;
}

export interface StockOptions {
  readonly amountAtomic: number;
  /** Development accounts of the receiver and of the facilitator's wallet. */
  readonly accounts: readonly [receiver: number, facilitator: number];
  /** What the handler charges in the place of the price, by Settlement-Overrides. */
  readonly chargedAtomic?: number;
  /** Deposit that clients are asked for; the SDK's own, ten payments, when absent. */
  readonly minDepositAtomic?: number;
  /** What it says of the token's EIP-712 domain; the token's own when absent. */
  readonly tokenDomain?: { readonly name: string; readonly version: string };
  /** A price that moves, in the place of `amountAtomic`. */
  readonly priceAtomic?: () => number;
  /** What stands between the seller and its facilitator. */
  readonly through?: (facilitator: FacilitatorClient) => FacilitatorClient;
  /** What its 402 declares, and takes an echo of. */
  readonly extensions?: Record<string, unknown>;
  /** Hears each payment that is presented. */
  readonly onPayment?: (payment: PaymentPayload) => void;
  /** How long the seller believes what it last read of a channel on the chain; the SDK's own when absent. */
  readonly onchainStateTtlMs?: number;
}

/** The chain that a stock seller is on. */
export interface StockGround extends Pick<Ground, "contracts" | "network"> {
  readonly anvil: Pick<Anvil, "rpcUrl" | "chainId" | "accounts">;
}

export async function startStockSeller(
  ground: StockGround,
  scheme: "exact" | "batch-settlement",
  options: StockOptions,
): Promise<StockSeller> {
  const { anvil, contracts, network } = ground;
  const [receiverIndex, facilitatorIndex] = options.accounts;
  const receiver = privateKeyToAccount(anvil.accounts[receiverIndex]!.privateKey);
  const chain = defineChain({
    id: anvil.chainId,
    name: "development",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [anvil.rpcUrl] } },
  });
  const connection = { chain, transport: http(anvil.rpcUrl), pollingInterval: 20 };
  const client: PublicClient = createPublicClient(connection);
  const account = privateKeyToAccount(anvil.accounts[facilitatorIndex]!.privateKey);
  const own = facilitatorInProcess(network, createWalletClient({ ...connection, account }), client);
  const facilitator = options.through?.(own) ?? own;
  const { onchainStateTtlMs } = options;
  const batch = new BatchSettlementEvmScheme(receiver.address, {
    receiverAuthorizerSigner: receiver,
    ...(onchainStateTtlMs === undefined ? {} : { onchainStateTtlMs }),
  });
  const resourceServer = new x402ResourceServer(facilitator)
    .register(network, new ExactEvmScheme())
    .register(network, batch);

  const app = express();
  app.use((request, _response, next) => {
    const header = request.get("payment-signature");
    if (header !== undefined) options.onPayment?.(decodePaymentSignatureHeader(header));
    next();
  });
  app.use(
    paymentMiddleware(
      {
        "GET /energy": {
          accepts: {
            scheme,
            network,
            payTo: receiver.address,
            price: () => ({
              amount: String(options.priceAtomic?.() ?? options.amountAtomic),
              asset: contracts.token,
              extra: { ...(options.tokenDomain ?? DEVELOPMENT_DOLLAR_DOMAIN) },
            }),
            ...(options.minDepositAtomic === undefined
              ? {}
              : { extra: { minDeposit: String(options.minDepositAtomic) } }),
          },
          description: "one portion of energy",
          ...(options.extensions === undefined ? {} : { extensions: options.extensions }),
        },
      },
      resourceServer,
    ),
  );
  let served = 0;
  app.get("/energy", (_request, response) => {
    served += 1;
    if (options.chargedAtomic !== undefined) {
      setSettlementOverrides(response, { amount: String(options.chargedAtomic) });
    }
    response.json({ energy: "one portion" });
  });
  // Its clients rest for seconds and buy on: Node's own five seconds would close their connections under them.
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, app).listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/energy`,
    receiver: receiver.address,
    get served() {
      return served;
    },
    received: () =>
      client.readContract({
        address: contracts.token,
        abi: tokenAbi,
        functionName: "balanceOf",
        args: [receiver.address],
      }),
    manager: scheme === "exact" ? null : batch.createChannelManager(facilitator, network, contracts.token),
    async charges() {
      const channels = await batch.getStorage().list();
      return new Map(channels.map((channel) => [channel.channelId, BigInt(channel.chargedCumulativeAmount)]));
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
