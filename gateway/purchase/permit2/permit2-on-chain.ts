/**
 * What the gateway's rules ask of Permit2 on a chain.
 *
 * Promise: nothing here but a shape; gateway/treasury has the adapter.
 */
import type { AskedApproval } from "#protocol/messages";

export type ApprovalKind = AskedApproval["kind"];

/** Permit2 as the chain has it; every call rejects while the node does not answer. */
export interface Permit2OnChain {
  /** What Permit2 may move of an owner's tokens, atomic units; COUNTER_MAX for all above. */
  allowance(token: string, owner: string): Promise<number>;
  isUsed(owner: string, nonce: string): Promise<boolean>;
  /** As Chain.paidByAuthorization. */
  paid(token: string, from: string, nonce: string, payTo: string): Promise<number | null>;
  /** What an approval by this owner has to carry now; null where the token takes none of that kind. */
  approvalTerms(kind: ApprovalKind, token: string, owner: string): Promise<AskedApproval | null>;
  /** The treasury approves Permit2 by a transaction of its own, and resolves when it is mined. */
  approve(token: string, amountAtomic: number): Promise<void>;
}
