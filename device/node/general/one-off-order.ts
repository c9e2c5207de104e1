/**
 * What a device signs for one resource that it buys once, by the scheme exact from its own wallet.
 *
 * Promise (P1): of what a resource accepts only a transfer within the owner's policy is taken: network, token, payee, amount.
 * One order has one nonce for ever, so however often it is signed or sent, the token pays it once.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import type { Policy } from "#core/policy";
import type { DeviceRefusal } from "#core/refusal";
import { type Authorization, transferDigest } from "#payment/authorization";
import { type Hex, toHex, wordOfAddress } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import type { Key } from "#payment/key";
import { transferMethodOf, verifierOf } from "#payment/offer/offer";
import type { PaymentPayload, PaymentRequired, PaymentRequirements } from "#protocol/x402";

export interface OneOffOrder {
  /** Of this purchase and no other, 1 to 64 characters: the same one is never paid twice. */
  readonly id: string;
  readonly method: "GET" | "POST";
  readonly url: string;
  /** Atomic units. */
  readonly amountMaxAtomic: number;
}

/** A transfer is good for so many seconds at most. */
const VALID_SECONDS_MAX = 3_600;

const NONCE_DOMAIN = utf8ToBytes("watt402 one-off nonce");

/** The first entry that the policy allows; when there is none, the rule that one of this scheme breaks. */
export function chooseTransfer(
  { accepts }: PaymentRequired,
  policy: Policy,
  { amountMaxAtomic }: OneOffOrder,
):
  | { readonly chosen: PaymentRequirements; readonly refusal: null }
  | { readonly chosen: null; readonly refusal: DeviceRefusal } {
  let broken: DeviceRefusal = "scheme-not-allowed";
  for (const requirements of accepts) {
    const refusal = refuseTransfer(requirements, policy, amountMaxAtomic);
    if (refusal === null) return { chosen: requirements, refusal };
    if (broken === "scheme-not-allowed") broken = refusal;
  }
  return { chosen: null, refusal: broken };
}

function refuseTransfer(
  requirements: PaymentRequirements,
  policy: Policy,
  amountMaxAtomic: number,
): DeviceRefusal | null {
  const { scheme, network, asset, payTo, amount } = requirements;
  if (scheme !== "exact" || transferMethodOf({ ...requirements, scheme }) !== "eip3009")
    return "scheme-not-allowed";
  if (network !== policy.network) return "network-not-allowed";
  if (asset.toLowerCase() !== policy.asset) return "token-not-allowed";
  if (verifierOf({ ...requirements, scheme }) !== null) return "contract-not-allowed";
  if (policy.payees.length > 0 && !policy.payees.includes(payTo.toLowerCase())) return "payee-not-allowed";
  const max = Math.min(amountMaxAtomic, policy.quantumMaxAtomic);
  return /^[1-9]\d{0,14}$/.test(amount) && Number(amount) <= max ? null : "quantum-above-limit";
}

/** @param nowSeconds Unix seconds as the chain counts them */
export function signTransfer(
  key: Key,
  { id, url }: OneOffOrder,
  accepted: PaymentRequirements,
  nowSeconds: number,
): PaymentPayload {
  const { network, asset, payTo, amount, maxTimeoutSeconds, extra } = accepted;
  const authorization: Authorization = {
    from: key.address,
    to: payTo,
    value: Number(amount),
    validBeforeSeconds: Math.floor(nowSeconds) + Math.min(VALID_SECONDS_MAX, maxTimeoutSeconds),
    nonce: nonceOf(key.address, id),
  };
  const name = typeof extra.name === "string" ? extra.name : "";
  const version = typeof extra.version === "string" ? extra.version : "";
  const digest = transferDigest(
    { chainId: chainIdOf(network), address: asset, name, version },
    authorization,
  );
  return {
    x402Version: 2,
    resource: { url },
    accepted,
    payload: {
      signature: toHex(key.sign(digest)),
      authorization: {
        from: authorization.from,
        to: authorization.to,
        value: amount,
        validAfter: "0",
        validBefore: String(authorization.validBeforeSeconds),
        nonce: authorization.nonce,
      },
    },
  } as PaymentPayload;
}

function nonceOf(device: string, id: string): Hex {
  return toHex(keccak_256(concatBytes(NONCE_DOMAIN, wordOfAddress(device), keccak_256(utf8ToBytes(id)))));
}
