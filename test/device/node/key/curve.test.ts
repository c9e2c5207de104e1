// Who signed is one answer, by libsecp256k1 as by JavaScript: a gateway with the one and a gateway with the other let
// in the same lights.

import { secp256k1 } from "@noble/curves/secp256k1.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Curve, fastestCurve, nativeCurve, nobleCurve, signersOn } from "#node/key/native-curve";
import { openNativeKey } from "#node/key/native-key";
import { fromHex, type Hex, toHex, wordOfInteger } from "#payment/bytes";
import { openKey, recoverAddress } from "#payment/key";
import { loginToken, provenLogin } from "#payment/login";

const ORDER = secp256k1.Point.Fn.ORDER;
/** No x of a point: r = 5 recovers to nothing. */
const NO_X = 5n;

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const secret = fc.bigInt({ min: 1n, max: ORDER - 1n }).map(wordOfInteger);
const fits = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });

interface Signed {
  r: bigint;
  s: bigint;
  v: number;
  digest: Uint8Array;
}

/** What may be wrong with a signature, each by name; `other` is any number of 256 bits. */
const WRONGS: Record<string, (signed: Signed, other: bigint) => void> = {
  nothing: () => {},
  "the other parity": (signed) => {
    signed.v = 55 - signed.v;
  },
  "a high s, its mirror image": (signed) => {
    signed.s = ORDER - signed.s;
    signed.v = 55 - signed.v;
  },
  "a high s": (signed) => {
    signed.s = ORDER - signed.s;
  },
  "the lowest high s": (signed) => {
    signed.s = (ORDER >> 1n) + 1n;
  },
  "the highest low s": (signed) => {
    signed.s = ORDER >> 1n;
  },
  "another s": (signed, other) => {
    signed.s = other;
  },
  "another r": (signed, other) => {
    signed.r = other;
  },
  "another digest": (signed, other) => {
    signed.digest = wordOfInteger(other);
  },
  "a digest above the order": (signed, other) => {
    signed.digest = wordOfInteger(ORDER + (other % (2n ** 256n - ORDER)));
  },
  "a digest of zeros": (signed) => {
    signed.digest = new Uint8Array(32);
  },
  "a digest of 31 bytes": (signed) => {
    signed.digest = signed.digest.slice(1);
  },
  "a digest of 33 bytes": (signed) => {
    signed.digest = Uint8Array.of(0, ...signed.digest);
  },
  "no digest": (signed) => {
    signed.digest = new Uint8Array(0);
  },
};
const EDGES = {
  0: 0n,
  1: 1n,
  "the order": ORDER,
  "the order and 1": ORDER + 1n,
  "all ones": 2n ** 256n - 1n,
};
for (const [name, value] of [...Object.entries(EDGES), ["no x", NO_X] as const]) {
  WRONGS[`r ${name}`] = (signed) => {
    signed.r = value;
  };
  WRONGS[`s ${name}`] = (signed) => {
    signed.s = value;
  };
}
for (const v of [0, 1, 2, 26, 29, 30, 255]) {
  WRONGS[`v ${v}`] = (signed) => {
    signed.v = v;
  };
}

const native = signersOn(nativeCurve());
const noble = signersOn(nobleCurve());

function signedBy(key: Uint8Array, digest: Uint8Array): Signed {
  const signature = toHex(openKey(key).sign(digest));
  const [r, s, v] = [signature.slice(2, 66), signature.slice(66, 130), signature.slice(130)];
  return { r: BigInt(`0x${r}`), s: BigInt(`0x${s}`), v: Number.parseInt(v, 16), digest };
}

function bytesOf({ r, s, v }: Signed): Uint8Array {
  return Uint8Array.of(...wordOfInteger(r), ...wordOfInteger(s), v);
}

/** What all three say, which is one thing. */
function signerOf(digest: Uint8Array, signature: Uint8Array): Hex | null {
  const said = [native, noble, recoverAddress].map((recover) => recover(digest, signature));
  expect(said).toEqual([said[0], said[0], said[0]]);
  return said[0]!;
}

describe("who signed", () => {
  test.each(Object.keys(WRONGS))("is found or refused alike by both curves: %s", (wrong) => {
    fc.assert(
      fc.property(secret, bytes32, fits, (key, digest, other) => {
        const signed = signedBy(key, digest);
        WRONGS[wrong]!(signed, other);
        const signer = signerOf(signed.digest, bytesOf(signed));
        if (wrong === "nothing") expect(signer).toBe(openKey(key).address);
        else if (/^v|^a high s|^r (0|the|all|no)|^s (0|the|all)|3[13] bytes|^no digest|lowest/.test(wrong)) {
          expect(signer).toBeNull();
        } else expect(signer).not.toBe(openKey(key).address);
      }),
      { numRuns: 5 },
    );
  });

  test("is null when the signature has another length", () => {
    const { digest, ...signed } = signedBy(wordOfInteger(7n), new Uint8Array(32).fill(9));
    const whole = bytesOf({ ...signed, digest });
    for (let length = 0; length < whole.length; length++) {
      expect(signerOf(digest, whole.subarray(0, length))).toBeNull();
    }
    expect(signerOf(digest, Uint8Array.of(...whole, 0))).toBeNull();
  });

  test("of any bytes is one answer", () => {
    fc.assert(
      fc.property(bytes32, fc.uint8Array({ minLength: 65, maxLength: 65 }), (digest, signature) => {
        signature[64] = 27 + (signature[64]! & 1);
        signerOf(digest, signature);
      }),
      { numRuns: 60 },
    );
  });
});

test("a login counts for a gateway of either kind or for none, whatever is changed in it", () => {
  const now = 1_800_000_000;
  const [device, gateway] = [openNativeKey(wordOfInteger(21n)), openKey(wordOfInteger(22n))];
  const token = loginToken(device, gateway.address, now);
  const proven = (shown: string) =>
    [native, noble, recoverAddress].map((recover) =>
      provenLogin(shown, device.address, gateway.address, now, recover),
    );
  expect(proven(token)).toEqual([device.address, device.address, device.address]);
  fc.assert(
    fc.property(fc.nat({ max: token.length - 1 }), fc.constantFrom(..."0123456789abcdef"), (at, digit) => {
      const changed = token.slice(0, at) + digit + token.slice(at + 1);
      const expected = changed === token ? device.address : null;
      expect(proven(changed)).toEqual([expected, expected, expected]);
    }),
    { numRuns: 40 },
  );
});

describe("the curve", () => {
  test("is the native one on this platform, and says so", () => {
    expect(fastestCurve()).toMatchObject({ curve: { name: "native" }, reason: undefined });
  });

  test("is noble where the binary does not load, and the reason is reported", () => {
    const found = fastestCurve(() =>
      nativeCurve(() => {
        throw new Error("No native build was found\nfor this platform");
      }),
    );
    expect(found).toMatchObject({ curve: { name: "noble" }, reason: "No native build was found" });
  });

  test("is noble where the binary recovers wrongly: it is not believed untried", () => {
    const wrong = { ecdsaRecover: (..._: unknown[]) => new Uint8Array(65) };
    const found: { curve: Curve; reason: string | undefined } = fastestCurve(() => nativeCurve(() => wrong));
    expect(found.curve.name).toBe("noble");
    expect(found.reason).toContain("expected the key of a known signature");
  });

  test("opens one key of one secret, and shares nothing with what is no point of it", () => {
    const noPoint = fromHex(`0x02${"f".repeat(64)}`);
    for (const curve of [nativeCurve(), nobleCurve()]) {
      const key = curve.openKey(wordOfInteger(23n));
      expect(key.address).toBe(openKey(wordOfInteger(23n)).address);
      expect(() => key.shareWith(noPoint)).toThrow();
      expect(() => key.shareWith(new Uint8Array(0))).toThrow();
    }
  });
});
