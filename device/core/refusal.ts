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
  | "meter-silent"
  | "meter-implausible"
  | "clock-unset"
  | "journal-failed"
  | "signer-failed"
  | "lamp-failed";

/** What a host reports to the machine about its own parts. */
export type HostRefusal = "journal-failed" | "signer-failed" | "lamp-failed";

export type Refusal = WireRefusal | DeviceRefusal;

interface WireEntry {
  readonly code: WireRefusal;
  readonly status: number;
  readonly reaction: Reaction;
}

export const WIRE_REFUSALS: readonly WireEntry[] = [
  { status: 1, code: "unknown-channel", reaction: "again" },
  { status: 2, code: "counter-mismatch", reaction: "again" },
  { status: 3, code: "bad-signature", reaction: "again" },
  { status: 4, code: "seller-unavailable", reaction: "again" },
  { status: 5, code: "seller-refused", reaction: "again" },
  { status: 6, code: "unfunded", reaction: "again" },
  { status: 7, code: "overloaded", reaction: "again" },
  { status: 8, code: "channel-closing", reaction: "halt" },
  { status: 9, code: "ledger-unavailable", reaction: "again" },
  { status: 10, code: "expired", reaction: "again" },
  { status: 11, code: "not-enrolled", reaction: "again" },
  { status: 12, code: "outcome-unknown", reaction: "again" },
];

/** The refusal of a status byte; null for 0 (granted) and for unassigned numbers. */
export function refusalOfStatus(status: number): WireRefusal | null {
  for (const entry of WIRE_REFUSALS) if (entry.status === status) return entry.code;
  return null;
}

/** The status byte of a refusal, 1..255. */
export function statusOfRefusal(code: WireRefusal): number {
  return entryOf(code).status;
}

/** What a device does about a refused rung. */
export function reactionTo(code: WireRefusal): Reaction {
  return entryOf(code).reaction;
}

function entryOf(code: WireRefusal): WireEntry {
  for (const entry of WIRE_REFUSALS) if (entry.code === code) return entry;
  throw new Error(`refusal "${code}" is not in the list of device/core/refusal.ts`);
}
