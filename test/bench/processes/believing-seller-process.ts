/**
 * A seller that believes every voucher and remembers nothing but counters: so that a gateway is measured alone.
 *
 * Promise: it speaks the electricity API as a gateway hears it; it is no seller for anybody else.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { answerParent, optionsOfParent } from "./child.ts";

export interface BelievingSellerOptions {
  readonly chainId: number;
  readonly token: string;
  readonly tokenName: string;
  readonly tokenVersion: string;
  readonly receiver: string;
  readonly pricePerMillionUnits: number;
  readonly menu: readonly number[];
}

const { chainId, token, tokenName, tokenVersion, receiver, pricePerMillionUnits, menu } =
  optionsOfParent<BelievingSellerOptions>();
const network = `eip155:${chainId}`;
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64");
const charges = new Map<string, number>();
const receipt = encode({ success: true, transaction: "", network, payer: receiver });
const unitsOf = (charged: number) => Math.floor((charged * 1e6) / pricePerMillionUnits);

function required(quantum: number): string {
  return encode({
    x402Version: 2,
    error: "Payment required",
    resource: { url: `http://127.0.0.1/v1/energy?quantum=${quantum}` },
    accepts: [
      {
        scheme: "batch-settlement",
        network,
        amount: String(quantum),
        asset: token,
        payTo: receiver,
        maxTimeoutSeconds: 300,
        extra: {
          name: tokenName,
          version: tokenVersion,
          receiverAuthorizer: receiver,
          withdrawDelay: 86_400,
        },
      },
    ],
  });
}

interface Voucher {
  readonly payload: { readonly voucher: { readonly channelId: string; readonly maxClaimableAmount: string } };
}

const server = createServer((request, response) => {
  request.resume();
  const url = new URL(request.url!, "http://127.0.0.1");
  const payment = request.headers["payment-signature"];
  const answer = (status: number, headers: Record<string, string>, body: unknown) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
  if (url.pathname === "/v1/tariff") {
    return answer(200, {}, { unit: "mWh", pricePerMillionUnits, validUntilSeconds: 0, menu });
  }
  if (typeof payment !== "string") {
    return answer(402, { "payment-required": required(Number(url.searchParams.get("quantum"))) }, {});
  }
  const { voucher } = (JSON.parse(Buffer.from(payment, "base64").toString()) as Voucher).payload;
  const charged = Math.max(charges.get(voucher.channelId) ?? 0, Number(voucher.maxClaimableAmount));
  charges.set(voucher.channelId, charged);
  const counters = { charged, granted: unitsOf(charged), pricePerMillionUnits, validUntilSeconds: 0 };
  answer(200, { "payment-response": receipt }, counters);
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

answerParent(
  { url: () => `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
  () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
);
