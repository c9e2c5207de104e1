/**
 * Who signs and who checks in a world.
 *
 * Promise: a signature that its owner did not make fails its check, by real secp256k1 or by a keyed hash
 * in its place, which costs a hundredth; both are deterministic and 65 bytes, so a world goes the same way
 * with either.
 */
import { createHash } from "node:crypto";
import type { Signer } from "#core/ports";
import { toHex } from "#payment/bytes";
import { chainIdOf } from "#payment/eip712";
import { recoverAddress } from "#payment/key";
import { signWith } from "#payment/signer";
import { voucherDigest } from "#payment/voucher";
import { keyOf } from "./keys.ts";

export type Signing = "stand-in" | "real";

/** A voucher's signer for one device. Exact authorizations are not sold in a world. */
export function deviceSigner(signing: Signing, name: string): Signer {
  if (signing === "real") return signWith(keyOf(name));
  return {
    sign: ({ channelId, maxClaimable, terms }, done) =>
      done(voucherBy(signing, name, chainIdOf(terms.network), channelId, maxClaimable)),
  };
}

/** The signature of one rung on the world's chain, by the holder of a named key. */
export function voucherBy(
  signing: Signing,
  name: string,
  chainId: number,
  channelId: string,
  maxClaimable: number,
): Uint8Array {
  const key = keyOf(name);
  return signing === "real"
    ? key.sign(voucherDigest(channelId, maxClaimable, chainId))
    : standIn(key.address, `voucher ${chainId} ${channelId} ${maxClaimable}`);
}

/** True when `device` signed this rung. @param signature 0x and hex digits */
export function isVoucherSigned(
  signing: Signing,
  device: string,
  chainId: number,
  channelId: string,
  maxClaimable: number,
  signature: string,
): boolean {
  if (signing === "real") {
    const bytes = Buffer.from(signature.slice(2), "hex");
    return recoverAddress(voucherDigest(channelId, maxClaimable, chainId), bytes) === device;
  }
  return toHex(standIn(device, `voucher ${chainId} ${channelId} ${maxClaimable}`)) === signature;
}

/** Signs a digest as the holder of a named key. */
export function signDigest(signing: Signing, name: string, digest: Uint8Array): Uint8Array {
  const key = keyOf(name);
  return signing === "real" ? key.sign(digest) : standIn(key.address, `digest ${toHex(digest)}`);
}

export function isDigestSigned(
  signing: Signing,
  address: string,
  digest: Uint8Array,
  signature: string,
): boolean {
  if (signing === "real") return recoverAddress(digest, Buffer.from(signature.slice(2), "hex")) === address;
  return toHex(standIn(address, `digest ${toHex(digest)}`)) === signature;
}

/** Only this file derives it from an address in a world. */
function standIn(address: string, message: string): Uint8Array {
  const signature = new Uint8Array(65);
  const half = createHash("sha256").update(`${address} ${message}`).digest();
  signature.set(half);
  signature.set(half.toReversed(), 32);
  // Like every signature here its s is low.
  signature[32]! &= 127;
  signature[64] = 27;
  return signature;
}
