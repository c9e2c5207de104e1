// Version 1 of x402, both ways: what our programs answer to it. The version-1 server packages bring other chains' whole
// software along, so the seller here is a 402 written by hand; the payer is the version-1 scheme of @x402/evm.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/client";
import { privateKeyToAccount } from "viem/accounts";
import { flatTariff } from "#simulator/seller/sale/tariff";
import { startSeller } from "#simulator/seller/seller";
import type { Ground } from "../../gateway/fixtures.ts";
import { buyFrom } from "./buyer-cell.ts";
import { Disagreement } from "./cell.ts";
import type { MatrixChain } from "./chain.ts";
import { PRICE_ATOMIC, ROUTES, type Route } from "./routes.ts";

export const VERSION_1: Route = {
  ...ROUTES.find(({ name }) => name === "exact eip3009")!,
  name: "exact, x402 version 1",
};

const terms = (chain: MatrixChain, resource: string) => ({
  scheme: "exact",
  network: "base-sepolia",
  maxAmountRequired: String(PRICE_ATOMIC),
  resource,
  description: "one portion of energy",
  mimeType: "application/json",
  payTo: privateKeyToAccount(chain.key(6)).address,
  maxTimeoutSeconds: 60,
  asset: chain.contracts.token,
  extra: { name: "USD Coin", version: "2" },
});

export async function playVersion1Payer(
  ground: Pick<Ground, "directory">,
  chain: MatrixChain,
): Promise<void> {
  const seller = await startSeller({
    rpcUrl: chain.anvil.rpcUrl,
    dataDirectory: ground.directory(),
    receiverKey: chain.key(6),
    token: chain.contracts.token,
    tariff: flatTariff(200_000),
    log: () => {},
  });
  try {
    const url = `${seller.url}/v1/energy?quantum=${PRICE_ATOMIC}`;
    const signer = privateKeyToAccount(await chain.payer(VERSION_1));
    const payment = await new ExactEvmSchemeV1(signer).createPaymentPayload(1, terms(chain, url) as never);
    const header = Buffer.from(JSON.stringify(payment)).toString("base64");
    const answer = await fetch(url, { method: "POST", headers: { "X-PAYMENT": header } });
    if (!answer.ok) throw new Disagreement(((await answer.json()) as { error: string }).error);
  } finally {
    await seller.stop();
  }
}

export async function playVersion1Seller(ground: Ground, chain: MatrixChain): Promise<void> {
  const server = createServer((_request, response) => {
    response.writeHead(402, { "content-type": "application/json" });
    response.end(JSON.stringify({ x402Version: 1, error: "X-PAYMENT", accepts: [terms(chain, "/energy")] }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/energy`;
    await buyFrom(ground, chain, VERSION_1, url, async () => {});
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
