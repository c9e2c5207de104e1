/**
 * What the gateway reads from, and rarely writes to, the chain.
 *
 * Promise: reads are of the latest block; a submitted transfer resolves only when mined and successful; while
 * the node is away every call rejects, and it is used again when it is back.
 */

import {
  getAbiItem,
  type Hex,
  isAddressEqual,
  parseAbi,
  parseEventLogs,
  parseSignature,
  type TransactionReceipt,
} from "viem";
import { detach } from "#core/detach";
import { COUNTER_MAX } from "#core/units";
import { toHex } from "#payment/bytes";
import { hasCode, Watt402Error } from "#payment/watt402-error";
import { noteFailure } from "../purchase/faults/note-failure.ts";
import type { Chain, Logger } from "../purchase/ports.ts";
import { escrowOn } from "./escrow.ts";
import type { EvmConnection } from "./evm-client.ts";
import { permit2On } from "./permit2-chain.ts";

const TOKEN_ABI = parseAbi([
  "function balanceOf(address owner) view returns (uint256)",
  "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
  "function authorizationState(address authorizer, bytes32 nonce) view returns (bool)",
  "function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s)",
]);

/** Of Circle's GatewayWallet: what may be spent, and is not being withdrawn. */
const WALLET_ABI = parseAbi([
  "function availableBalance(address token, address depositor) view returns (uint256)",
]);

/** Blocks asked for in one eth_getLogs, and in all: public nodes refuse much more. On Base, eleven hours. */
const BLOCKS_PER_LOG_READ = 5_000n;
const LOOK_BACK_BLOCKS = 20_000n;

/** An absent node is looked for this often, until it was seen once. */
const LOOK_AGAIN_MS = 5_000;

export interface WatchedChain extends Chain {
  stop(): void;
}

/** Looks at the node once, and again and again while there is none. Rejects when it is of another chain. */
export async function watchChain(connection: EvmConnection, note: Logger): Promise<WatchedChain> {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const look = async (before: string): Promise<void> => {
    try {
      await connection.verified();
      if (before !== "") note("info", "the chain is there", { network: connection.network });
    } catch (error) {
      if (before === "" && hasCode(error, "wrong-chain")) throw error;
      const reason = (error as Error).message;
      if (reason !== before) {
        note("warn", "no deposits until the chain answers", { network: connection.network, reason });
      }
      const again = () => detach(look(reason), noteFailure(note, "looking for the chain's node"));
      if (!stopped) timer = setTimeout(again, LOOK_AGAIN_MS).unref();
    }
  };
  await look("");
  return {
    ...chainOn(connection),
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** The chain port on a connection. */
export function chainOn(connection: EvmConnection): Chain {
  const escrow = escrowOn(connection);
  return {
    permit2: permit2On(connection),
    async timeSeconds() {
      const { reader } = await connection.verified();
      return Number((await reader.getBlock()).timestamp);
    },
    async tokenBalance(token, owner) {
      const { reader } = await connection.verified();
      const args = [owner as Hex] as const;
      return Number(
        await reader.readContract({ address: token as Hex, abi: TOKEN_ABI, functionName: "balanceOf", args }),
      );
    },
    async heldBalance(contract, token, owner) {
      const { reader } = await connection.verified();
      const args = [token as Hex, owner as Hex] as const;
      const held = {
        address: contract as Hex,
        abi: WALLET_ABI,
        functionName: "availableBalance",
        args,
      } as const;
      return Math.min(COUNTER_MAX, Number(await reader.readContract(held)));
    },
    async authorizationUsed(token, from, nonce) {
      const { reader } = await connection.verified();
      const args = [from as Hex, nonce as Hex] as const;
      return reader.readContract({
        address: token as Hex,
        abi: TOKEN_ABI,
        functionName: "authorizationState",
        args,
      });
    },
    async channelBalance(channelId) {
      return (await escrow.channel(channelId)).balance;
    },
    async paidByAuthorization(token, from, nonce, payTo) {
      const { reader } = await connection.verified();
      const latest = await reader.getBlockNumber({ cacheTime: 0 });
      const oldest = latest > LOOK_BACK_BLOCKS ? latest - LOOK_BACK_BLOCKS : 0n;
      for (let end = latest; end >= oldest; end -= BLOCKS_PER_LOG_READ) {
        const start = end - BLOCKS_PER_LOG_READ + 1n;
        const [used] = await reader.getLogs({
          address: token as Hex,
          event: getAbiItem({ abi: TOKEN_ABI, name: "AuthorizationUsed" }),
          args: { authorizer: from as Hex, nonce: nonce as Hex },
          fromBlock: start > oldest ? start : oldest,
          toBlock: end,
        });
        if (used)
          return paidIn(await reader.getTransactionReceipt({ hash: used.transactionHash }), from, payTo);
      }
      return null;

      function paidIn({ logs }: TransactionReceipt, payer: string, payee: string): number | null {
        const ours = logs.filter((log) => isAddressEqual(log.address, token as Hex));
        const transfer = parseEventLogs({ abi: TOKEN_ABI, eventName: "Transfer", logs: ours }).find(
          ({ args }) => isAddressEqual(args.from, payer as Hex) && isAddressEqual(args.to, payee as Hex),
        );
        return transfer ? Number(transfer.args.value) : null;
      }
    },
    async submitTransfer(token, authorization, signature) {
      const { reader, writer } = await connection.verified();
      const { from, to, value, validBeforeSeconds, nonce } = authorization;
      const { r, s, v } = parseSignature(toHex(signature));
      const hash = await writer.writeContract({
        address: token as Hex,
        abi: TOKEN_ABI,
        functionName: "transferWithAuthorization",
        args: [from as Hex, to as Hex, BigInt(value), 0n, BigInt(validBeforeSeconds), nonce, Number(v), r, s],
      });
      const receipt = await reader.waitForTransactionReceipt({ hash });
      if (receipt.status !== "success")
        throw new Watt402Error("reverted", `transfer ${hash}: expected success, found a revert`);
    },
  };
}
