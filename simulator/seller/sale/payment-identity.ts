// What makes two presented payments the same payment: the account they are drawn on, the rung or nonce they
// name, and the bytes of their signature.

import type { PaymentPayload } from "@x402/core/types";
import { encodeAbiParameters, type Hex, keccak256 } from "viem";
import { z } from "zod";
import type { Scheme } from "../accounts/accounts.ts";
import type { OneTimeAuthorization } from "../ports.ts";

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

const byPermit2 = z.object({
  signature: anyHex,
  permit2Authorization: z.object({
    from: hex(40),
    permitted: z.object({ token: hex(40), amount: uint256 }),
    nonce: uint256,
    deadline: uint256,
  }),
});

interface IdentityBase {
  /** channel id or payer, lower case */
  readonly account: string;
  /** maxClaimable in decimal digits; the nonce in lower-case hex, of Permit2 `permit2:` and decimal digits */
  readonly reference: string;
  readonly signature: string;
}

/** A payment on a channel. */
export interface ChannelIdentity extends IdentityBase {
  readonly scheme: "batch-settlement";
  readonly type: "voucher" | "deposit" | "refund";
}

/** A payment by a transfer of its own. */
export interface TransferIdentity extends IdentityBase {
  readonly scheme: Exclude<Scheme, "batch-settlement">;
  readonly type: "authorization";
  readonly authorization: OneTimeAuthorization;
}

export type PaymentIdentity = ChannelIdentity | TransferIdentity;

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
  const { scheme } = payment.accepted;
  if (scheme !== "exact" && scheme !== "upto") return undefined;
  const transfer = transferOf(payment);
  if (transfer === undefined) return undefined;
  const { authorization, signature } = transfer;
  const { by, payer, nonce } = authorization;
  const reference = by === "eip3009" ? nonce : `permit2:${nonce}`;
  return { scheme, type: "authorization", account: payer, reference, signature, authorization };
}

/** What a payload of exact or upto may be used once by; undefined for one of another form. */
function transferOf({
  payload,
}: PaymentPayload): { authorization: OneTimeAuthorization; signature: string } | undefined {
  const eip3009 = byAuthorization.safeParse(payload).data;
  if (eip3009 !== undefined) {
    const { from, nonce } = eip3009.authorization;
    return {
      authorization: { by: "eip3009", payer: from.toLowerCase(), nonce: nonce.toLowerCase() },
      signature: eip3009.signature.toLowerCase(),
    };
  }
  const permit2 = byPermit2.safeParse(payload).data;
  if (permit2 === undefined) return undefined;
  const { from, nonce } = permit2.permit2Authorization;
  return {
    authorization: { by: "permit2", payer: from.toLowerCase(), nonce: BigInt(nonce).toString() },
    signature: permit2.signature.toLowerCase(),
  };
}

const withDeposit = z.object({
  channelConfig: z.object({ payer: hex(40) }),
  voucher: z.object({ channelId: hex(64) }),
  deposit: z.object({
    authorization: z.union([
      z.object({ erc3009Authorization: z.object({ salt: hex(64) }) }),
      z.object({ permit2Authorization: z.object({ nonce: uint256 }) }),
    ]),
  }),
});

/**
 * What a deposit payload can be used once by; two deposits of one voucher differ in it. Of EIP-3009 the nonce is
 * keccak256(abi.encode(channelId, salt)).
 */
export function depositAuthorization(payment: PaymentPayload): OneTimeAuthorization | undefined {
  const read = withDeposit.safeParse(payment.payload);
  if (!read.success) return undefined;
  const { channelConfig, voucher, deposit } = read.data;
  const { payer } = channelConfig;
  if ("permit2Authorization" in deposit.authorization) {
    const nonce = BigInt(deposit.authorization.permit2Authorization.nonce).toString();
    return { by: "permit2", payer, nonce };
  }
  const { salt } = deposit.authorization.erc3009Authorization;
  const encoded = encodeAbiParameters(
    [{ type: "bytes32" }, { type: "uint256" }],
    [voucher.channelId as Hex, BigInt(salt)],
  );
  return { by: "eip3009", payer, nonce: keccak256(encoded) };
}

/** The voucher inside a deposit payload, as a payment of its own. */
export function voucherAlone(payment: PaymentPayload): PaymentPayload {
  const { channelConfig, voucher } = payment.payload;
  return { ...payment, payload: { type: "voucher", channelConfig, voucher } };
}
