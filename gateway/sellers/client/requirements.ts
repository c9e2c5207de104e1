/**
 * Choosing among a seller's payment requirements, and reading its counters out of x402 answers.
 *
 * Promise: only what the gateway can pay is chosen: version 2, one of the operator's schemes, networks
 * and tokens, by EIP-3009 under the domain of the token, or of a contract that the operator named, or by Permit2 under
 * that contract's, an amount that a device can
 * pay at once; of several, the cheapest in the token and by the scheme, then the transfer method, that the operator
 * prefers. Amounts of different tokens are not compared.
 */
import type { Scheme } from "#core/events";
import { isCounter, QUANTUM_MAX } from "#core/units";
import type { TransferMethod } from "#payment/authorization";
import { PERMIT2_ADDRESS } from "#payment/permit2/permit";
import type { OfferedRequirements } from "#protocol/messages";
import { isSameToken, type PaymentToken } from "#protocol/payment-token";
import type { PaymentRequired, SettleResponse } from "#protocol/x402";
import { SPONSORINGS } from "../../purchase/permit2/permit-payload.ts";
import type { NoTerms, Sale, SignedVoucher } from "../../purchase/ports.ts";
import { echoTrouble } from "./extension-echo.ts";

export interface Payable {
  /** In order of preference. */
  readonly schemes: readonly Scheme[];
  /** In order of preference, behind that of the schemes. */
  readonly tokens: readonly PaymentToken[];
  /** Likewise, behind the tokens; EIP-3009 alone when absent. upto is paid by Permit2 alone. */
  readonly methods?: readonly TransferMethod[];
  /** Contracts that may verify a transfer by EIP-3009 in the token's place, in lower case; none when absent. */
  readonly verifiers?: readonly string[];
}

/** Tokens that are wanted go before the others. */
export function wanting(payable: Payable, wanted: readonly PaymentToken[] = []): Payable {
  const isWanted = (token: PaymentToken) => wanted.some((one) => isSameToken(one, token));
  const { tokens } = payable;
  return { ...payable, tokens: [...tokens.filter(isWanted), ...tokens.filter((token) => !isWanted(token))] };
}

/** The requirements the operator likes best; null, and why, when none can be paid. */
export function chooseRequirements(
  required: PaymentRequired,
  payable: Payable,
): { readonly requirements: OfferedRequirements | null } & NoTerms {
  const trouble = echoTrouble(required);
  if (trouble !== "") return { requirements: null, reason: trouble, isUnpayable: true };
  const fitting = required.accepts.filter((option) => fits(option, payable));
  const wanted = payable.schemes.flatMap((scheme) =>
    payable.tokens.flatMap((token) => methodsOf(payable).map((method) => ({ scheme, token, method }))),
  );
  for (const { scheme, token, method } of wanted) {
    const [first, ...others] = fitting.filter(
      (option) => option.scheme === scheme && isSameToken(option, token) && methodOf(option) === method,
    );
    if (first === undefined) continue;
    // All buy the same resource, so the amount is the price; of equal ones the seller's order decides.
    const best = others.reduce((low, next) => (Number(next.amount) < Number(low.amount) ? next : low), first);
    return { requirements: { ...best, extra: best.extra ?? {} }, reason: "" };
  }
  const found = required.accepts.slice(0, TOLD_MAX).map((option) => shownOption(option, payable));
  const more = required.accepts.length - found.length;
  if (more > 0) found.push(`${more} more`);
  return {
    requirements: null,
    reason: `found ${found.join("; ") || "nothing in accepts"}; ${spoken(payable)}`,
    isUnpayable: true,
  };
}

/** Options of a seller that are named when none fits, and characters of each of their words. */
const TOLD_MAX = 4;
const WORD_MAX = 64;

type Option = PaymentRequired["accepts"][number];

function fits(option: Option, payable: Payable): boolean {
  const isOurs = payable.tokens.some((token) => isSameToken(token, option));
  return (
    isOurs &&
    methodsOf(payable).some((method) => method === methodOf(option)) &&
    lackOf(option, payable) === ""
  );
}

function methodsOf({ methods = ["eip3009"] }: Payable): readonly TransferMethod[] {
  return methods;
}

/** x402's `assetTransferMethod`, and what it is when none is named. */
function methodOf({ scheme, extra }: Option): string {
  return shown(extra?.assetTransferMethod ?? (scheme === "upto" ? "permit2" : "eip3009"));
}

/** What an option lacks to be paid, apart from scheme, method, network and token; empty when nothing. */
function lackOf(option: Option, { verifiers = [] }: Payable): string {
  const { scheme, amount, asset, extra } = option;
  const isByPermit2 = methodOf(option) === "permit2";
  // Another contract's domain (Circle's GatewayWalletBatched): a signature under the token's would be worth nothing there.
  const { verifyingContract } = extra ?? {};
  const known = isByPermit2
    ? [PERMIT2_ADDRESS]
    : [asset.toLowerCase(), ...(scheme === "exact" ? verifiers : [])];
  if (verifyingContract !== undefined && !known.includes(shown(verifyingContract).toLowerCase()))
    return `, signed under contract ${shown(verifyingContract)} in ${isByPermit2 ? "Permit2's" : "the token's"} place`;
  if (!isByPermit2 && (typeof extra?.name !== "string" || typeof extra.version !== "string"))
    return ", without the token's name and version in extra";
  if (scheme === "upto" && !isByPermit2) return ", which upto does not know";
  if (scheme === "upto" && !/^0x[0-9a-fA-F]{40}$/.test(String(extra?.facilitatorAddress)))
    return ", without facilitatorAddress in extra";
  if (!/^[1-9][0-9]*$/.test(amount)) return `, amount ${shown(amount)}`;
  // Of a token of 18 decimals the usual price: its counters would not fit a device's.
  if (amount.length > 15) return `, amount ${shown(amount)} above ${QUANTUM_MAX}`;
  return Number(amount) > QUANTUM_MAX ? `, amount ${amount} above ${QUANTUM_MAX}` : "";
}

function shownOption(option: Option, payable: Payable): string {
  const { scheme, network, asset } = option;
  return `${shown(scheme)} by ${methodOf(option)} on ${shown(network)}${strangeness(network)} in token ${shown(asset)}${lackOf(option, payable)}`;
}

/** Version 1 had a closed list of networks by names of their own. */
function strangeness(network: string): string {
  if (network.includes(":")) return "";
  return " (a name of x402 version 1; expected CAIP-2, as eip155:8453)";
}

function spoken(payable: Payable): string {
  const { schemes, tokens, verifiers = [] } = payable;
  const pairs = schemes.flatMap((scheme) => methodsOf(payable).map((method) => ({ scheme, method })));
  const each = pairs
    .filter(({ scheme, method }) => scheme !== "upto" || method === "permit2")
    .map(({ scheme, method }) => `${scheme} by ${method}`);
  const places = tokens.map(({ network, asset }) => `on ${network} in token ${asset}`);
  const under = verifiers.length === 0 ? "" : `, and exact under contract ${verifiers.join(", ")}`;
  return `spoken: ${each.join(", ")}${under} ${places.join(", or ")}`;
}

/** A piece of what a stranger wrote. */
function shown(word: unknown): string {
  return String(word).slice(0, WORD_MAX);
}

/** Why terms that came without version 2's header cannot be read: their body may be another version's. Null for others. */
export function otherVersionIn(status: number, body: string): NoTerms | null {
  if (status !== 402) return null;
  const version = /"x402Version"\s*:\s*([0-9]{1,6})/.exec(body)?.[1];
  const found = version === undefined ? "no PAYMENT-REQUIRED header" : `x402 version ${version}`;
  return {
    reason: `found ${found}; spoken: version 2, terms in the PAYMENT-REQUIRED header`,
    isUnpayable: true,
  };
}

/** Approvals of Permit2 that a seller's facilitator brings to the chain with a payment. */
export function sponsoredBy({ extensions = {} }: PaymentRequired): readonly (keyof typeof SPONSORINGS)[] {
  return (["eip2612", "erc20"] as const).filter((kind) => SPONSORINGS[kind] in extensions);
}

/** A refused payment, with what a corrective 402 says was charged on its channel, and the newest voucher it shows. */
export function unpaidBy(reason: string, required: PaymentRequired): Extract<Sale, { kind: "unpaid" }> {
  for (const { extra } of required.accepts) {
    const charged = decimalIn(extra?.channelState, "chargedCumulativeAmount");
    if (charged !== null) return { kind: "unpaid", reason, charged, voucher: voucherIn(extra?.voucherState) };
  }
  return { kind: "unpaid", reason, charged: null };
}

function voucherIn(state: unknown): SignedVoucher | null {
  const maxClaimable = decimalIn(state, "signedMaxClaimable");
  const signature = (state as { readonly signature?: unknown } | undefined)?.signature;
  if (maxClaimable === null || typeof signature !== "string") return null;
  return /^0x[0-9a-fA-F]{130}$/.test(signature) ? { maxClaimable, signature } : null;
}

/** What a receipt says was charged on its channel in all; null when it says nothing. */
export function chargedInReceipt(receipt: SettleResponse | null): number | null {
  return decimalIn(receipt?.extra?.channelState, "chargedCumulativeAmount");
}

/** What a receipt says was moved by a payment from a wallet; null when it says nothing. */
export function movedInReceipt(receipt: SettleResponse): number | null {
  return decimalIn(receipt, "amount");
}

function decimalIn(holder: unknown, member: string): number | null {
  if (typeof holder !== "object" || holder === null) return null;
  const text = (holder as Record<string, unknown>)[member];
  return typeof text === "string" && /^[0-9]{1,15}$/.test(text) && isCounter(Number(text))
    ? Number(text)
    : null;
}
