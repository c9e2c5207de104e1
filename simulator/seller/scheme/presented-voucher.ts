// The plain voucher, the payment that arrives every minute, recognised by hand: whatever has exactly its form
// is read in a microsecond. Everything else, right or wrong, is not this file's: the schemas that know all
// forms, and say what is wrong with one, get it.

import type { PaymentRequirements } from "@x402/core/types";
import type { ChannelConfig } from "#protocol/messages";

/** What the three payments on a channel have in common. */
export interface ChannelPayment {
  readonly type: "voucher" | "deposit" | "refund";
  readonly config: ChannelConfig;
  /** lower case */
  readonly channelId: string;
  /** atomic units, cumulative, decimal digits without leading zeros */
  readonly maxClaimable: string;
  /** lower-case hex */
  readonly signature: string;
}

export interface PresentedVoucher extends ChannelPayment {
  readonly type: "voucher";
  /** The terms the payer agreed to, as it echoes them. */
  readonly accepted: Readonly<Record<string, unknown>>;
}

const CHANNEL_ID = /^0x[0-9a-fA-F]{64}$/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const SIGNATURE = /^0x[0-9a-fA-F]{130}$/;
/** Counters end at 2^48 - 1. */
const ATOMIC = /^(0|[1-9][0-9]{0,14})$/;

/** The voucher in a parsed PAYMENT-SIGNATURE; undefined when it is not exactly that. */
export function presentedVoucher(payment: unknown): PresentedVoucher | undefined {
  if (!isRecord(payment) || payment.x402Version !== 2 || !isRecord(payment.accepted)) return undefined;
  const read = channelPayment(payment.payload);
  if (read?.type !== "voucher") return undefined;
  const { config, channelId, maxClaimable, signature } = read;
  return { type: "voucher", config, channelId, maxClaimable, signature, accepted: payment.accepted };
}

/** A payload on a channel, in the form that clients write; undefined for any other. */
export function channelPayment(payload: unknown): ChannelPayment | undefined {
  if (!isRecord(payload)) return undefined;
  const { type, voucher, channelConfig: config } = payload;
  if (type !== "voucher" && type !== "deposit" && type !== "refund") return undefined;
  if (!isRecord(voucher) || !isChannelConfig(config)) return undefined;
  const { channelId, maxClaimableAmount: maxClaimable, signature } = voucher;
  if (!fits(CHANNEL_ID, channelId) || !fits(ATOMIC, maxClaimable) || !fits(SIGNATURE, signature)) {
    return undefined;
  }
  return {
    type,
    config,
    channelId: channelId.toLowerCase(),
    maxClaimable,
    signature: signature.toLowerCase(),
  };
}

/** Whether `accepted` echoes `offer`: the core alike member by member, `extra` with all of the offer's. */
export function echoes(offer: PaymentRequirements, accepted: Readonly<Record<string, unknown>>): boolean {
  const extra = accepted.extra;
  if (!isRecord(extra)) return false;
  let members = 0;
  for (const name in offer) {
    members += 1;
    if (name !== "extra" && accepted[name] !== offer[name as keyof PaymentRequirements]) return false;
  }
  for (const name in offer.extra) if (extra[name] !== offer.extra[name]) return false;
  for (const _ in accepted) members -= 1;
  return members === 0;
}

/** Whether two configs are of one channel, whatever the case of their hex digits. */
export function sameConfig(a: ChannelConfig, b: ChannelConfig): boolean {
  return (
    a.withdrawDelay === b.withdrawDelay &&
    sameHex(a.payer, b.payer) &&
    sameHex(a.payerAuthorizer, b.payerAuthorizer) &&
    sameHex(a.receiver, b.receiver) &&
    sameHex(a.receiverAuthorizer, b.receiverAuthorizer) &&
    sameHex(a.token, b.token) &&
    sameHex(a.salt, b.salt)
  );
}

function isChannelConfig(config: unknown): config is ChannelConfig {
  return (
    isRecord(config) &&
    fits(ADDRESS, config.payer) &&
    fits(ADDRESS, config.payerAuthorizer) &&
    fits(ADDRESS, config.receiver) &&
    fits(ADDRESS, config.receiverAuthorizer) &&
    fits(ADDRESS, config.token) &&
    Number.isSafeInteger(config.withdrawDelay) &&
    fits(CHANNEL_ID, config.salt)
  );
}

function sameHex(a: string, b: string): boolean {
  return a === b || a.toLowerCase() === b.toLowerCase();
}

function fits(form: RegExp, value: unknown): value is string {
  return typeof value === "string" && form.test(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
