/**
 * What lets Permit2 move a wallet's tokens: an EIP-2612 permit, or a signed transaction that calls the token's `approve`.
 *
 * Promise: the only spender is Permit2, which moves nothing without a signature of its own; amounts are bounded, never
 * unlimited; a transaction calls `approve` of the token and sends no ether.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes, hexToBytes } from "@noble/hashes/utils.js";
import type { Token } from "../authorization.ts";
import { fromHex, type Hex, toHex, wordOfAddress, wordOfInteger } from "../bytes.ts";
import { domainSeparator, hashStruct, typedDataDigest, typeHash } from "../eip712.ts";
import { PERMIT2_ADDRESS } from "./permit.ts";

/** EIP-2612 members; the spender is always Permit2. */
export interface TokenPermit {
  readonly owner: string;
  readonly amountAtomic: number;
  /** The token's own counter for this owner. */
  readonly nonce: number;
  readonly deadlineSeconds: number;
}

/** An EIP-1559 transaction that approves Permit2. */
export interface ApproveTransaction {
  readonly chainId: number;
  readonly token: string;
  readonly amountAtomic: number;
  /** The owner's transaction count. */
  readonly nonce: number;
  readonly maxFeePerGas: number;
  readonly maxPriorityFeePerGas: number;
}

/** Gas of an `approve`: with its price, the most that a transaction can cost its sender. */
export const APPROVE_GAS = 70_000;

const PERMIT_TYPE_HASH = typeHash(
  "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)",
);
/** First four bytes of keccak256("approve(address,uint256)"). */
const APPROVE_SELECTOR = hexToBytes("095ea7b3");
const EIP1559_TYPE = Uint8Array.of(0x02);

/** EIP-2612: what an owner signs so that anyone may tell the token. */
export function tokenPermitDigest(token: Token, permit: TokenPermit): Uint8Array {
  const separator = domainSeparator({
    name: token.name,
    version: token.version,
    chainId: token.chainId,
    verifyingContract: token.address,
  });
  const struct = hashStruct(PERMIT_TYPE_HASH, [
    wordOfAddress(permit.owner),
    wordOfAddress(PERMIT2_ADDRESS),
    wordOfInteger(permit.amountAtomic),
    wordOfInteger(permit.nonce),
    wordOfInteger(permit.deadlineSeconds),
  ]);
  return typedDataDigest(separator, struct);
}

/** EIP-1559: what the owner signs. */
export function approveDigest(transaction: ApproveTransaction): Uint8Array {
  return keccak_256(concatBytes(EIP1559_TYPE, list(membersOf(transaction))));
}

/** The transaction as a node takes it. */
export function signedApprove(transaction: ApproveTransaction, signature: Uint8Array): Hex {
  const [r, s] = [signature.subarray(0, 32), signature.subarray(32, 64)];
  const signed = [...membersOf(transaction), number(signature[64]! - 27), text(trimmed(r)), text(trimmed(s))];
  return toHex(concatBytes(EIP1559_TYPE, list(signed)));
}

function membersOf(transaction: ApproveTransaction): Uint8Array[] {
  const { chainId, token, amountAtomic, nonce, maxFeePerGas, maxPriorityFeePerGas } = transaction;
  const call = concatBytes(APPROVE_SELECTOR, wordOfAddress(PERMIT2_ADDRESS), wordOfInteger(amountAtomic));
  return [
    number(chainId),
    number(nonce),
    number(maxPriorityFeePerGas),
    number(maxFeePerGas),
    number(APPROVE_GAS),
    text(fromHex(token)),
    number(0),
    text(call),
    list([]),
  ];
}

// ---- RLP (Ethereum yellow paper, appendix B) ----

const TEXT = 0x80;
const LIST = 0xc0;
const SHORT_MAX = 55;

function number(value: number): Uint8Array {
  return text(trimmed(wordOfInteger(value)));
}

function text(bytes: Uint8Array): Uint8Array {
  return bytes.length === 1 && bytes[0]! < TEXT ? bytes : concatBytes(head(TEXT, bytes.length), bytes);
}

function list(items: readonly Uint8Array[]): Uint8Array {
  const body = concatBytes(...items);
  return concatBytes(head(LIST, body.length), body);
}

function head(kind: number, length: number): Uint8Array {
  if (length <= SHORT_MAX) return Uint8Array.of(kind + length);
  const size = trimmed(wordOfInteger(length));
  return concatBytes(Uint8Array.of(kind + SHORT_MAX + size.length), size);
}

/** A number's bytes without the zeros before it. */
function trimmed(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? new Uint8Array(0) : bytes.subarray(first);
}
