/**
 * The chain as the seller and the gateway ask it.
 *
 * Promise: a question rejects while the node is silent; a transaction's outcome is the chain's own.
 */

import type { Chain as GatewayChain } from "#gateway/purchase/ports";
import { chainIdOf } from "#payment/eip712";
import type { ChannelOnChain, Chain as SellerChain } from "../../seller/ports.ts";
import type { Faults } from "../engine/faults.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import { NETWORK } from "../engine/world-terms.ts";
import type { ChainModel, Receipt } from "./chain.ts";

const ASK_MS = 30;
const CLAIM_GAS = 25_000;

export function sellerChain(chain: ChainModel, life: ProcessLifetime, faults: Faults): SellerChain {
  const ask = <Value>(read: () => Value) =>
    life.later(ASK_MS, () => {
      chain.ask();
      return read();
    });
  const mined = (apply: Parameters<ChainModel["submit"]>[0]) =>
    new Promise<Receipt>((resolve) => {
      chain.submit(apply, (receipt) =>
        life.soon(() => {
          life.world.touch();
          resolve(receipt);
        }),
      );
    });
  return {
    gasUsed: () => ask(() => CLAIM_GAS),
    latestBlock: () => ask(() => chain.block),
    readChannels: (ids) =>
      ask(() => {
        const states = new Map<string, ChannelOnChain>();
        for (const id of ids) {
          const { balance, claimed, withdrawRequestedAt } = chain.channelOf(id);
          const [onChain, totalClaimed] = [BigInt(balance), BigInt(claimed)];
          states.set(id, { balance: onChain, totalClaimed, withdrawRequestedAt, refundNonce: 0n });
        }
        return states;
      }),
    withdrawalsInitiated: (from, to) =>
      ask(() =>
        chain.withdrawals
          .filter(({ block }) => block >= from && block <= to)
          .map(({ channelId }) => channelId),
      ),
    async claim(entries) {
      if (faults.strikes("claim-failed", 0.3)) return { kind: "unavailable", reason: "no answer" };
      const vouchers = entries.map(({ channel, totalClaimedAtomic }) => ({
        channelId: channel.channelId,
        device: channel.channelConfig.payerAuthorizer,
        chainId: chainIdOf(NETWORK),
        maxClaimable: Number(channel.signedMaxClaimable),
        total: Number(totalClaimedAtomic),
        signature: channel.signature,
      }));
      const receipt = await mined(chain.claim(vouchers));
      if ("reverts" in receipt) return { kind: "refused", reason: receipt.reverts };
      return { kind: "claimed", transaction: receipt.hash, gas: CLAIM_GAS };
    },
    unsettledAtomic: () => ask(() => BigInt(chain.claimed - chain.settled)),
    async settle() {
      let amountAtomic = 0;
      const receipt = await mined(
        chain.settle((amount) => {
          amountAtomic = amount;
        }),
      );
      if ("reverts" in receipt) throw new Error(receipt.reverts);
      return { transaction: receipt.hash, gas: CLAIM_GAS, amountAtomic };
    },
    authorizationUsed: ({ payer, nonce }) => ask(() => chain.isNonceUsed(payer, nonce)),
    paymentByAuthorization: () => ask(() => undefined),
  };
}

/** Lights of a world pay by channel only: what exact would ask for is refused. */
export function gatewayChain(chain: ChainModel, life: ProcessLifetime): GatewayChain {
  const ask = <Value>(read: () => Value) =>
    life.later(ASK_MS, () => {
      chain.ask();
      return read();
    });
  return {
    timeSeconds: () => ask(() => chain.nowSeconds()),
    heldBalance: () => ask(() => 0),
    tokenBalance: (_token, owner) => ask(() => chain.balances.get(owner) ?? 0),
    authorizationUsed: (_token, from, nonce) => ask(() => chain.isNonceUsed(from, nonce)),
    channelBalance: (id) => ask(() => chain.channelOf(id).balance),
    paidByAuthorization: () => ask(() => null),
    permit2: {
      allowance: () => ask(() => 0),
      isUsed: () => ask(() => false),
      paid: () => ask(() => null),
      approvalTerms: () => ask(() => null),
      approve: () => Promise.reject(new Error("expected deposits by EIP-3009, found an approval of Permit2")),
    },
    submitTransfer: () => Promise.reject(new Error("expected a channel, found an exact account")),
  };
}
