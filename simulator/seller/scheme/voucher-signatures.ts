// Whose signature a voucher bears: its digest, then recovery, then a comparison with the public key known for the
// channel's authorizer. The key is recovered rather than verified against: the contract recovers too, so a wrong
// recovery id, which a verification would not notice, would make a voucher that buys energy and cannot be claimed.

import type { Curve } from "#node/key/native-curve";
import { VoucherDigest } from "./voucher-digest.ts";
import type { Keccak } from "./wasm-keccak.ts";

/** Authorizers whose public keys are kept, 64 bytes each; full means start again. */
export const KEYS_MAX = 100_000;

/** 0x and 65 bytes. */
const SIGNATURE_DIGITS = 132;

export class VoucherSignatures {
  readonly #curve: Curve;
  readonly #keccak: Keccak;
  readonly #keys = new Map<string, Buffer>();
  readonly #digest: VoucherDigest;
  readonly #signature = Buffer.alloc(65);

  constructor(curve: Curve, keccak: Keccak, chainId: number) {
    this.#curve = curve;
    this.#keccak = keccak;
    this.#digest = new VoucherDigest(keccak, chainId);
  }

  /**
   * Whether `authorizer` (0x and 40 hex digits, lower case) signed this voucher, as the contract would see it:
   * 65 bytes, v 27 or 28, s in the lower half.
   * @param channelId 0x and 64 hex digits
   * @param maxClaimable atomic units, cumulative, at most 2^128 - 1
   * @param signature as it was presented
   */
  isSignedBy(authorizer: string, channelId: string, maxClaimable: bigint, signature: string): boolean {
    const bytes = this.#signature;
    if (signature.length !== SIGNATURE_DIGITS || !signature.startsWith("0x")) return false;
    // Decoding ends at the first character that is no hex digit.
    if (bytes.write(signature.slice(2), "hex") !== bytes.length) return false;
    const recoveryId = bytes[64]! - 27;
    if (recoveryId !== 0 && recoveryId !== 1) return false;
    const digest = this.#digest.of(channelId, maxClaimable);
    const key = this.#curve.recover(bytes.subarray(0, 64), recoveryId, digest);
    return key !== undefined && this.#isKeyOf(authorizer, key);
  }

  #isKeyOf(authorizer: string, key: Uint8Array): boolean {
    const known = this.#keys.get(authorizer);
    if (known !== undefined) return known.equals(key);
    const address = Buffer.from(this.#keccak(key)).subarray(12).toString("hex");
    if (`0x${address}` !== authorizer) return false;
    if (this.#keys.size >= KEYS_MAX) this.#keys.clear();
    this.#keys.set(authorizer, Buffer.from(key));
    return true;
  }
}
