// A stand-in for a service that settles transfers in batches, as Circle's Gateway API documents itself (the real one
// verifies on its own servers alone), and a seller that answers as the stock middleware of that service does.

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { authorizationTypes } from "@x402/evm";
import { type Address, type Hex, isAddressEqual, verifyTypedData } from "viem";

const DOMAIN = { name: "GatewayWalletBatched", version: "1" } as const;
/** What the service wants of a transfer's life when it is presented, seconds, and what its sellers ask for. */
const LIFE_SECONDS = 7 * 86_400;
const ASKED_SECONDS = LIFE_SECONDS + 100;

interface Presented {
  readonly accepted: unknown;
  readonly payload: {
    readonly signature: Hex;
    readonly authorization: Record<"from" | "to", Address> &
      Record<"value" | "validAfter" | "validBefore", string> & { readonly nonce: Hex };
  };
}

export interface BatchingPlace {
  readonly chainId: number;
  readonly asset: Address;
  /** The contract under whose domain transfers are signed. */
  readonly wallet: Address;
  readonly payTo: Address;
  readonly amountAtomic: number;
}

export class BatchingService {
  /** Nonce and value of what was taken, in order. */
  readonly taken: { readonly nonce: Hex; readonly value: number }[] = [];
  readonly place: BatchingPlace;

  constructor(place: BatchingPlace) {
    this.place = place;
  }

  requirements() {
    const { chainId, asset, wallet, payTo, amountAtomic } = this.place;
    return {
      scheme: "exact",
      network: `eip155:${chainId}`,
      asset,
      amount: String(amountAtomic),
      payTo,
      maxTimeoutSeconds: ASKED_SECONDS,
      extra: { ...DOMAIN, verifyingContract: wallet },
    };
  }

  /** In the service's own words; empty when it may be settled. */
  async refusalOf({ payload }: Presented): Promise<string> {
    const { chainId, wallet, payTo, amountAtomic } = this.place;
    const { authorization, signature } = payload;
    const { from, to, value, validAfter, validBefore, nonce } = authorization;
    if (!isAddressEqual(to, payTo)) return "address_mismatch";
    if (Number(value) !== amountAtomic) return "amount_mismatch";
    if (Number(validAfter) > Date.now() / 1000) return "authorization_not_yet_valid";
    if (Number(validBefore) - Date.now() / 1000 < LIFE_SECONDS) return "authorization_validity_too_short";
    const isSigned = await verifyTypedData({
      address: from,
      domain: { ...DOMAIN, chainId, verifyingContract: wallet },
      types: authorizationTypes,
      primaryType: "TransferWithAuthorization",
      message: {
        from,
        to,
        value: BigInt(value),
        validAfter: BigInt(validAfter),
        validBefore: BigInt(validBefore),
        nonce,
      },
      signature,
    });
    if (!isSigned) return "invalid_signature";
    return this.taken.some((one) => one.nonce === nonce) ? "nonce_already_used" : "";
  }

  async settle(presented: Presented): Promise<string> {
    const refusal = await this.refusalOf(presented);
    const { nonce, value } = presented.payload.authorization;
    if (refusal === "") this.taken.push({ nonce, value: Number(value) });
    return refusal;
  }
}

export interface BatchingSeller {
  readonly url: string;
  /** Settles the next payment, and ends the connection in the place of an answer. */
  loseNextAnswer(): void;
  close(): Promise<void>;
}

export async function startBatchingSeller(service: BatchingService): Promise<BatchingSeller> {
  let isLost = false;
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const header = request.headers["payment-signature"];
    const required = { x402Version: 2, resource: { url: request.url }, accepts: [service.requirements()] };
    const json = { "content-type": "application/json" };
    if (typeof header !== "string") {
      response.writeHead(402, { ...json, "payment-required": encoded(required) }).end("{}");
      return;
    }
    const presented = JSON.parse(Buffer.from(header, "base64").toString()) as Presented;
    const reason = await service.settle(presented);
    if (reason !== "") {
      response.writeHead(402, json).end(JSON.stringify({ error: "Payment verification failed", reason }));
      return;
    }
    if (isLost) {
      isLost = false;
      request.socket.destroy();
      return;
    }
    const { network } = service.requirements();
    const { from: payer } = presented.payload.authorization;
    const settled = { success: true, transaction: `batch-${service.taken.length}`, network, payer };
    response.writeHead(200, { ...json, "payment-response": encoded(settled) }).end("{}");
  };
  const server: Server = createServer((request, response) => {
    answer(request, response).catch((error: Error) => response.writeHead(500).end(error.message));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/energy`,
    loseNextAnswer() {
      isLost = true;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64");
}
