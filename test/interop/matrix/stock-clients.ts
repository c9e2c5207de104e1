// The stock clients, each with the stock schemes and with one payer's key.

import { wrapAxiosWithPayment } from "@x402/axios";
import { decodePaymentResponseHeader, x402HTTPClient as X402HttpClient } from "@x402/core/http";
import type { PaymentPayload } from "@x402/core/types";
import { toClientEvmSigner } from "@x402/evm";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { wrapFetchWithPayment, x402Client as X402Client } from "@x402/fetch";
import axios from "axios";
import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import type { MatrixChain } from "./chain.ts";

export interface Bought {
  readonly status: number;
  readonly body: unknown;
  readonly header: (name: string) => string | null;
}

/** Buys once by POST, whatever that takes. */
export type Buy = (url: string) => Promise<Bought>;

export const STOCK_CLIENTS = ["@x402/fetch", "@x402/axios"] as const;

export function stockClient(name: (typeof STOCK_CLIENTS)[number], chain: MatrixChain, key: Hex): Buy {
  const client = clientOf(chain, key);
  if (name === "@x402/fetch") {
    const paid = wrapFetchWithPayment(fetch, client);
    return async (url) => {
      const response = await paid(url, { method: "POST" });
      const body = await response.json();
      return { status: response.status, body, header: (header) => response.headers.get(header) };
    };
  }
  const instance = axios.create({ validateStatus: (status) => status !== 402 });
  const told = receiptsOf(client);
  // Its newest release is built on an older core, whose client has the same methods.
  const paid = wrapAxiosWithPayment(instance, new X402HttpClient(client) as never);
  return async (url) => {
    const { status, data, headers } = await paid.post(url);
    const header = (name: string) => (headers[name.toLowerCase()] as string) ?? null;
    await told(header("PAYMENT-RESPONSE"));
    return { status, body: data, header };
  };
}

/**
 * @x402/axios 2.11 does not hand its client the receipt, without which a client by batch-settlement never counts on; its
 * user has to.
 */
function receiptsOf(client: X402Client): (receipt: string | null) => Promise<void> {
  let paid: PaymentPayload | undefined;
  client.onAfterPaymentCreation(async ({ paymentPayload }) => {
    paid = paymentPayload;
  });
  return async (receipt) => {
    if (paid === undefined || receipt === null) return;
    await client.handlePaymentResponse({
      paymentPayload: paid,
      requirements: paid.accepted,
      settleResponse: decodePaymentResponseHeader(receipt),
    });
  };
}

function clientOf(chain: MatrixChain, key: Hex): X402Client {
  const { network, contracts, client } = chain;
  const account = privateKeyToAccount(key);
  const signer = toClientEvmSigner(account, client as unknown as Parameters<typeof toClientEvmSigner>[1]);
  const asset = { network, asset: contracts.token, maxAmountPerPayment: "100000" };
  return new X402Client()
    .register(network, new BatchSettlementEvmScheme(signer))
    .register(network, new ExactEvmScheme(signer))
    .register(network, new UptoEvmScheme(signer))
    .setSpendControls({ allowedAssets: [asset] });
}
