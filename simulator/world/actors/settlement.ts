/**
 * The official x402 resource server and facilitator, reduced to what batch settlement asks of a seller.
 *
 * Promise: the same refusals in the same order as the SDK's server for vouchers and deposits: binding,
 * cumulative base, signature, balance, one reservation per channel; a charge is one compare-and-set.
 */
import type { PaymentPayload, PaymentRequirements, SettleResponse } from "@x402/core/types";
import type { ChannelStorage } from "@x402/evm/batch-settlement/server";
import { type Authorization, depositNonce, type Token } from "#payment/authorization";
import { channelIdOf, DEPOSIT_COLLECTOR_ADDRESS } from "#payment/channel";
import { chainIdOf } from "#payment/eip712";
import type { ChannelConfig } from "#protocol/messages";
import type { Channel } from "../../seller/ports.ts";
import type { EnergySaleParts } from "../../seller/sale/energy-sale.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import { isVoucherSigned, type Signing } from "../engine/signing.ts";
import type { ChainModel } from "./chain.ts";

const PREFIX = "invalid_batch_settlement_evm_";
export const AMOUNT_MISMATCH = `${PREFIX}cumulative_amount_mismatch`;

/** Time the seller needs to check a voucher by itself, and to have a node asked. */
const LOCAL_MS = 2;
const NODE_MS = 40;
/** Chain state of a channel may be this old when a voucher is checked without asking. */
const FRESH_MS = 3_600_000;

interface Payload {
  readonly type: "voucher" | "deposit";
  readonly channelConfig: ChannelConfig;
  readonly voucher: {
    readonly channelId: string;
    readonly maxClaimableAmount: string;
    readonly signature: string;
  };
  readonly deposit?: {
    readonly amount: string;
    readonly authorization: {
      readonly erc3009Authorization: {
        readonly validBefore: string;
        readonly salt: string;
        readonly signature: string;
      };
    };
  };
}

type ResourceServer = EnergySaleParts["resourceServer"];

interface SettlementParts {
  readonly life: ProcessLifetime;
  readonly chain: ChainModel;
  readonly storage: ChannelStorage;
  readonly signing: Signing;
  readonly nowMs: () => number;
}

export class Settlement {
  private readonly parts: SettlementParts;
  private readonly ids = new Map<string, string>();
  private readonly reserved = new WeakMap<PaymentPayload, string>();
  private reservations = 0;

  constructor(parts: SettlementParts) {
    this.parts = parts;
  }

  /** As the sale knows it. */
  asServer(): ResourceServer {
    return {
      findMatchingRequirements: (offers: PaymentRequirements[], payment: PaymentPayload) =>
        offers.find((offer) => isSameOffer(offer, payment.accepted)),
      verifyPayment: (payment: PaymentPayload, requirements: PaymentRequirements) =>
        this.verify(payment, requirements),
      settlePayment: (
        payment: PaymentPayload,
        requirements: PaymentRequirements,
        _extensions?: undefined,
        _transport?: undefined,
        overrides?: { readonly amount: string },
      ) => this.settle(payment, { ...requirements, ...overrides }),
      createPaymentCancellationDispatcher: (payment: PaymentPayload) => ({
        cancel: () => this.release(payment),
      }),
    } as unknown as ResourceServer;
  }

  private async verify(payment: PaymentPayload, requirements: PaymentRequirements) {
    const { life, storage, nowMs } = this.parts;
    const { channelConfig, voucher } = payment.payload as unknown as Payload;
    if (this.idOf(channelConfig, requirements) !== voucher.channelId) return invalid("channel_id_mismatch");
    const { receiver, receiverAuthorizer, token, withdrawDelay } = channelConfig;
    const { extra } = requirements;
    if (receiver !== requirements.payTo) return invalid("receiver_mismatch");
    if (receiverAuthorizer !== extra.receiverAuthorizer) return invalid("receiver_authorizer_mismatch");
    if (token !== requirements.asset) return invalid("token_mismatch");
    if (withdrawDelay !== extra.withdrawDelay) return invalid("withdraw_delay_mismatch");

    const snapshot = await storage.get(voucher.channelId);
    const base = baseOf(snapshot, voucher.maxClaimableAmount, requirements.amount);
    if (BigInt(voucher.maxClaimableAmount) !== base + BigInt(requirements.amount)) {
      return { isValid: false, invalidReason: AMOUNT_MISMATCH };
    }
    const isFresh = snapshot?.onchainSyncedAt !== undefined && nowMs() - snapshot.onchainSyncedAt <= FRESH_MS;
    const isLocal = !isDeposit(payment) && isFresh;
    const found = isLocal
      ? await life.later(LOCAL_MS, () => this.check(payment, requirements, snapshot!))
      : await life.later(NODE_MS, () => this.checkByNode(payment, requirements));
    if (found.reason !== null) return invalid(found.reason);
    return this.reserve(payment, requirements, { ...found, isLocal });
  }

  private check(payment: PaymentPayload, requirements: PaymentRequirements, state: OnChain): Checked {
    const { channelConfig, voucher } = payment.payload as unknown as Payload;
    const max = Number(voucher.maxClaimableAmount);
    const chainId = chainIdOf(requirements.network);
    const device = channelConfig.payerAuthorizer;
    const { signing } = this.parts;
    const signed = isVoucherSigned(signing, device, chainId, voucher.channelId, max, voucher.signature);
    const { balance, totalClaimed, withdrawRequestedAt } = state;
    const checked = { balance, totalClaimed, withdrawRequestedAt };
    if (!signed) return { ...checked, reason: "voucher_signature" };
    if (max > Number(balance)) return { ...checked, reason: "cumulative_exceeds_balance" };
    if (max <= Number(totalClaimed)) return { ...checked, reason: "cumulative_below_claimed" };
    return { ...checked, reason: null };
  }

  /** As the facilitator checks: by the chain's state, a deposit counted as made. */
  private checkByNode(payment: PaymentPayload, requirements: PaymentRequirements): Checked {
    const { chain } = this.parts;
    chain.ask();
    const { channelConfig, voucher, deposit } = payment.payload as unknown as Payload;
    const state = chain.channelOf(voucher.channelId);
    const onChain = {
      balance: String(state.balance + Number(deposit?.amount ?? 0)),
      totalClaimed: String(state.claimed),
      withdrawRequestedAt: state.withdrawRequestedAt,
    };
    if (deposit !== undefined) {
      const { authorization } = this.depositOf(payment, requirements);
      if (chain.isNonceUsed(channelConfig.payer, authorization.nonce)) {
        return { ...onChain, reason: "deposit_simulation_failed" };
      }
      if (authorization.validBeforeSeconds <= chain.nowSeconds()) {
        return { ...onChain, reason: "payload_authorization_valid_before" };
      }
    }
    return this.check(payment, requirements, onChain);
  }

  private async reserve(
    payment: PaymentPayload,
    requirements: PaymentRequirements,
    found: OnChain & { readonly isLocal: boolean },
  ) {
    const { channelConfig, voucher } = payment.payload as unknown as Payload;
    const nowMs = this.parts.nowMs();
    const pendingId = String(this.reservations++);
    let outcome = "reserved";
    await this.parts.storage.updateChannel(voucher.channelId, (current) => {
      if (current?.pendingRequest !== undefined && current.pendingRequest.expiresAt > nowMs) {
        outcome = "busy";
        return current;
      }
      const base = baseOf(current, voucher.maxClaimableAmount, requirements.amount);
      if (BigInt(voucher.maxClaimableAmount) !== base + BigInt(requirements.amount)) {
        outcome = "stale";
        return current;
      }
      return {
        channelId: voucher.channelId,
        channelConfig,
        chargedCumulativeAmount: base.toString(),
        signedMaxClaimable: voucher.maxClaimableAmount,
        signature: voucher.signature,
        balance: found.balance,
        totalClaimed: found.totalClaimed,
        withdrawRequestedAt: found.withdrawRequestedAt,
        refundNonce: 0,
        onchainSyncedAt: found.isLocal ? current?.onchainSyncedAt : nowMs,
        lastRequestTimestamp: nowMs,
        pendingRequest: {
          pendingId,
          signedMaxClaimable: voucher.maxClaimableAmount,
          expiresAt: nowMs + requirements.maxTimeoutSeconds * 1000,
        },
      } as Channel;
    });
    if (outcome === "busy") return invalid("channel_busy");
    if (outcome === "stale") return { isValid: false, invalidReason: AMOUNT_MISMATCH };
    this.reserved.set(payment, pendingId);
    return { isValid: true, payer: channelConfig.payer };
  }

  private async settle(payment: PaymentPayload, requirements: PaymentRequirements): Promise<SettleResponse> {
    let hash = "";
    if (isDeposit(payment)) {
      const receipt = await this.sendDeposit(payment, requirements);
      if ("reverts" in receipt) {
        await this.release(payment);
        return failed(requirements, `${PREFIX}deposit_transaction_failed`);
      }
      hash = receipt.hash;
    }
    const charged = await this.charge(payment, requirements, hash !== "");
    if (!charged) return failed(requirements, `${PREFIX}channel_busy`);
    const { amount } = requirements;
    return {
      success: true,
      transaction: hash,
      network: requirements.network,
      amount: hash === "" ? "" : amount,
    };
  }

  private async charge(payment: PaymentPayload, requirements: PaymentRequirements, deposited: boolean) {
    const { voucher } = payment.payload as unknown as Payload;
    const pendingId = this.reserved.get(payment);
    let charged = false;
    await this.parts.storage.updateChannel(voucher.channelId, (current) => {
      if (current === undefined || current.pendingRequest?.pendingId !== pendingId) return current;
      charged = true;
      const { pendingRequest: _, ...rest } = current;
      const balance = deposited ? this.parts.chain.channelOf(voucher.channelId).balance : current.balance;
      return {
        ...rest,
        chargedCumulativeAmount: (
          BigInt(current.chargedCumulativeAmount) + BigInt(requirements.amount)
        ).toString(),
        signedMaxClaimable: voucher.maxClaimableAmount,
        signature: voucher.signature,
        balance: String(balance),
        lastRequestTimestamp: this.parts.nowMs(),
        ...(deposited ? { onchainSyncedAt: this.parts.nowMs() } : {}),
      } as Channel;
    });
    return charged;
  }

  private async release(payment: PaymentPayload): Promise<void> {
    const { voucher } = payment.payload as unknown as Payload;
    const pendingId = this.reserved.get(payment);
    await this.parts.storage.updateChannel(voucher.channelId, (current) => {
      if (current === undefined || current.pendingRequest?.pendingId !== pendingId) return current;
      const { pendingRequest: _, ...rest } = current;
      return rest as Channel;
    });
  }

  private async sendDeposit(payment: PaymentPayload, requirements: PaymentRequirements) {
    const { life, chain } = this.parts;
    await life.later(NODE_MS, () => chain.ask());
    const { token, authorization, signature } = this.depositOf(payment, requirements);
    const { voucher } = payment.payload as unknown as Payload;
    const apply = chain.deposit(voucher.channelId, token, authorization, signature);
    return new Promise<{ hash: string } | { reverts: string }>((resolve) => {
      chain.submit(apply, (receipt) =>
        life.soon(() => {
          life.world.touch();
          resolve(receipt);
        }),
      );
    });
  }

  private depositOf(payment: PaymentPayload, requirements: PaymentRequirements) {
    const { channelConfig, voucher, deposit } = payment.payload as unknown as Payload;
    const { validBefore, salt, signature } = deposit!.authorization.erc3009Authorization;
    const token: Token = {
      chainId: chainIdOf(requirements.network),
      address: requirements.asset,
      name: String(requirements.extra.name),
      version: String(requirements.extra.version),
    };
    const authorization: Authorization = {
      from: channelConfig.payer,
      to: DEPOSIT_COLLECTOR_ADDRESS,
      value: Number(deposit!.amount),
      validBeforeSeconds: Number(validBefore),
      nonce: depositNonce(voucher.channelId, Number(BigInt(salt))),
    };
    return { token, authorization, signature };
  }

  /** Ten hashes: remembered, since a channel pays hundreds of times. */
  private idOf(config: ChannelConfig, requirements: PaymentRequirements): string {
    const text = JSON.stringify(config);
    let id = this.ids.get(text);
    if (id === undefined) {
      id = channelIdOf(config, chainIdOf(requirements.network));
      this.ids.set(text, id);
    }
    return id;
  }
}

interface OnChain {
  readonly balance: string;
  readonly totalClaimed: string;
  readonly withdrawRequestedAt: number;
}

type Checked = OnChain & { readonly reason: string | null };

function isDeposit(payment: PaymentPayload): boolean {
  return (payment.payload as unknown as Payload).type === "deposit";
}

/** What was charged; of a channel never seen, what the voucher itself implies. */
function baseOf(channel: Channel | undefined, maxClaimable: string, amount: string): bigint {
  if (channel !== undefined) return BigInt(channel.chargedCumulativeAmount);
  const implied = BigInt(maxClaimable) - BigInt(amount);
  return implied < 0n ? 0n : implied;
}

function invalid(reason: string) {
  return { isValid: false, invalidReason: `${PREFIX}${reason}` };
}

function failed(requirements: PaymentRequirements, errorReason: string): SettleResponse {
  return { success: false, transaction: "", network: requirements.network, errorReason };
}

function isSameOffer(offer: PaymentRequirements, accepted: PaymentRequirements): boolean {
  return (
    offer.scheme === accepted.scheme &&
    offer.network === accepted.network &&
    offer.amount === accepted.amount &&
    offer.asset === accepted.asset &&
    offer.payTo === accepted.payTo
  );
}
