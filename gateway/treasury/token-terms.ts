/**
 * A seller's terms held against the chain: would what the treasury and a device are to sign be worth anything there?
 *
 * Promise: a fault is one line that says what was expected and what was found; while the node does not answer nothing
 * is held against anybody; a chain is asked at most once in a few seconds, however many callers ask.
 */

import {
  type BaseError,
  type Hex,
  HttpRequestError,
  isAddressEqual,
  type PublicClient,
  parseAbi,
  TimeoutError,
} from "viem";
import { within } from "#node/deadline";
import { toHex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS, DEPOSIT_COLLECTOR_ADDRESS } from "#payment/channel";
import { type Domain, domainSeparator } from "#payment/eip712";
import { transferMethodOf, verifierOf } from "#payment/offer/offer";
import { PERMIT2_ADDRESS, PERMIT2_COLLECTOR_ADDRESS, spenderOf } from "#payment/permit2/permit";
import { hasCode } from "#payment/watt402-error";
import type { OfferedRequirements } from "#protocol/messages";
import type { EvmConnection } from "./evm-client.ts";

/** Why these requirements cannot be paid here, one line for people; empty when nothing is known against them. */
export type TermsTrouble = (requirements: OfferedRequirements) => Promise<string>;

const DOMAIN_ABI = parseAbi([
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
  "function eip712Domain() view returns (bytes1 fields, string name, string version, uint256 chainId, address verifyingContract, bytes32 salt, uint256[] extensions)",
  "function name() view returns (string)",
  "function version() view returns (string)",
]);

/** An answer serves all who ask within this time: as many as there are lights may ask at once. */
const ANSWER_LIFE_MS = 2_000;

/** A quote waits no longer for the chain: what it would say is said at the next one. */
const WAIT_MAX_MS = 3_000;

/** Terms remembered at once: as many as a gateway has sellers, schemes and tokens. Full means start again. */
const ANSWERS_MAX = 64;

/** What a delegated account's code begins with (EIP-7702). */
const DELEGATION = "0xef0100";

const WORD_MAX = 64;

/** @param treasury 0x and 40 hex digits  @param nowMs monotonic */
export function termsOnChain(connection: EvmConnection, treasury: string, nowMs: () => number): TermsTrouble {
  const answers = new Map<string, { readonly atMs: number; readonly trouble: Promise<string> }>();
  return async (requirements) => {
    const { scheme, network, asset, extra } = requirements;
    const { name, version, assetTransferMethod, verifyingContract } = extra;
    const key = JSON.stringify([
      scheme,
      network,
      asset,
      name,
      version,
      assetTransferMethod,
      verifyingContract,
    ]);
    const known = answers.get(key);
    if (known !== undefined && nowMs() - known.atMs < ANSWER_LIFE_MS) return known.trouble;
    // A node that does not answer says nothing against the terms.
    const trouble = within(WAIT_MAX_MS, troubleOf(connection, treasury, requirements), () => "");
    if (answers.size >= ANSWERS_MAX) answers.clear();
    answers.set(key, { atMs: nowMs(), trouble });
    return trouble;
  };
}

/** Never rejects. */
async function troubleOf(
  connection: EvmConnection,
  treasury: string,
  requirements: OfferedRequirements,
): Promise<string> {
  const { scheme, asset, extra } = requirements;
  try {
    const chainId = await connection.chainId();
    const { reader } = await connection.verified();
    const isBatch = scheme === "batch-settlement";
    const parts: [what: string, address: string][] = [["token", asset]];
    if (isBatch) parts.push(["batch-settlement contract", BATCH_SETTLEMENT_ADDRESS]);
    const isByPermit2 = transferMethodOf(requirements) === "permit2";
    if (isByPermit2) parts.push(["Permit2", PERMIT2_ADDRESS]);
    if (isByPermit2 && !isBatch) {
      parts.push([`x402's proxy of ${scheme}`, spenderOf({ kind: scheme === "upto" ? "upto" : "exact" })]);
    }
    const verifier = verifierOf(requirements);
    if (verifier !== null) parts.push(["verifying contract", verifier]);
    if (isBatch) {
      parts.push(["deposit collector", isByPermit2 ? PERMIT2_COLLECTOR_ADDRESS : DEPOSIT_COLLECTOR_ADDRESS]);
    }
    for (const [what, address] of parts) {
      if ((await codeAt(reader, address)) === "") {
        return `${what} ${address}: expected a contract on chain ${chainId}, found none; check seller.network and chain.rpc`;
      }
    }
    const code = await codeAt(reader, treasury);
    if (code !== "") return codeTrouble(treasury, code);
    // What it verifies under is said by those who settle with it, and by no function that all of its kind have.
    if (verifier !== null) return "";
    // Through Permit2 the token's domain is signed for only where the seller names it.
    if (isByPermit2 && typeof extra.name !== "string") return "";
    const domain = { name: String(extra.name), version: String(extra.version), chainId };
    return await domainTrouble(reader, { ...domain, verifyingContract: asset });
  } catch (error) {
    return hasCode(error, "wrong-chain") ? (error as Error).message : "";
  }
}

/** Empty where there is none. */
async function codeAt(reader: PublicClient, address: string): Promise<string> {
  return (await reader.getCode({ address: address as Hex })) ?? "";
}

/** Tokens and facilitators ask the code of an address about its signature, where it has any. */
function codeTrouble(treasury: string, code: string): string {
  const found = code.startsWith(DELEGATION)
    ? `code that delegates to 0x${code.slice(DELEGATION.length, DELEGATION.length + 40)} (EIP-7702)`
    : "a contract";
  return (
    `treasury ${treasury}: expected an account without code, found ${found}: the token would not take the ` +
    "treasury key's signature; end the delegation or name another treasury"
  );
}

/** A token that does not state its domain is believed to be as its seller says. */
async function domainTrouble(reader: PublicClient, domain: Domain): Promise<string> {
  const token = { address: domain.verifyingContract as Hex, abi: DOMAIN_ABI } as const;
  const separator = await answered(reader.readContract({ ...token, functionName: "DOMAIN_SEPARATOR" }));
  if (separator === toHex(domainSeparator(domain))) return "";
  const own = await ownDomain(reader, domain);
  if (separator === null && (own === null || isSame(own, domain))) return "";
  const expected = own === null || isSame(own, domain) ? `one of separator ${separator}` : shown(own);
  return (
    `token ${domain.verifyingContract}: expected EIP-712 domain ${expected} as the token says, ` +
    `found ${shown(domain)} in the seller's terms; the token would take no signature under it`
  );
}

async function ownDomain(
  reader: PublicClient,
  { verifyingContract, chainId }: Domain,
): Promise<Domain | null> {
  const token = { address: verifyingContract as Hex, abi: DOMAIN_ABI } as const;
  const whole = await answered(reader.readContract({ ...token, functionName: "eip712Domain" }));
  if (whole !== null) {
    return { name: whole[1], version: whole[2], chainId: Number(whole[3]), verifyingContract: whole[4] };
  }
  const name = await answered(reader.readContract({ ...token, functionName: "name" }));
  const version = await answered(reader.readContract({ ...token, functionName: "version" }));
  return name === null || version === null ? null : { name, version, chainId, verifyingContract };
}

function isSame(left: Domain, right: Domain): boolean {
  return (
    left.name === right.name &&
    left.version === right.version &&
    left.chainId === right.chainId &&
    isAddressEqual(left.verifyingContract as Hex, right.verifyingContract as Hex)
  );
}

function shown({ name, version }: Domain): string {
  return `"${name.slice(0, WORD_MAX)}" version "${version.slice(0, WORD_MAX)}"`;
}

/** Null when the contract has no such function, or answers it otherwise; rejects when the node does not answer. */
async function answered<Value>(reading: Promise<Value>): Promise<Value | null> {
  try {
    return await reading;
  } catch (error) {
    const isAway = (error as BaseError).walk?.(
      (cause) => cause instanceof HttpRequestError || cause instanceof TimeoutError,
    );
    if (isAway) throw error;
    return null;
  }
}
