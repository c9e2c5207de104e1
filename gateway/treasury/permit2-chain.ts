/**
 * Permit2 as the chain has it: approvals, used nonces, and what a permit paid.
 *
 * Promise: reads are of the latest block. Permit2 writes no event of a permit that was used, so what one paid is found by
 * the token's transfers, in the transaction whose data hold its nonce.
 */
import { BaseError, ContractFunctionExecutionError, getAbiItem, type Hex, parseAbi } from "viem";
import { COUNTER_MAX } from "#core/units";
import { PERMIT2_ADDRESS } from "#payment/permit2/permit";
import { Watt402Error } from "#payment/watt402-error";
import type { Permit2OnChain } from "../purchase/permit2/permit2-on-chain.ts";
import type { EvmConnection } from "./evm-client.ts";

const TOKEN_ABI = parseAbi([
  "function allowance(address owner, address spender) view returns (uint256)",
  "function approve(address spender, uint256 amount) returns (bool)",
  "function nonces(address owner) view returns (uint256)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
]);
const PERMIT2_ABI = parseAbi(["function nonceBitmap(address owner, uint256 word) view returns (uint256)"]);

/** A word of Permit2's nonces holds so many bits. */
const WORD_BITS = 8n;

/** Blocks asked for in one eth_getLogs, and in all: as for EIP-3009. */
const BLOCKS_PER_LOG_READ = 5_000n;
const LOOK_BACK_BLOCKS = 20_000n;

export function permit2On(connection: EvmConnection): Permit2OnChain {
  const isUsed: Permit2OnChain["isUsed"] = async (owner, nonce) => {
    const { reader } = await connection.verified();
    const number = BigInt(nonce);
    const word = await reader.readContract({
      address: PERMIT2_ADDRESS,
      abi: PERMIT2_ABI,
      functionName: "nonceBitmap",
      args: [owner as Hex, number >> WORD_BITS],
    });
    return ((word >> (number & 0xffn)) & 1n) === 1n;
  };
  return {
    isUsed,
    async allowance(token, owner) {
      const { reader } = await connection.verified();
      const allowance = await reader.readContract({
        address: token as Hex,
        abi: TOKEN_ABI,
        functionName: "allowance",
        args: [owner as Hex, PERMIT2_ADDRESS],
      });
      return Math.min(COUNTER_MAX, Number(allowance));
    },
    async paid(token, from, nonce, payTo) {
      if (!(await isUsed(from, nonce))) return null;
      const { reader } = await connection.verified();
      const latest = await reader.getBlockNumber({ cacheTime: 0 });
      const oldest = latest > LOOK_BACK_BLOCKS ? latest - LOOK_BACK_BLOCKS : 0n;
      for (let end = latest; end >= oldest; end -= BLOCKS_PER_LOG_READ) {
        const start = end - BLOCKS_PER_LOG_READ + 1n;
        const moved = await reader.getLogs({
          address: token as Hex,
          event: getAbiItem({ abi: TOKEN_ABI, name: "Transfer" }),
          args: { from: from as Hex, to: payTo as Hex },
          fromBlock: start > oldest ? start : oldest,
          toBlock: end,
        });
        for (const { transactionHash, args } of moved.reverse()) {
          const { input } = await reader.getTransaction({ hash: transactionHash });
          if (input.includes(nonce.slice(2))) return Number(args.value);
        }
      }
      return null;
    },
    async approve(token, amountAtomic) {
      const { reader, writer } = await connection.verified();
      const hash = await writer.writeContract({
        address: token as Hex,
        abi: TOKEN_ABI,
        functionName: "approve",
        args: [PERMIT2_ADDRESS, BigInt(amountAtomic)],
      });
      const { status } = await reader.waitForTransactionReceipt({ hash });
      if (status !== "success")
        throw new Watt402Error("reverted", `approve ${hash}: expected success, found a revert`);
    },
    async approvalTerms(kind, token, owner) {
      const { reader } = await connection.verified();
      if (kind === "eip2612") {
        const nonce = await reader
          .readContract({
            address: token as Hex,
            abi: TOKEN_ABI,
            functionName: "nonces",
            args: [owner as Hex],
          })
          .catch(nullIfRefused);
        return nonce === null ? null : { kind, nonce: Number(nonce) };
      }
      const nonce = await reader.getTransactionCount({ address: owner as Hex });
      const { maxFeePerGas, maxPriorityFeePerGas } = await reader.estimateFeesPerGas();
      const fees = { maxFeePerGas: Number(maxFeePerGas), maxPriorityFeePerGas: Number(maxPriorityFeePerGas) };
      return { kind, nonce, ...fees };
    },
  };
}

/** The token has no such function; a node that does not answer is another matter. */
function nullIfRefused(error: unknown): null {
  const isRefused =
    error instanceof ContractFunctionExecutionError &&
    error.walk(
      (cause) => cause instanceof BaseError && /reverted|returned no data/i.test(cause.shortMessage),
    ) !== null;
  if (isRefused) return null;
  throw error;
}
