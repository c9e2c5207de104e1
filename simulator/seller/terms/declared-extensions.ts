/**
 * What a seller's 402 declares beside its terms: how the resource is called, for catalogues (bazaar), and which gas it
 * sponsors. Buyers send all of it back with each payment, so it is kept short.
 */
import type { SignedOffer } from "#market/signed-offer";
import { EIP2612_KEY, ERC20_APPROVAL_KEY } from "../claims/gas-sponsor.ts";
import type { GasSponsoring, PaymentWay } from "../sale/payment-ways.ts";

export type DeclaredExtensions = Readonly<Record<string, { readonly info: object; readonly schema: object }>>;

const DIALECT = "https://json-schema.org/draft/2020-12/schema";
const whole = { type: "integer", minimum: 0 };
const text = (pattern: string) => ({ type: "string", pattern });
const address = text("^0x[a-fA-F0-9]{40}$");
const digits = text("^[0-9]+$");
const bytes = text("^0x[a-fA-F0-9]+$");
const version = text("^[0-9]+(\\.[0-9]+)*$");

const SPONSORINGS: Readonly<Record<GasSponsoring, DeclaredExtensions>> = {
  eip2612: {
    [EIP2612_KEY]: {
      info: { description: "An EIP-2612 permit approves Permit2 within the payment.", version: "1" },
      schema: objectOf({
        ...{ from: address, asset: address, spender: address },
        ...{ amount: digits, nonce: digits, deadline: digits, signature: bytes, version },
      }),
    },
  },
  "erc20-approval": {
    [ERC20_APPROVAL_KEY]: {
      info: {
        description: "The seller pays the gas of an approval of Permit2 that the buyer has signed.",
        version: "1",
      },
      schema: objectOf({
        ...{ from: address, asset: address, spender: address },
        ...{ amount: digits, signedTransaction: bytes, version },
      }),
    },
  },
};

/** @param quantumAtomic one that is sold, for the example */
export function declaredExtensions(
  ways: readonly PaymentWay[],
  gasSponsoring: readonly GasSponsoring[],
  isDiscoverable: boolean,
  quantumAtomic: number,
): DeclaredExtensions {
  const sponsored = gasSponsoring.map((kind) => SPONSORINGS[kind]);
  const upto = ways.some(({ scheme }) => scheme === "upto");
  return Object.assign({}, isDiscoverable ? bazaar(quantumAtomic, upto) : {}, ...sponsored);
}

/** x402's signed offers, one for each entry of `accepts`. */
export function offerReceipt(offers: readonly SignedOffer[]): DeclaredExtensions {
  const offer = objectOf({
    format: { const: "eip712" },
    acceptIndex: whole,
    payload: { type: "object" },
    signature: bytes,
  });
  return {
    "offer-receipt": {
      info: { offers },
      schema: { $schema: DIALECT, ...objectOf({ offers: { type: "array", items: offer } }) },
    },
  };
}

function bazaar(quantumAtomic: number, upto: boolean): DeclaredExtensions {
  const queryParams = objectOf({ quantum: whole });
  const output = objectOf({
    account: { type: "string" },
    ...{ charged: whole, granted: whole, pricePerMillionUnits: whole, validUntilSeconds: whole },
  });
  const example = {
    account: `0x${"0".repeat(40)}`,
    ...{ charged: quantumAtomic, granted: 500, pricePerMillionUnits: 200_000, validUntilSeconds: 0 },
  };
  return {
    bazaar: {
      info: {
        input: { type: "http", method: "POST", queryParams: { quantum: quantumAtomic } },
        output: { type: "json", example },
      },
      schema: {
        $schema: DIALECT,
        type: "object",
        properties: {
          input: {
            type: "object",
            properties: {
              type: { const: "http" },
              method: { const: "POST" },
              queryParams: upto
                ? { ...queryParams, properties: { quantum: whole, units: { type: "integer", minimum: 1 } } }
                : queryParams,
            },
            required: ["type", "method", "queryParams"],
          },
          output: { type: "object", properties: { type: { const: "json" }, example: output } },
        },
        required: ["input"],
      },
    },
  };
}

function objectOf(properties: Readonly<Record<string, object>>) {
  return { type: "object", properties, required: Object.keys(properties) };
}
