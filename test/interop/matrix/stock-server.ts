// A stock seller of one route, as the packages' READMEs make it, on Express or on Hono. Ours is the facilitator's wallet,
// for the development chain has no public facilitator.

import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import {
  paymentMiddleware as expressPayment,
  setSettlementOverrides as overrideOnExpress,
  x402ResourceServer as X402ResourceServer,
} from "@x402/express";
import { paymentMiddleware as honoPayment, setSettlementOverrides as overrideOnHono } from "@x402/hono";
import express from "express";
import { Hono } from "hono";
import type { Address, Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { DEVELOPMENT_DOLLAR_DOMAIN } from "#simulator/chain/deploy";
import { facilitatorInProcess } from "#simulator/seller/claims/facilitator";
import type { MatrixChain } from "./chain.ts";
import { PRICE_ATOMIC, type Route, stockExtensions, USED_ATOMIC } from "./routes.ts";

export const STOCK_SERVERS = ["@x402/express", "@x402/hono"] as const;
type StockServerName = (typeof STOCK_SERVERS)[number];

/** Its clients rest for seconds and buy on. */
const KEEP_ALIVE_MS = 60_000;
const MIN_DEPOSIT_ATOMIC = 100 * PRICE_ATOMIC;

export interface StockServer {
  readonly url: string;
  readonly receiver: Address;
  /** How often the paid resource was handed out. */
  readonly served: number;
  /** By batch-settlement: what it charged by its own account, cumulative over its channels. */
  charged(): Promise<bigint>;
  /** By batch-settlement: brings what it charged to its receiver. */
  claim(): Promise<void>;
  close(): Promise<void>;
}

export async function startStockServer(
  name: StockServerName,
  chain: MatrixChain,
  route: Route,
  receiverKey: Hex,
  facilitatorKey: Hex,
): Promise<StockServer> {
  const { network, contracts, client } = chain;
  const receiver = privateKeyToAccount(receiverKey);
  const facilitator = facilitatorInProcess(network, chain.wallet(facilitatorKey), client, true);
  const batch = new BatchSettlementEvmScheme(receiver.address, { receiverAuthorizerSigner: receiver });
  const resourceServer = new X402ResourceServer(facilitator)
    .register(network, batch)
    .register(network, new ExactEvmScheme())
    .register(network, new UptoEvmScheme());
  let served = 0;
  const server = await listen(name, routesOf(chain, route, receiver.address), resourceServer, (override) => {
    served += 1;
    if (route.scheme === "upto") override({ amount: String(USED_ATOMIC) });
    return { energy: "one portion" };
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/energy`,
    receiver: receiver.address,
    get served() {
      return served;
    },
    async charged() {
      const channels = await batch.getStorage().list();
      return channels.reduce((sum, { chargedCumulativeAmount }) => sum + BigInt(chargedCumulativeAmount), 0n);
    },
    async claim() {
      await batch.createChannelManager(facilitator, network, contracts.token).claimAndSettle();
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function routesOf({ network, contracts }: MatrixChain, route: Route, payTo: Address) {
  const { scheme, transferMethod } = route;
  const method = transferMethod === "eip3009" ? {} : { assetTransferMethod: transferMethod };
  return {
    "GET /energy": {
      accepts: {
        scheme,
        network,
        payTo,
        price: {
          amount: String(PRICE_ATOMIC),
          asset: contracts.token,
          extra: { ...DEVELOPMENT_DOLLAR_DOMAIN, ...method },
        },
        ...(scheme === "batch-settlement" ? { extra: { minDeposit: String(MIN_DEPOSIT_ATOMIC) } } : {}),
      },
      description: "one portion of energy",
      extensions: stockExtensions(route),
    },
  };
}

type Override = (overrides: { amount: string }) => void;

async function listen(
  name: StockServerName,
  routes: ReturnType<typeof routesOf>,
  resourceServer: X402ResourceServer,
  serveOne: (override: Override) => object,
): Promise<Server> {
  if (name === "@x402/express") {
    const app = express();
    app.use(expressPayment(routes, resourceServer));
    app.get("/energy", (_request, response) => {
      response.json(serveOne((overrides) => overrideOnExpress(response, overrides)));
    });
    const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, app).listen(0, "127.0.0.1");
    await once(server, "listening");
    return server;
  }
  const app = new Hono();
  app.use(honoPayment(routes, resourceServer));
  app.get("/energy", (context) => context.json(serveOne((overrides) => overrideOnHono(context, overrides))));
  const serverOptions = { keepAliveTimeout: KEEP_ALIVE_MS };
  const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1", serverOptions }) as Server;
  if (!server.listening) await once(server, "listening");
  return server;
}
