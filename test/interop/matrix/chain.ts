// The chain that every cell is played on, and payers on it: some with an approval of Permit2, some without ether.

import {
  type Address,
  createPublicClient,
  createTestClient,
  createWalletClient,
  defineChain,
  type Hex,
  http,
  maxUint256,
  type PublicClient,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { tokenAbi } from "#simulator/chain/abi";
import type { Anvil } from "#simulator/chain/anvil";
import { type Contracts, mint, PERMIT2_ADDRESS } from "#simulator/chain/deploy";
import type { Wallet } from "#simulator/seller/claims/wallet";
import type { Route } from "./routes.ts";

export interface MatrixChain {
  readonly anvil: Anvil;
  readonly contracts: Contracts;
  readonly network: `eip155:${number}`;
  readonly client: PublicClient;
  wallet(privateKey: Hex): Wallet;
  tokensOf(owner: Address): Promise<bigint>;
  /** Of one of the node's accounts. */
  key(index: number): Hex;
  /** A new key with tokens, and what else the route wants its payer to have beforehand. */
  payer(route: Route): Promise<Hex>;
}

const PAYER_TOKENS_ATOMIC = 100_000_000n;
const PAYER_WEI = 10n ** 18n;

export function matrixChain(anvil: Anvil, contracts: Contracts): MatrixChain {
  const chain = defineChain({
    id: anvil.chainId,
    name: "development",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [anvil.rpcUrl] } },
  });
  const connection = { chain, transport: http(anvil.rpcUrl), pollingInterval: 20, cacheTime: 0 };
  const client: PublicClient = createPublicClient(connection);
  const test = createTestClient({ ...connection, mode: "anvil" });
  const wallet = (privateKey: Hex) =>
    createWalletClient({ ...connection, account: privateKeyToAccount(privateKey) });
  return {
    anvil,
    contracts,
    network: `eip155:${anvil.chainId}`,
    client,
    wallet,
    tokensOf: (owner) =>
      client.readContract({
        address: contracts.token,
        abi: tokenAbi,
        functionName: "balanceOf",
        args: [owner],
      }),
    key: (index) => anvil.accounts[index]!.privateKey,
    async payer({ transferMethod, sponsoring }) {
      const key = generatePrivateKey();
      const { address } = privateKeyToAccount(key);
      await mint(anvil, address, PAYER_TOKENS_ATOMIC);
      if (transferMethod === "permit2" && sponsoring === null) {
        await test.setBalance({ address, value: PAYER_WEI });
        const hash = await wallet(key).writeContract({
          address: contracts.token,
          abi: tokenAbi,
          functionName: "approve",
          args: [PERMIT2_ADDRESS, maxUint256],
        });
        await client.waitForTransactionReceipt({ hash });
      }
      return key;
    },
  };
}
