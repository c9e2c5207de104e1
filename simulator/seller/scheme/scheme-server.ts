// Who serves x402's batch-settlement: the meter-grade scheme of this house, or the SDK's own. On the wire they
// are one; tests run on both.

export const SCHEME_SERVERS = ["meter", "official"] as const;
export type SchemeServer = (typeof SCHEME_SERVERS)[number];
