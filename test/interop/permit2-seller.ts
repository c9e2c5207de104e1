// A stock seller whose stock facilitator settles through Permit2, and sponsors approvals as its declaration says.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { x402Facilitator } from "@x402/core/facilitator";
import type { FacilitatorClient } from "@x402/core/server";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme as ExactFacilitator } from "@x402/evm/exact/facilitator";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme as UptoFacilitator } from "@x402/evm/upto/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import {
  createErc20ApprovalGasSponsoringExtension,
  declareEip2612GasSponsoringExtension,
  declareErc20ApprovalGasSponsoringExtension,
} from "@x402/extensions";
import express from "express";
import {
  type Address,
  createWalletClient,
  defineChain,
  type Hex,
  http,
  parseTransaction,
  publicActions,
  recoverTransactionAddress,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { tokenAbi } from "#simulator/chain/abi";
import { DEVELOPMENT_DOLLAR_DOMAIN } from "#simulator/chain/deploy";
import type { Ground } from "../gateway/fixtures.ts";

export type Sponsoring = "none" | "eip2612" | "erc20";

export interface Permit2Seller {
  readonly url: string;
  readonly receiver: Address;
  readonly facilitator: Address;
  /** How often the paid route's handler ran. */
  readonly served: number;
  received(): Promise<number>;
  /** What Permit2 may move of an owner's tokens. */
  allowance(owner: string): Promise<bigint>;
  close(): Promise<void>;
}

export interface Permit2SellerOptions {
  readonly scheme: "exact" | "upto";
  readonly sponsoring: Sponsoring;
  readonly amountAtomic: number;
  /** By upto: what the handler charges of it. */
  readonly chargedAtomic?: () => number;
  /** Development accounts of the receiver and of the facilitator's wallet. */
  readonly accounts: readonly [receiver: number, facilitator: number];
}

const DECLARED = {
  none: () => ({}),
  eip2612: declareEip2612GasSponsoringExtension,
  erc20: declareErc20ApprovalGasSponsoringExtension,
} as const;

export async function startPermit2Seller(
  ground: Ground,
  options: Permit2SellerOptions,
): Promise<Permit2Seller> {
  const { anvil, contracts, network } = ground;
  const [receiverIndex, facilitatorIndex] = options.accounts;
  const receiver = privateKeyToAccount(anvil.accounts[receiverIndex]!.privateKey);
  const account = privateKeyToAccount(anvil.accounts[facilitatorIndex]!.privateKey);
  const wallet = walletOn(anvil, account);
  const resourceServer = new x402ResourceServer(stockFacilitator(network, wallet))
    .register(network, new ExactEvmScheme())
    .register(network, new UptoEvmScheme());
  const extra = { ...DEVELOPMENT_DOLLAR_DOMAIN, assetTransferMethod: "permit2" };
  const app = express();
  app.use(
    paymentMiddleware(
      {
        "GET /energy": {
          accepts: {
            scheme: options.scheme,
            network,
            payTo: receiver.address,
            price: { amount: String(options.amountAtomic), asset: contracts.token, extra },
          },
          description: "one portion of energy",
          extensions: DECLARED[options.sponsoring](),
        },
      },
      resourceServer,
    ),
  );
  let served = 0;
  app.get("/energy", (_request, response) => {
    served += 1;
    const charged = options.chargedAtomic?.();
    if (charged !== undefined) setSettlementOverrides(response, { amount: String(charged) });
    response.json({ energy: "one portion" });
  });
  const server = createServer({ keepAliveTimeout: 60_000 }, app).listen(0, "127.0.0.1");
  await once(server, "listening");
  const token = { address: contracts.token, abi: tokenAbi } as const;
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/energy`,
    receiver: receiver.address,
    facilitator: account.address,
    get served() {
      return served;
    },
    received: async () =>
      Number(await wallet.readContract({ ...token, functionName: "balanceOf", args: [receiver.address] })),
    allowance: (owner) =>
      wallet.readContract({
        ...token,
        functionName: "allowance",
        args: [owner as Hex, "0x000000000022D473030F116dDEE9F6B43aC78BA3"],
      }),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

type Wallet = ReturnType<typeof walletOn>;

/** A wallet of a development account on the node. */
export function walletOn(anvil: Ground["anvil"], account: ReturnType<typeof privateKeyToAccount>) {
  const chain = defineChain({
    id: anvil.chainId,
    name: "development",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [anvil.rpcUrl] } },
  });
  return createWalletClient({ account, chain, transport: http(anvil.rpcUrl), pollingInterval: 20 }).extend(
    publicActions,
  );
}

function stockFacilitator(network: `eip155:${number}`, wallet: Wallet): FacilitatorClient {
  // One transaction is sent after the other: two prepared at once would take the same nonce.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <Value>(send: () => Promise<Value>): Promise<Value> => {
    const turn = last.then(send);
    last = turn.catch(() => undefined);
    return turn;
  };
  const signer = toFacilitatorEvmSigner({
    address: wallet.account.address,
    readContract: (call) =>
      wallet.readContract({ ...call, account: wallet.account, args: call.args ?? [] } as never),
    verifyTypedData: (message) => wallet.verifyTypedData(message as never),
    writeContract: (call) => inTurn(() => wallet.writeContract(call as never)),
    sendTransaction: (transaction) => inTurn(() => wallet.sendTransaction(transaction)),
    waitForTransactionReceipt: (wait) => wallet.waitForTransactionReceipt(wait),
    getCode: (place) => wallet.getCode(place),
  });
  const facilitator = new x402Facilitator();
  facilitator.register(network, new ExactFacilitator(signer));
  facilitator.register(network, new UptoFacilitator(signer));
  facilitator.registerExtension({ key: "eip2612GasSponsoring" });
  facilitator.registerExtension(
    createErc20ApprovalGasSponsoringExtension({
      ...signer,
      sendTransactions: (transactions: Sponsored) => inTurn(() => sendSponsored(wallet, transactions)),
    } as never),
  );
  return {
    verify: (payload, requirements) => facilitator.verify(payload, requirements),
    settle: (payload, requirements) => facilitator.settle(payload, requirements),
    getSupported: async () =>
      facilitator.getSupported() as Awaited<ReturnType<FacilitatorClient["getSupported"]>>,
  };
}

/** Transactions as the extension gives them: signed ones, and calls of the facilitator's own. */
type Sponsored = readonly (Hex | { readonly to: Hex; readonly data: Hex; readonly gas?: bigint })[];

/** The owner's approval, with the ether it needs, and then the facilitator's own transaction. */
async function sendSponsored(wallet: Wallet, transactions: Sponsored): Promise<Hex[]> {
  const hashes: Hex[] = [];
  for (const transaction of transactions) {
    if (typeof transaction === "string") {
      const serializedTransaction = transaction as `0x02${string}`;
      const { gas = 0n, maxFeePerGas = 0n } = parseTransaction(serializedTransaction);
      const to = await recoverTransactionAddress({ serializedTransaction });
      const funded = await wallet.sendTransaction({ to, value: gas * maxFeePerGas });
      await wallet.waitForTransactionReceipt({ hash: funded });
      hashes.push(await wallet.sendRawTransaction({ serializedTransaction }));
    } else hashes.push(await wallet.sendTransaction(transaction));
    await wallet.waitForTransactionReceipt({ hash: hashes.at(-1)! });
  }
  return hashes;
}
