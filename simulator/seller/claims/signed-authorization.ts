/**
 * Whether a transfer was signed by its payer: checked here only where no facilitator will do it, for a payment that the
 * chain has seen already.
 *
 * Promise: what is found signed names this token and, by Permit2, x402's own spender. A smart wallet's signature is not
 * recognised.
 */
import { authorizationTypes, permit2WitnessTypes, uptoPermit2WitnessTypes } from "@x402/evm";
import { type Address, type Hex, verifyTypedData } from "viem";
import {
  EXACT_PERMIT2_PROXY_ADDRESS,
  PERMIT2_ADDRESS,
  UPTO_PERMIT2_PROXY_ADDRESS,
} from "#simulator/chain/deploy";
import type { TransferParts } from "../sale/transfer-sale.ts";
import type { ChainConnection } from "./chain-connection.ts";

interface ByAuthorization {
  readonly signature: Hex;
  readonly authorization: Readonly<
    Record<"from" | "to" | "nonce", Hex> & Record<"value" | "validAfter" | "validBefore", string>
  >;
}

interface ByPermit2 {
  readonly signature: Hex;
  readonly permit2Authorization: {
    readonly from: Hex;
    readonly permitted: { readonly amount: string };
    readonly nonce: string;
    readonly deadline: string;
    readonly witness: { readonly to: Hex; readonly facilitator?: Hex; readonly validAfter: string };
  };
}

type Connection = Pick<ChainConnection, "chainId" | "tokenName" | "tokenVersion">;

export function authorizationCheck(
  connection: Connection,
  token: Address,
): TransferParts["authorizationIsSigned"] {
  return async ({ payload }) => {
    try {
      return "permit2Authorization" in payload
        ? await isPermitSigned(connection, token, payload as unknown as ByPermit2)
        : await isAuthorizationSigned(connection, token, payload as unknown as ByAuthorization);
    } catch {
      return false;
    }
  };
}

function isAuthorizationSigned(
  { chainId, tokenName: name, tokenVersion: version }: Connection,
  token: Address,
  { signature, authorization }: ByAuthorization,
): Promise<boolean> {
  const { from, to, value, validAfter, validBefore, nonce } = authorization;
  return verifyTypedData({
    address: from,
    domain: { name, version, chainId, verifyingContract: token },
    types: authorizationTypes,
    primaryType: "TransferWithAuthorization",
    message: {
      from,
      to,
      value: BigInt(value),
      validAfter: BigInt(validAfter),
      validBefore: BigInt(validBefore),
      nonce,
    },
    signature,
  });
}

function isPermitSigned(
  { chainId }: Connection,
  token: Address,
  { signature, permit2Authorization }: ByPermit2,
): Promise<boolean> {
  const { from, permitted, nonce, deadline, witness } = permit2Authorization;
  const { to, facilitator } = witness;
  const common = {
    permitted: { token, amount: BigInt(permitted.amount) },
    nonce: BigInt(nonce),
    deadline: BigInt(deadline),
  };
  const validAfter = BigInt(witness.validAfter);
  const signed = {
    address: from,
    domain: { name: "Permit2", chainId, verifyingContract: PERMIT2_ADDRESS },
    primaryType: "PermitWitnessTransferFrom",
    signature,
  } as const;
  return facilitator === undefined
    ? verifyTypedData({
        ...signed,
        types: permit2WitnessTypes,
        message: { ...common, spender: EXACT_PERMIT2_PROXY_ADDRESS, witness: { to, validAfter } },
      })
    : verifyTypedData({
        ...signed,
        types: uptoPermit2WitnessTypes,
        message: { ...common, spender: UPTO_PERMIT2_PROXY_ADDRESS, witness: { to, facilitator, validAfter } },
      });
}
