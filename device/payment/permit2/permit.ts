/**
 * Permit2 signature transfers, as x402 uses them: an owner permits one spender one amount of a token, once, and binds
 * by a witness what it is for.
 *
 * Promise: digests are those of Permit2's contract and of x402's proxies and deposit collector, on every chain; a nonce
 * is admitted once, whatever amount and end it was signed with.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { type Hex, wordOfAddress, wordOfBytes32, wordOfInteger } from "../bytes.ts";
import { hashStruct, typedDataDigest, typeHash } from "../eip712.ts";

/** Permit2 itself: what a token's owner approves, and the contract that verifies. */
export const PERMIT2_ADDRESS: Hex = "0x000000000022d473030f116ddee9f6b43ac78ba3";
/** Spenders of x402: its proxies of the schemes exact and upto, its deposit collector of batch-settlement. */
export const EXACT_PROXY_ADDRESS: Hex = "0x402085c248eea27d92e8b30b2c58ed07f9e20001";
export const UPTO_PROXY_ADDRESS: Hex = "0x4020a4f3b7b90cca423b9fabcc0ce57c6c240002";
export const PERMIT2_COLLECTOR_ADDRESS: Hex = "0x4020425faf3b746c082c2f942b4e5159887b0005";

/** What the spender may do with the tokens: pay a seller, pay it as one facilitator decides, or fill a channel. */
export type Witness =
  | { readonly kind: "exact"; readonly to: string }
  | { readonly kind: "upto"; readonly to: string; readonly facilitator: string }
  | { readonly kind: "deposit"; readonly channelId: string };

/** Members of PermitWitnessTransferFrom; a witness's validAfter is always 0. */
export interface Permit {
  readonly chainId: number;
  readonly token: string;
  readonly amountAtomic: number;
  /** 32 bytes. */
  readonly nonce: string;
  readonly deadlineSeconds: number;
  readonly witness: Witness;
}

const SPENDERS: Readonly<Record<Witness["kind"], Hex>> = {
  exact: EXACT_PROXY_ADDRESS,
  upto: UPTO_PROXY_ADDRESS,
  deposit: PERMIT2_COLLECTOR_ADDRESS,
};

const WITNESS_TYPES: Readonly<Record<Witness["kind"], string>> = {
  exact: "Witness(address to,uint256 validAfter)",
  upto: "Witness(address to,address facilitator,uint256 validAfter)",
  deposit: "DepositWitness(bytes32 channelId)",
};

const DOMAIN_TYPE_HASH = typeHash("EIP712Domain(string name,uint256 chainId,address verifyingContract)");
const DOMAIN_NAME_HASH = keccak_256(utf8ToBytes("Permit2"));
const TOKEN_TYPE = "TokenPermissions(address token,uint256 amount)";
const TOKEN_TYPE_HASH = typeHash(TOKEN_TYPE);
const ZERO_WORD = wordOfInteger(0);

const PERMIT_TYPE_HASHES: Readonly<Record<Witness["kind"], Uint8Array>> = {
  exact: permitTypeHash("exact"),
  upto: permitTypeHash("upto"),
  deposit: permitTypeHash("deposit"),
};

/** Who may use a permit with this witness. */
export function spenderOf({ kind }: Pick<Witness, "kind">): Hex {
  return SPENDERS[kind];
}

/** What a token's owner signs for one transfer. */
export function permitDigest(permit: Permit): Uint8Array {
  const { chainId, token, amountAtomic, nonce, deadlineSeconds, witness } = permit;
  const separator = hashStruct(DOMAIN_TYPE_HASH, [
    DOMAIN_NAME_HASH,
    wordOfInteger(chainId),
    wordOfAddress(PERMIT2_ADDRESS),
  ]);
  const struct = hashStruct(PERMIT_TYPE_HASHES[witness.kind], [
    hashStruct(TOKEN_TYPE_HASH, [wordOfAddress(token), wordOfInteger(amountAtomic)]),
    wordOfAddress(spenderOf(witness)),
    wordOfBytes32(nonce),
    wordOfInteger(deadlineSeconds),
    hashStruct(typeHash(WITNESS_TYPES[witness.kind]), witnessWords(witness)),
  ]);
  return typedDataDigest(separator, struct);
}

function witnessWords(witness: Witness): readonly Uint8Array[] {
  switch (witness.kind) {
    case "exact":
      return [wordOfAddress(witness.to), ZERO_WORD];
    case "upto":
      return [wordOfAddress(witness.to), wordOfAddress(witness.facilitator), ZERO_WORD];
    case "deposit":
      return [wordOfBytes32(witness.channelId)];
  }
}

/** EIP-712 `encodeType`: the struct itself, then those it refers to, by name; both witness types sort as written here. */
function permitTypeHash(kind: Witness["kind"]): Uint8Array {
  const witness = WITNESS_TYPES[kind];
  const name = witness.slice(0, witness.indexOf("("));
  const referred = name < "TokenPermissions" ? witness + TOKEN_TYPE : TOKEN_TYPE + witness;
  return typeHash(
    `PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,${name} witness)${referred}`,
  );
}
