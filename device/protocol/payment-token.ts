/**
 * What money is: a token contract on a network, as x402 names both.
 *
 * Promise: two names are the same exactly when they mean the same contract on the same chain, however its address is
 * written; amounts of tokens with different names are never added.
 */
export interface PaymentToken {
  /** CAIP-2, as "eip155:8453". */
  readonly network: string;
  /** Contract, 0x and 40 hex digits, any case. */
  readonly asset: string;
}

/** A token's CAIP-19 name in lower case, as "eip155:8453/erc20:0x8335...". */
export function tokenName({ network, asset }: PaymentToken): string {
  return `${network}/erc20:${asset.toLowerCase()}`;
}

/** @param pays CAIP-19 names, a space between two, as a hello has them */
export function isPaidBy(pays: string, token: PaymentToken): boolean {
  return pays.toLowerCase().split(" ").includes(tokenName(token));
}

export function isSameToken(left: PaymentToken, right: PaymentToken): boolean {
  if (left.network !== right.network) return false;
  return left.asset === right.asset || left.asset.toLowerCase() === right.asset.toLowerCase();
}
