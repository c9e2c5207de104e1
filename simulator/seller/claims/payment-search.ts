/**
 * Payments that the chain has seen and this seller's store has not: their settlement was interrupted.
 *
 * Promise: what is found was paid by the very authorization that was asked about, to this receiver, in this token.
 */
import {
  type Address,
  getAbiItem,
  type Hex,
  isAddressEqual,
  type PublicClient,
  parseAbi,
  parseEventLogs,
} from "viem";
import { tokenAbi } from "#simulator/chain/abi";
import { PERMIT2_ADDRESS } from "#simulator/chain/deploy";
import type { OneTimeAuthorization, PaymentOnChain } from "../ports.ts";

const PERMIT2 = {
  address: PERMIT2_ADDRESS,
  abi: parseAbi(["function nonceBitmap(address owner, uint256 word) view returns (uint256)"]),
} as const;
/** Blocks asked for in one eth_getLogs; public nodes refuse much more. */
export const BLOCKS_PER_LOG_READ = 5_000n;
/** How far back a payment is looked for. */
const LOOK_BACK_BLOCKS = 20_000n;
/** Transfers of one payer to this receiver that are looked into, newest first. */
const TRANSFERS_MAX = 1_000;

export class PaymentSearch {
  readonly #client: PublicClient;
  readonly #token: Address;
  readonly #receiver: Address;

  constructor(client: PublicClient, token: Address, receiver: Address) {
    this.#client = client;
    this.#token = token;
    this.#receiver = receiver;
  }

  /** Used, or cancelled by its payer. */
  async isUsed({ by, payer, nonce }: OneTimeAuthorization): Promise<boolean> {
    if (by === "eip3009") {
      return this.#client.readContract({
        address: this.#token,
        abi: tokenAbi,
        functionName: "authorizationState",
        args: [payer as Address, nonce as Hex],
      });
    }
    const place = BigInt(nonce);
    const bits = await this.#client.readContract({
      ...PERMIT2,
      functionName: "nonceBitmap",
      args: [payer as Address, place >> 8n],
    });
    return ((bits >> (place & 0xffn)) & 1n) === 1n;
  }

  /** @param fits whether an amount is what the authorization may have paid */
  async payment(
    authorization: OneTimeAuthorization,
    signature: string,
    fits: (amountAtomic: bigint) => boolean,
  ): Promise<PaymentOnChain | undefined> {
    const transaction = await (authorization.by === "eip3009"
      ? this.#byEvent(authorization)
      : this.#bySignature(authorization, signature));
    return transaction && this.#transferIn(transaction, authorization.payer, fits);
  }

  /** The token says by an event which authorization it used. */
  async #byEvent({ payer, nonce }: OneTimeAuthorization): Promise<Hex | undefined> {
    for await (const { fromBlock, toBlock } of this.#ranges()) {
      const [used] = await this.#client.getLogs({
        address: this.#token,
        event: getAbiItem({ abi: tokenAbi, name: "AuthorizationUsed" }),
        args: { authorizer: payer as Address, nonce: nonce as Hex },
        fromBlock,
        toBlock,
      });
      if (used !== undefined) return used.transactionHash;
    }
    return undefined;
  }

  /** Permit2 emits nothing: its call is known by the signature in its data. */
  async #bySignature({ payer }: OneTimeAuthorization, signature: string): Promise<Hex | undefined> {
    let looked = 0;
    for await (const { fromBlock, toBlock } of this.#ranges()) {
      const transfers = await this.#client.getLogs({
        address: this.#token,
        event: getAbiItem({ abi: tokenAbi, name: "Transfer" }),
        args: { from: payer as Address, to: this.#receiver },
        fromBlock,
        toBlock,
      });
      for (const { transactionHash: hash } of transfers.reverse()) {
        const { input } = await this.#client.getTransaction({ hash });
        if (input.includes(signature.slice(2))) return hash;
        looked += 1;
        if (looked >= TRANSFERS_MAX) return undefined;
      }
    }
    return undefined;
  }

  async #transferIn(
    transaction: Hex,
    payer: string,
    fits: (amountAtomic: bigint) => boolean,
  ): Promise<PaymentOnChain | undefined> {
    const receipt = await this.#client.getTransactionReceipt({ hash: transaction });
    const transfers = parseEventLogs({ abi: tokenAbi, eventName: "Transfer", logs: receipt.logs });
    const paid = transfers.find(
      (log) =>
        isAddressEqual(log.address, this.#token) &&
        isAddressEqual(log.args.from, payer as Address) &&
        isAddressEqual(log.args.to, this.#receiver) &&
        fits(log.args.value),
    );
    return paid === undefined ? undefined : { transaction, amountAtomic: paid.args.value };
  }

  /** The blocks to look into, newest first. */
  async *#ranges(): AsyncGenerator<{ readonly fromBlock: bigint; readonly toBlock: bigint }> {
    const latest = await this.#client.getBlockNumber({ cacheTime: 0 });
    const oldest = latest > LOOK_BACK_BLOCKS ? latest - LOOK_BACK_BLOCKS : 0n;
    for (let toBlock = latest; toBlock >= oldest && toBlock >= 0n; toBlock -= BLOCKS_PER_LOG_READ) {
      const start = toBlock - BLOCKS_PER_LOG_READ + 1n;
      yield { fromBlock: start > oldest ? start : oldest, toBlock };
    }
  }
}
