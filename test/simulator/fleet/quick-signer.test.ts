// A fleet's signer makes the bytes that the device's own makes.

import fc from "fast-check";
import { expect, test } from "vitest";
import type { SigningRequest } from "#core/ports";
import { COUNTER_MAX } from "#core/units";
import { nobleCurve } from "#node/key/native-curve";
import { openKey } from "#payment/key";
import { signWith } from "#payment/signer";
import { quickSigners } from "#simulator/fleet/lights/quick-signer";

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((all) => `0x${Buffer.from(all).toString("hex")}`);

const secret = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .filter((bytes) => bytes[0] !== 255 && bytes[31] !== 0);

const request: fc.Arbitrary<SigningRequest> = fc
  .record({
    scheme: fc.constantFrom("batch-settlement" as const, "exact" as const),
    chainId: fc.integer({ min: 1, max: 1_000_000 }),
    asset: hex(20),
    contract: hex(20),
    payTo: hex(20),
    channelId: hex(32),
    maxClaimable: fc.integer({ min: 1, max: COUNTER_MAX }),
    validBeforeSeconds: fc.integer({ min: 1, max: 4_294_967_295 }),
  })
  .map(({ scheme, chainId, asset, contract, payTo, channelId, maxClaimable, validBeforeSeconds }) => ({
    terms: {
      scheme,
      network: `eip155:${chainId}`,
      asset,
      contract,
      payTo,
      tokenName: "USD Coin",
      tokenVersion: "2",
    },
    channelId,
    maxClaimable,
    amountAtomic: 1,
    validBeforeSeconds: scheme === "exact" ? validBeforeSeconds : 0,
  }));

function signed(signer: ReturnType<typeof signWith>, what: SigningRequest): string {
  let bytes: Uint8Array | null = null;
  signer.sign(what, (signature) => {
    bytes = signature;
  });
  return Buffer.from(bytes!).toString("hex");
}

test("signs vouchers and authorizations on any chain as the device's own signer does", async () => {
  const signerOf = await quickSigners();
  const curve = nobleCurve();
  fc.assert(
    fc.property(secret, fc.array(request, { minLength: 1, maxLength: 4 }), (bytes, requests) => {
      const quick = signerOf(curve.openKey(bytes));
      const own = signWith(openKey(bytes));
      for (const one of requests) expect(signed(quick, one)).toBe(signed(own, one));
    }),
    { numRuns: 60 },
  );
});
