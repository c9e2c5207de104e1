/**
 * Gas sponsoring by ERC-20 approval: the payer signs `approve(Permit2)` as a transaction of its own, and this seller pays
 * what that transaction costs, sends it, and then the payment.
 *
 * Promise: a payer gets ether only for a signed approval, and no more than its gas costs at the network's present price;
 * one whose approval states a higher price is refused before any is sent. Nothing is sent for a payment that, after the
 * approval, would be reverted.
 */
import type { FacilitatorClient } from "@x402/core/server";
import type { FacilitatorEvmSigner } from "@x402/evm";
import {
  type Address,
  type Hex,
  type PublicClient,
  parseTransaction,
  recoverTransactionAddress,
  type TransactionSerialized,
} from "viem";
import { Watt402Error } from "#payment/watt402-error";
import type { GasSponsoring } from "../sale/payment-ways.ts";
import type { Wallet } from "./wallet.ts";

/** As x402 names them in a 402's `extensions`. */
export const ERC20_APPROVAL_KEY = "erc20ApprovalGasSponsoring";
export const EIP2612_KEY = "eip2612GasSponsoring";

/** Of one sponsored approval; the official client states 70,000. */
const APPROVAL_GAS_MAX = 100_000n;
/** How many times the present price an approval may state: it was signed some blocks ago. */
const FEE_HEADROOM = 3n;

/** A transaction that the payer has signed, or one that the wallet is to send. */
type Sponsored = Hex | { readonly to: Address; readonly data: Hex; readonly gas?: bigint };

/** What the official facilitator asks of who sponsors approvals. */
export interface ApprovalSponsor extends FacilitatorEvmSigner {
  /** In their order, each mined before the next is sent. */
  sendTransactions(transactions: readonly Sponsored[]): Promise<Hex[]>;
  /** Whether all would succeed, in their order. */
  simulateTransactions(transactions: readonly Sponsored[]): Promise<boolean>;
}

/** Throws with code config-invalid for a sponsoring that the facilitator does not know. */
export async function requireSponsoring(
  facilitator: Pick<FacilitatorClient, "getSupported">,
  wanted: readonly GasSponsoring[],
): Promise<void> {
  if (wanted.length === 0) return;
  const { extensions } = await facilitator.getSupported();
  for (const kind of wanted) {
    const key = kind === "eip2612" ? EIP2612_KEY : ERC20_APPROVAL_KEY;
    if (!extensions.includes(key)) {
      throw new Watt402Error(
        "config-invalid",
        `gas sponsoring ${kind}: expected a facilitator with ${key}, found ${extensions.join(", ") || "none"}`,
      );
    }
  }
}

interface SponsorParts {
  readonly signer: FacilitatorEvmSigner;
  readonly wallet: Wallet;
  readonly chain: PublicClient;
  /** Sends one transaction of the wallet's after the other. */
  readonly inTurn: (send: () => Promise<Hex>) => Promise<Hex>;
}

export function approvalSponsor({ signer, wallet, chain, inTurn }: SponsorParts): ApprovalSponsor {
  const mined = async (hash: Hex) => {
    const { status } = await chain.waitForTransactionReceipt({ hash });
    if (status !== "success") throw new Watt402Error("reverted", `transaction ${hash}: reverted`);
    return hash;
  };
  const sendApproval = async (serialized: Hex) => {
    const { payer, costWei } = await readApproval(chain, serialized);
    const held = await chain.getBalance({ address: payer });
    if (held < costWei) {
      await mined(await inTurn(() => wallet.sendTransaction({ to: payer, value: costWei - held })));
    }
    return mined(await chain.sendRawTransaction({ serializedTransaction: serialized }));
  };
  const sendOwn = ({ to, data, gas }: Exclude<Sponsored, Hex>) =>
    inTurn(() => wallet.sendTransaction({ to, data, ...(gas === undefined ? {} : { gas }) }));
  return {
    ...signer,
    async sendTransactions(transactions) {
      const hashes: Hex[] = [];
      for (const transaction of transactions) {
        const isApproval = typeof transaction === "string";
        hashes.push(await (isApproval ? sendApproval(transaction) : sendOwn(transaction)));
      }
      return hashes;
    },
    async simulateTransactions(transactions) {
      const calls = await Promise.all(
        transactions.map(async (transaction) => {
          if (typeof transaction !== "string") return { account: wallet.account.address, ...transaction };
          const { payer, to, data } = await readApproval(chain, transaction);
          return { account: payer, to, data };
        }),
      );
      const [block] = await chain.simulateBlocks({ blocks: [{ calls }] });
      return block?.calls.every(({ status }) => status === "success") ?? false;
    },
  };
}

/** Who signed an approval, and what it costs at most; throws when that is more than the network asks for. */
async function readApproval(chain: PublicClient, serialized: Hex) {
  const { to, data, gas = 0n, maxFeePerGas, gasPrice = 0n } = parseTransaction(serialized);
  const feePerGas = maxFeePerGas ?? gasPrice;
  const present = await chain.getGasPrice();
  if (gas > APPROVAL_GAS_MAX || feePerGas > present * FEE_HEADROOM) {
    throw new Watt402Error(
      "limit-reached",
      `sponsored approval: expected at most ${APPROVAL_GAS_MAX} gas at ${present * FEE_HEADROOM} wei, ` +
        `found ${gas} at ${feePerGas}`,
    );
  }
  const payer = await recoverTransactionAddress({
    serializedTransaction: serialized as TransactionSerialized,
  });
  return { payer, to: to ?? undefined, data: data ?? "0x", costWei: gas * feePerGas };
}
