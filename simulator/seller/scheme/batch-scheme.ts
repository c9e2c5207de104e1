// Our own server side of x402's batch-settlement scheme. On the wire it is the official one, and deposits,
// refunds, reservations and settlement run the official code. Its own are the checks before them:
//
// - a voucher is verified with hashes and keys computed once, and as strictly as the contract will;
// - a channel this seller does not know counts from what the chain says was claimed on it, as the
//   specification has it, and not from what its client says;
// - the corrective 402 names that count, and a stored voucher only where there is one and to who signs for the
//   channel: a voucher is worth money to its seller alone, but strangers have no business with it.

import { randomBytes } from "node:crypto";
import type {
  PaymentRequirements,
  SchemeNetworkServer,
  SchemePaymentRequiredContext,
  VerifyContext,
} from "@x402/core/types";
import type { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { NO_VOUCHER } from "../accounts/account-book.ts";
import type { Channel, ChannelOnChain } from "../ports.ts";
import type { ChannelIds } from "./channel-ids.ts";
import { type ChannelPayment, channelPayment, sameConfig } from "./presented-voucher.ts";
import type { VoucherSignatures } from "./voucher-signatures.ts";

const REASON = "invalid_batch_settlement_evm_";
const CUMULATIVE_MISMATCH = `${REASON}cumulative_amount_mismatch`;
const ZERO_ADDRESS = `0x${"0".repeat(40)}`;

interface BatchSchemeParts {
  /** Carries out what is not a voucher; its storage is the seller's. */
  readonly official: BatchSettlementEvmScheme;
  readonly ids: ChannelIds;
  readonly signatures: VoucherSignatures;
  readonly readChannels: (channelIds: readonly string[]) => Promise<Map<string, ChannelOnChain>>;
  /** Unix time in milliseconds. */
  readonly nowMs: () => number;
}

type Hooks = NonNullable<SchemeNetworkServer["schemeHooks"]>;
type HookResult = Awaited<ReturnType<NonNullable<Hooks["onBeforeVerify"]>>>;

export function batchScheme(parts: BatchSchemeParts): SchemeNetworkServer {
  const { official } = parts;
  return {
    scheme: official.scheme,
    defaultAssetTransferMethod: official.defaultAssetTransferMethod,
    paymentFlows: official.paymentFlows,
    schemeHooks: { ...official.schemeHooks, onBeforeVerify: (context) => beforeVerify(parts, context) },
    enrichPaymentRequiredResponse: (context) => correct(parts, context),
    enrichSettlementPayload: official.enrichSettlementPayload,
    enrichSettlementResponse: official.enrichSettlementResponse,
    parsePrice: (price, network) => official.parsePrice(price, network),
    getAssetDecimals: (asset, network) => official.getAssetDecimals(asset, network),
    enhancePaymentRequirements: (requirements, kind, extensions) =>
      official.enhancePaymentRequirements(requirements, kind, extensions),
    validateFacilitatorSupport: (network, kind, extensions) =>
      official.validateFacilitatorSupport(network, kind, extensions),
  };
}

async function beforeVerify(parts: BatchSchemeParts, context: VerifyContext): Promise<HookResult> {
  const { official, ids } = parts;
  const payment = channelPayment(context.paymentPayload.payload);
  // What is not of the common form, and a channel whose signer only the chain knows, go the official way.
  if (payment === undefined || payment.config.payerAuthorizer === ZERO_ADDRESS)
    return officially(parts, context);
  if (ids.idOf(payment.config) !== payment.channelId) return refuse("channel_id_mismatch");
  const known = await official.getStorage().get(payment.channelId);
  if (known === undefined) return beforeFirst(parts, context, payment);
  // A voucher charged in part would fit a smaller quantum, and be charged again.
  const isCharged = payment.type !== "refund" && payment.maxClaimable === known.signedMaxClaimable;
  const isDue =
    BigInt(payment.maxClaimable) === expected(known.chargedCumulativeAmount, payment, context.requirements);
  if (!isDue || (isCharged && known.pendingRequest === undefined)) {
    official.rememberChannelSnapshot(context.paymentPayload, known);
    return refuse("cumulative_amount_mismatch");
  }
  if (!isSigned(parts, payment)) return refuse("voucher_signature");
  if (payment.type !== "voucher" || !isFresh(parts, known)) return officially(parts, context);
  return locally(parts, context, payment, known);
}

/** A channel met for the first time, or again after its record was lost: the chain's count is the base. */
async function beforeFirst(
  parts: BatchSchemeParts,
  context: VerifyContext,
  payment: ChannelPayment,
): Promise<HookResult> {
  if (!isSigned(parts, payment)) return refuse("voucher_signature");
  const { channelId, config } = payment;
  const states = await parts.readChannels([channelId]).catch(() => undefined);
  const state = states?.get(channelId);
  if (state === undefined) return refuse("verification_state_unavailable");
  const base = state.totalClaimed.toString();
  if (BigInt(payment.maxClaimable) === expected(base, payment, context.requirements)) {
    return officially(parts, context);
  }
  parts.official.rememberChannelSnapshot(context.paymentPayload, {
    channelId,
    channelConfig: config as Channel["channelConfig"],
    chargedCumulativeAmount: base,
    signedMaxClaimable: base,
    signature: NO_VOUCHER,
    balance: state.balance.toString(),
    totalClaimed: base,
    withdrawRequestedAt: state.withdrawRequestedAt,
    refundNonce: Number(state.refundNonce),
    lastRequestTimestamp: parts.nowMs(),
  });
  return refuse("cumulative_amount_mismatch");
}

/** A voucher of the right count and signature on a channel whose chain state is known well enough. */
async function locally(
  { official }: BatchSchemeParts,
  { paymentPayload, requirements }: VerifyContext,
  { channelId, maxClaimable, config }: ChannelPayment,
  channel: Channel,
): Promise<HookResult> {
  const payer = config.payer;
  const invalid = (reason: string): HookResult => ({
    skip: true,
    result: { isValid: false, invalidReason: `${REASON}${reason}`, payer },
  });
  if (!sameConfig(channel.channelConfig, config)) return invalid("channel_id_mismatch");
  if (config.withdrawDelay !== requirements.extra.withdrawDelay) return invalid("withdraw_delay_mismatch");
  if (BigInt(maxClaimable) > BigInt(channel.balance)) return invalid("cumulative_exceeds_balance");
  if (BigInt(maxClaimable) <= BigInt(channel.totalClaimed)) return invalid("cumulative_below_claimed");
  official.mergeRequestContext(paymentPayload, {
    channelId,
    pendingId: `0x${randomBytes(32).toString("hex")}`,
    channelSnapshot: channel,
    localVerify: true,
  });
  const { balance, totalClaimed, withdrawRequestedAt, refundNonce } = channel;
  const extra = { channelId, balance, totalClaimed, withdrawRequestedAt, refundNonce: String(refundNonce) };
  return { skip: true, result: { isValid: true, payer, extra } };
}

/** The corrective 402: the channel's count, and to who signs for it the newest voucher where one is stored. */
async function correct(
  parts: BatchSchemeParts,
  { error, paymentPayload, requirements }: SchemePaymentRequiredContext,
): Promise<void> {
  const { official } = parts;
  if (error !== CUMULATIVE_MISMATCH || paymentPayload === undefined) return;
  const channel = official.takeChannelSnapshot(paymentPayload);
  const accept = requirements.find(
    (one) => one.scheme === official.scheme && one.network === paymentPayload.accepted.network,
  );
  if (channel === undefined || accept === undefined) return;
  accept.extra = {
    ...accept.extra,
    channelState: {
      channelId: channel.channelId,
      balance: channel.balance,
      totalClaimed: channel.totalClaimed,
      withdrawRequestedAt: channel.withdrawRequestedAt,
      refundNonce: String(channel.refundNonce),
      chargedCumulativeAmount: channel.chargedCumulativeAmount,
    },
    ...(channel.signature === NO_VOUCHER || !isFromSigner(parts, paymentPayload.payload, channel)
      ? {}
      : {
          voucherState: { signedMaxClaimable: channel.signedMaxClaimable, signature: channel.signature },
        }),
  };
}

async function officially({ official }: BatchSchemeParts, context: VerifyContext): Promise<HookResult> {
  return official.schemeHooks.onBeforeVerify?.(context);
}

function expected(
  chargedAtomic: string,
  { type }: ChannelPayment,
  { amount }: Pick<PaymentRequirements, "amount">,
): bigint {
  return BigInt(chargedAtomic) + (type === "refund" ? 0n : BigInt(amount));
}

function isSigned({ signatures }: BatchSchemeParts, payment: ChannelPayment): boolean {
  const { config, channelId, maxClaimable, signature } = payment;
  const signer = config.payerAuthorizer === ZERO_ADDRESS ? config.payer : config.payerAuthorizer;
  return signatures.isSignedBy(signer.toLowerCase(), channelId, BigInt(maxClaimable), signature);
}

/** Whether the presented payload bears a signature of the channel it is corrected about. */
function isFromSigner(parts: BatchSchemeParts, payload: unknown, { channelId }: Channel): boolean {
  const payment = channelPayment(payload);
  return (
    payment !== undefined &&
    payment.channelId === channelId &&
    parts.ids.idOf(payment.config) === channelId &&
    isSigned(parts, payment)
  );
}

function isFresh({ official, nowMs }: BatchSchemeParts, { onchainSyncedAt }: Channel): boolean {
  return onchainSyncedAt !== undefined && nowMs() - onchainSyncedAt <= official.getOnchainStateTtlMs();
}

function refuse(reason: string): HookResult {
  return { abort: true, reason: `${REASON}${reason}`, message: reason.replaceAll("_", " ") };
}
