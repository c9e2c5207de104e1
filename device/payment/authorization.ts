/**
 * Accounts and nonces of purchases from a device's own wallet (schemes exact and upto), and EIP-3009 authorizations.
 *
 * Promise: a purchase has one nonce for ever, derived from the device's account and where on it the
 * purchase begins; the contract admits a nonce once, so however often it is signed or sent, it is paid once.
 */
import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { type Hex, toHex, wordOfAddress, wordOfBytes32, wordOfInteger } from "./bytes.ts";
import { domainSeparator, hashStruct, typedDataDigest, typeHash } from "./eip712.ts";

/** How tokens are moved: x402's `assetTransferMethod`. */
export type TransferMethod = "eip3009" | "permit2";

export interface Token {
  readonly chainId: number;
  /** The token's; or of a contract that verifies in its place, as Circle's GatewayWallet, that one's. */
  readonly address: string;
  /** EIP-712 name and version of the token's domain. */
  readonly name: string;
  readonly version: string;
}

/** EIP-3009 members; validAfter is always 0. */
export interface Authorization {
  readonly from: string;
  readonly to: string;
  readonly value: number;
  readonly validBeforeSeconds: number;
  readonly nonce: Hex;
}

const TRANSFER_TYPE_HASH = typeHash(
  "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
);
const RECEIVE_TYPE_HASH = typeHash(
  "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)",
);
/** Each has nonces of its own: what was signed by one is nothing under the other. */
const ACCOUNT_DOMAINS = {
  eip3009: utf8ToBytes("watt402 exact account"),
  permit2: utf8ToBytes("watt402 permit2 account"),
} as const;
const NONCE_DOMAIN = utf8ToBytes("watt402 exact nonce");

/**
 * The account that takes a channel's place under `exact` and `upto`: what one device pays one seller in one token.
 * @param epoch an account's generation, 0 for the first: raised when counters must begin anew
 * @param token `verifier`: the contract that verifies in the token's place, 0x and 40 hex digits
 * @param method who checks the nonces: the token or that contract, or Permit2
 */
export function exactAccountOf(
  device: string,
  payTo: string,
  token: Pick<Token, "chainId" | "address"> & { readonly verifier?: string },
  epoch: number,
  method: TransferMethod = "eip3009",
): Hex {
  return toHex(
    keccak_256(
      concatBytes(
        ACCOUNT_DOMAINS[method],
        wordOfAddress(device),
        wordOfAddress(payTo),
        wordOfInteger(token.chainId),
        wordOfAddress(token.address),
        wordOfInteger(epoch),
        ...(token.verifier === undefined ? [] : [wordOfAddress(token.verifier)]),
      ),
    ),
  );
}

/**
 * The nonce of the purchase that begins where `chargedAtomic` was charged on this account. Keyed by the
 * beginning, so that two sizes of the same purchase can never both be paid.
 */
export function purchaseNonce(account: string, chargedAtomic: number): Hex {
  return toHex(keccak_256(concatBytes(NONCE_DOMAIN, wordOfBytes32(account), wordOfInteger(chargedAtomic))));
}

/** EIP-3009 TransferWithAuthorization: what a device signs for one exact purchase. */
export function transferDigest(token: Token, authorization: Authorization): Uint8Array {
  return digest(TRANSFER_TYPE_HASH, token, authorization);
}

/** EIP-3009 ReceiveWithAuthorization: what a treasury signs for one deposit. */
export function receiveDigest(token: Token, authorization: Authorization): Uint8Array {
  return digest(RECEIVE_TYPE_HASH, token, authorization);
}

/** Nonce of a deposit by the EIP-3009 collector: keccak256(abi.encode(channelId, salt)). */
export function depositNonce(channelId: string, salt: number): Hex {
  return toHex(keccak_256(concatBytes(wordOfBytes32(channelId), wordOfInteger(salt))));
}

function digest(hashOfType: Uint8Array, token: Token, authorization: Authorization): Uint8Array {
  const separator = domainSeparator({
    name: token.name,
    version: token.version,
    chainId: token.chainId,
    verifyingContract: token.address,
  });
  const struct = hashStruct(hashOfType, [
    wordOfAddress(authorization.from),
    wordOfAddress(authorization.to),
    wordOfInteger(authorization.value),
    wordOfInteger(0),
    wordOfInteger(authorization.validBeforeSeconds),
    wordOfBytes32(authorization.nonce),
  ]);
  return typedDataDigest(separator, struct);
}
