/**
 * A seller that knows x402 alone, as @x402/express's README makes it, behind a gateway: lights pay it by configuration.
 *
 *     npx tsx test/examples/stock-seller.ts
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import express from "express";
import { createPublicClient, createWalletClient, defineChain, http, type PublicClient } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { facilitatorInProcess } from "watt402/seller";
import { chargedTo, startLight } from "./light.ts";
import { Market, until } from "./market.ts";

const AMOUNT_ATOMIC = 100;
const UNITS_PER_PAYMENT = 500;

const market = await Market.open();
try {
  const { chain } = market;
  const network = `eip155:${chain.chainId}` as const;

  // A development chain has no public facilitator; elsewhere this is HTTPFacilitatorClient with its URL.
  const connection = {
    chain: defineChain({
      id: chain.chainId,
      name: "development",
      nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
      rpcUrls: { default: { http: [chain.rpcUrl] } },
    }),
    transport: http(chain.rpcUrl),
    pollingInterval: 20,
  };
  const account = privateKeyToAccount(chain.facilitatorKey);
  const client: PublicClient = createPublicClient(connection);
  const facilitator = facilitatorInProcess(network, createWalletClient({ ...connection, account }), client);

  const receiver = privateKeyToAccount(chain.receiverKey);
  const scheme = new BatchSettlementEvmScheme(receiver.address, { receiverAuthorizerSigner: receiver });
  const price = {
    amount: String(AMOUNT_ATOMIC),
    asset: chain.token,
    extra: { name: "USD Coin", version: "2" },
  };
  const accepts = { scheme: "batch-settlement", network, payTo: receiver.address, price };
  let sold = 0;
  const app = express();
  app.use(
    paymentMiddleware(
      { "GET /energy": { accepts, description: "one portion of energy" } },
      new x402ResourceServer(facilitator).register(network, scheme),
    ),
  );
  app.get("/energy", (_request, response) => {
    sold += 1;
    response.json({ energy: "one portion" });
  });
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  market.add({ stop: () => once(server.close(), "close") });

  const { port } = server.address() as AddressInfo;
  const gateway = await market.openGateway(`http://127.0.0.1:${port}/energy`, [
    "seller.kind=fixed",
    `seller.unitsPerPayment=${UNITS_PER_PAYMENT}`,
  ]);
  const light = startLight(market, gateway);
  await until("five purchases", () => chargedTo(light) >= 5 * AMOUNT_ATOMIC);
  await light.stop();
  const { channel } = light.state();
  console.log(
    `sold ${sold} portions of ${AMOUNT_ATOMIC} atomic units; ` +
      `the light was charged ${channel?.charged} and granted ${channel?.granted} mWh`,
  );
} finally {
  await market.stop();
}
