/**
 * The approval of Permit2 that goes behind an authorization in PAY: 90 bytes.
 *
 *   kind 1 | approved 6 | nonce 6 | max fee 6 | max priority fee 6 | r 32 | s 32 | v 1
 *
 * Promise: encode and decode are inverse on every valid approval, and decode refuses every other byte string with a
 * reason.
 */
import { APPROVAL_BYTES, type Decoded, get, put, SIGNATURE_BYTES } from "./frames.ts";

/** What the device approved, as it was signed. */
export interface SignedApproval {
  readonly kind: "eip2612" | "erc20";
  readonly approvedAtomic: number;
  readonly nonce: number;
  /** Wei; 0 for a permit. */
  readonly maxFeePerGas: number;
  readonly maxPriorityFeePerGas: number;
  /** r 32, s 32, v 1 (27 or 28) */
  readonly signature: Uint8Array;
}

const KINDS = ["eip2612", "erc20"] as const;

/** Throws on a field that does not fit. */
export function encodeApproval(approval: SignedApproval): Uint8Array {
  const bytes = new Uint8Array(APPROVAL_BYTES);
  bytes[0] = 1 + KINDS.indexOf(approval.kind);
  put(bytes, 1, 6, approval.approvedAtomic);
  put(bytes, 7, 6, approval.nonce);
  put(bytes, 13, 6, approval.maxFeePerGas);
  put(bytes, 19, 6, approval.maxPriorityFeePerGas);
  bytes.set(approval.signature, APPROVAL_BYTES - SIGNATURE_BYTES);
  return bytes;
}

/** @param signature of a PAY: its first 65 bytes are the authorization's; null when there are no more */
export function approvalIn(signature: Uint8Array): Decoded<SignedApproval> | null {
  if (signature.length === SIGNATURE_BYTES) return null;
  const bytes = signature.subarray(SIGNATURE_BYTES);
  const kind = KINDS[bytes[0]! - 1];
  if (kind === undefined) return { frame: null, error: `approval kind may be 1 or 2, found ${bytes[0]}` };
  const v = bytes[APPROVAL_BYTES - 1]!;
  if (v !== 27 && v !== 28) return { frame: null, error: `approval v may be 27 or 28, found ${v}` };
  const approval: SignedApproval = {
    kind,
    approvedAtomic: get(bytes, 1, 6),
    nonce: get(bytes, 7, 6),
    maxFeePerGas: get(bytes, 13, 6),
    maxPriorityFeePerGas: get(bytes, 19, 6),
    signature: bytes.slice(APPROVAL_BYTES - SIGNATURE_BYTES),
  };
  return { frame: approval, error: null };
}
