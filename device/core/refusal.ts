/**
 * The closed list of reasons to say no, and what a device does about each.
 *
 * Promise: a refusal on the wire is one of these codes; an unknown code is a malformed frame. A code
 * keeps its number for ever: add at the end, never reuse.
 */

/** What a device does about a refused rung: present it again when its time has come, or wait for a new offer. */
type Reaction = "again" | "halt";

/** Refusals a gateway sends in the status byte of a GRANT. Status 0 is a grant. */
export type WireRefusal =
  | "unknown-channel"
  | "counter-mismatch"
  | "bad-signature"
  | "seller-unavailable"
  | "seller-refused"
  | "unfunded"
  | "overloaded"
  | "channel-closing"
  | "ledger-unavailable"
  | "expired"
  | "not-enrolled"
  | "outcome-unknown";

/** Refusals a device decides by itself, reported in its state. */
export type DeviceRefusal =
  | "scheme-not-allowed"
  | "network-not-allowed"
  | "token-not-allowed"
  | "payee-not-allowed"
  | "contract-not-allowed"
  | "spender-not-allowed"
  | "facilitator-not-allowed"
  | "validity-too-long"
  | "approval-not-allowed"
  | "unit-mismatch"
  | "price-above-ceiling"
  | "quantum-above-limit"
  | "budget-exhausted"
  | "deposit-exhausted"
  | "charged-above-signed"
  | "counter-off-ladder"
  | "channel-id-mismatch"
  | "metered-seller"
  | "no-seller-here"
  | "terms-missing"
  | "terms-unsigned"
  | "terms-contradicted"
  | "grant-below-terms"
  | "meter-silent"
  | "meter-implausible"
  | "clock-unset"
  | "journal-failed"
  | "signer-failed"
  | LoadRefusal;

/** What a host reports to the machine about its own parts. */
export type HostRefusal = "journal-failed" | "signer-failed";

/** What a host reports to the machine about its load: it does not follow, or it broke a limit that it had confirmed. */
export type LoadRefusal = "lamp-failed" | "load-disobeys";

export type Refusal = WireRefusal | DeviceRefusal;

/** By their status bytes: the first one's is 1. */
export const WIRE_REFUSALS: readonly WireRefusal[] = [
  "unknown-channel",
  "counter-mismatch",
  "bad-signature",
  "seller-unavailable",
  "seller-refused",
  "unfunded",
  "overloaded",
  "channel-closing",
  "ledger-unavailable",
  "expired",
  "not-enrolled",
  "outcome-unknown",
];

/** The refusal of a status byte; null for 0 (granted) and for unassigned numbers. */
export function refusalOfStatus(status: number): WireRefusal | null {
  return WIRE_REFUSALS[status - 1] || null;
}

/** The status byte of a refusal, 1..255. */
export function statusOfRefusal(code: WireRefusal): number {
  const at = WIRE_REFUSALS.indexOf(code);
  // Its status would be that of a grant.
  if (at < 0) throw new Error(`refusal "${code}" is not in the list of device/core/refusal.ts`);
  return at + 1;
}

/** What a device does about a refused rung. */
export function reactionTo(code: WireRefusal): Reaction {
  return code === "channel-closing" ? "halt" : "again";
}
