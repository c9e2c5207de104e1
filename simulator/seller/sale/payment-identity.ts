// What makes two presented payments the same payment: the account they are drawn on, the rung or nonce they
// name, and the bytes of their signature.

import type { PaymentPayload } from "@x402/core/types";
import { encodeAbiParameters, type Hex, keccak256 } from "viem";
import { z } from "zod";
import type { Scheme } from "../accounts/accounts.ts";

const hex = (digits: number) => z.string().regex(new RegExp(`^0x[0-9a-fA-F]{${digits}}$`));
const anyHex = z.string().regex(/^0x[0-9a-fA-F]*$/);
const uint256 = z.string().regex(/^\d{1,78}$/);
const atomic = z.string().regex(/^\d{1,39}$/);

const onChannel = z.object({
  type: z.enum(["voucher", "deposit", "refund"]),
  voucher: z.object({ channelId: hex(64), maxClaimableAmount: atomic, signature: anyHex }),
});

const byAuthorization = z.object({
  signature: anyHex,
  authorization: z.object({
    from: hex(40),
    to: hex(40),
    value: uint256,
    validAfter: uint256,
    validBefore: uint256,
    nonce: hex(64),
  }),
});

export interface PaymentIdentity {
  readonly scheme: Scheme;
  readonly type: "voucher" | "deposit" | "refund" | "authorization";
  /** channel id or payer, lower case */
  readonly account: string;
  /** maxClaimable in decimal digits, or the nonce in lower-case hex */
  readonly reference: string;
  readonly signature: string;
}

/** `undefined` for a payload of a form this seller does not take. */
export function identify(payment: PaymentPayload): PaymentIdentity | undefined {
  if (payment.accepted.scheme === "batch-settlement") {
    const read = onChannel.safeParse(payment.payload);
    if (!read.success) return undefined;
    const { type, voucher } = read.data;
    return {
      scheme: "batch-settlement",
      type,
      account: voucher.channelId.toLowerCase(),
      reference: BigInt(voucher.maxClaimableAmount).toString(),
      signature: voucher.signature.toLowerCase(),
    };
  }
  if (payment.accepted.scheme === "exact") {
    const read = byAuthorization.safeParse(payment.payload);
    if (!read.success) return undefined;
    const { signature, authorization } = read.data;
    return {
      scheme: "exact",
      type: "authorization",
      account: authorization.from.toLowerCase(),
      reference: authorization.nonce.toLowerCase(),
      signature: signature.toLowerCase(),
    };
  }
  return undefined;
}

const withDeposit = z.object({
  channelConfig: z.object({ payer: hex(40) }),
  voucher: z.object({ channelId: hex(64) }),
  deposit: z.object({
    authorization: z.object({ erc3009Authorization: z.object({ salt: hex(64) }) }),
  }),
});

/** Whose EIP-3009 authorization a deposit payload carries: nonce = keccak256(abi.encode(channelId, salt)). */
export function depositAuthorization(payment: PaymentPayload): { payer: string; nonce: string } | undefined {
  const read = withDeposit.safeParse(payment.payload);
  if (!read.success) return undefined;
  const { channelConfig, voucher, deposit } = read.data;
  const { salt } = deposit.authorization.erc3009Authorization;
  const encoded = encodeAbiParameters(
    [{ type: "bytes32" }, { type: "uint256" }],
    [voucher.channelId as Hex, BigInt(salt)],
  );
  return { payer: channelConfig.payer, nonce: keccak256(encoded) };
}

const depositNonce = z.object({
  deposit: z.object({
    authorization: z.union([
      z.object({ erc3009Authorization: z.object({ salt: z.string() }) }),
      z.object({ permit2Authorization: z.object({ nonce: z.string() }) }),
    ]),
  }),
});

/** What a deposit payload can be used once by, as it is written; two deposits of one voucher differ in it. */
export function depositReference(payment: PaymentPayload): string {
  const read = depositNonce.safeParse(payment.payload);
  if (!read.success) return "";
  const { authorization } = read.data.deposit;
  return "erc3009Authorization" in authorization
    ? authorization.erc3009Authorization.salt
    : authorization.permit2Authorization.nonce;
}

/** The voucher inside a deposit payload, as a payment of its own. */
export function voucherAlone(payment: PaymentPayload): PaymentPayload {
  const { channelConfig, voucher } = payment.payload;
  return { ...payment, payload: { type: "voucher", channelConfig, voucher } };
}
