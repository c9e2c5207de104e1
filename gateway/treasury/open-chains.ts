/**
 * The chains that sellers are paid on, by network.
 *
 * Promise: nothing that is of one chain is asked of, or sent to, the node of another.
 */

import { chainIdOf } from "#payment/eip712";
import type { ChainConfig } from "../config/tokens-section.ts";
import type { Logger, Treasury } from "../purchase/ports.ts";
import { type WatchedChain, watchChain } from "./evm-chain.ts";
import { connectEvm, type EvmConnection } from "./evm-client.ts";
import { type TermsTrouble, termsOnChain } from "./token-terms.ts";

/** Connections by CAIP-2 network; nothing is asked of a node yet. */
export function connectChains(
  chains: readonly ChainConfig[],
  treasury: Treasury,
): ReadonlyMap<string, EvmConnection> {
  return new Map(
    chains.map(({ network, rpc, member }) => [
      network,
      connectEvm(rpc, chainIdOf(network), treasury, member),
    ]),
  );
}

export interface OpenChains {
  /** By CAIP-2 network. */
  readonly watched: ReadonlyMap<string, WatchedChain>;
  readonly termsTrouble: TermsTrouble;
  stop(): void;
}

/** Looks at each node, and again while there is none. Rejects when one is of another chain. */
export async function openChains(
  chains: readonly ChainConfig[],
  treasury: Treasury,
  note: Logger,
): Promise<OpenChains> {
  const connections = connectChains(chains, treasury);
  const watched = new Map<string, WatchedChain>();
  const stop = () => {
    for (const chain of watched.values()) chain.stop();
  };
  try {
    await Promise.all(
      [...connections].map(async ([network, connection]) => {
        watched.set(network, await watchChain(connection, note));
      }),
    );
  } catch (error) {
    stop();
    throw error;
  }
  const terms = new Map(
    [...connections].map(([network, connection]) => [
      network,
      termsOnChain(connection, treasury.address, () => performance.now()),
    ]),
  );
  return {
    watched,
    // A quote is in a token of a seller, and each of those has its chain.
    termsTrouble: async (requirements) => (await terms.get(requirements.network)?.(requirements)) ?? "",
    stop,
  };
}
