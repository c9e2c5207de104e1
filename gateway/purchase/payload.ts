/**
 * From a 99-byte PAY to the complete x402 PaymentPayload of 1.2 kB: everything both sides already know,
 * put back.
 *
 * Promise: what the device signed is carried unchanged; nothing in the payload is the gateway's own word
 * except a deposit that its treasury signed.
 */

import { purchaseNonce } from "#payment/authorization";
import { fromHex, toHex, wordOfInteger } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import { recoverAddress } from "#payment/key";
import { transferMethodOf } from "#payment/offer/offer";
import { voucherDigest } from "#payment/voucher";
import { type Pay, SIGNATURE_BYTES } from "#protocol/frames";
import type { PaymentPayload } from "#protocol/x402";
import { depositMethodOf, depositPermit } from "./permit2/deposit-permit.ts";
import { permitPayload } from "./permit2/permit-payload.ts";
import type { ChannelRecord, DepositRecord, SignedVoucher } from "./ports.ts";

/** Batch-settlement: a voucher, or the first one behind a new deposit. */
export function voucherPayload(
  channel: ChannelRecord,
  pay: Pay,
  deposit: DepositRecord | null,
): PaymentPayload {
  const voucher = {
    channelId: channel.id,
    maxClaimableAmount: String(pay.maxClaimable),
    signature: signatureText(pay),
  };
  const channelConfig = channel.config;
  const payload =
    deposit === null
      ? { type: "voucher", channelConfig, voucher }
      : {
          type: "deposit",
          channelConfig,
          voucher,
          deposit: {
            amount: String(deposit.amountAtomic),
            authorization: depositAuthorization(channel, deposit),
          },
        };
  return complete(channel, pay.maxClaimable - channel.charged, payload);
}

function depositAuthorization(channel: ChannelRecord, deposit: DepositRecord): Record<string, unknown> {
  if (depositMethodOf(channel.requirements) === "permit2") {
    return { permit2Authorization: depositPermit(channel, deposit) };
  }
  return {
    erc3009Authorization: {
      validAfter: "0",
      validBefore: String(deposit.validBeforeSeconds),
      salt: toHex(wordOfInteger(deposit.index)),
      signature: deposit.signature,
    },
  };
}

/** Exact and upto: one transfer from the device's wallet, by EIP-3009 or Permit2. */
export function authorizationPayload(channel: ChannelRecord, pay: Pay): PaymentPayload {
  const amountAtomic = pay.maxClaimable - channel.charged;
  if (transferMethodOf(channel.requirements) === "permit2") {
    const { extensions, payload } = permitPayload(channel, pay, signatureText(pay));
    return { ...complete(channel, amountAtomic, payload), ...extensions };
  }
  const payload = {
    signature: signatureText(pay),
    authorization: {
      from: `0x${channel.device}`,
      to: channel.requirements.payTo,
      value: String(amountAtomic),
      validAfter: "0",
      validBefore: String(pay.validBeforeSeconds),
      nonce: purchaseNonce(channel.id, channel.charged),
    },
  };
  return complete(channel, amountAtomic, payload);
}

/** Whether a channel's device signed a voucher that somebody shows. */
export function isVoucherSigned(
  { id, device, requirements }: ChannelRecord,
  { maxClaimable, signature }: SignedVoucher,
): boolean {
  const digest = voucherDigest(id, maxClaimable, chainIdOf(requirements.network));
  return recoverAddress(digest, fromHex(signature)) === `0x${device}`;
}

/** What the device signed the payment with, 0x and 130 hex digits. */
export function signatureText({ signature }: Pay): string {
  return `0x${Buffer.from(signature.buffer, signature.byteOffset, SIGNATURE_BYTES).toString("hex")}`;
}

function complete(
  channel: ChannelRecord,
  amountAtomic: number,
  payload: Record<string, unknown>,
): PaymentPayload {
  // The seller matches `accepted` against its own requirements for this amount, member by member. Most purchases
  // are of the offered amount: the same object then, by which the writer sees that nothing changed.
  const amount = String(amountAtomic);
  const { requirements } = channel;
  const accepted = (
    requirements.amount === amount ? requirements : { ...requirements, amount }
  ) as PaymentPayload["accepted"];
  return { x402Version: 2, resource: { url: channel.resource }, accepted, payload };
}
