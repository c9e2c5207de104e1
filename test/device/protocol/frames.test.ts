import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Grant } from "#core/events";
import { WIRE_REFUSALS } from "#core/refusal";
import { decodeGrant, decodePay, encodeGrant, encodePay, type Pay } from "#protocol/frames";
import { isSealedFrame, sealFrame, type Tagger } from "#protocol/tag";

const uint = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 });

const pays: fc.Arbitrary<Pay> = fc.record({
  again: fc.boolean(),
  channelTag: uint(32),
  maxClaimable: uint(48),
  register: uint(48),
  validBeforeSeconds: fc.oneof(fc.constant(0), uint(32)),
  signature: fc
    .tuple(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.constantFrom(27, 28))
    .map(([rs, v]) => Uint8Array.from([...rs, v])),
});

const grants: fc.Arbitrary<Grant> = fc.record({
  refusal: fc.constantFrom(null, ...WIRE_REFUSALS),
  channelTag: uint(32),
  charged: uint(48),
  granted: uint(48),
  pricePerMillionUnits: uint(32),
  validUntilSeconds: uint(32),
});

const tagger: Tagger = {
  key: new Uint8Array(32).fill(7),
  hmac: (key, message) => createHmac("sha256", key).update(message).digest(),
};

const payBytes = pays.map((pay) => sealFrame(tagger, "pay", encodePay(pay)));
const grantBytes = grants.map((grant) => sealFrame(tagger, "grant", encodeGrant(grant)));
const frame = fc.oneof(
  payBytes.map((bytes) => ({ leaf: "pay", bytes })),
  grantBytes.map((bytes) => ({ leaf: "grant", bytes })),
);

describe("frames", () => {
  it("come back as they went, whatever their fields", () => {
    fc.assert(
      fc.property(pays, (pay) => {
        const bytes = sealFrame(tagger, "pay", encodePay(pay));
        expect(bytes.length).toBe(pay.validBeforeSeconds > 0 ? 103 : 99);
        expect(decodePay(bytes)).toEqual({ frame: pay, error: null });
      }),
    );
    fc.assert(
      fc.property(grants, (grant) => {
        const bytes = sealFrame(tagger, "grant", encodeGrant(grant));
        expect(bytes.length).toBe(42);
        expect(decodeGrant(bytes)).toEqual({ frame: grant, error: null });
      }),
    );
  });

  it("are read the same from a Buffer, as sockets give them", () => {
    fc.assert(
      fc.property(pays, (pay) => {
        const decoded = decodePay(Buffer.from(sealFrame(tagger, "pay", encodePay(pay))));
        expect([...decoded.frame!.signature]).toEqual([...pay.signature]);
      }),
      { numRuns: 20 },
    );
  });

  it("of another length are refused, by the codec and by the tag", () => {
    fc.assert(
      fc.property(frame, fc.integer({ min: 1, max: 110 }), ({ leaf, bytes }, change) => {
        const shorter = bytes.slice(0, Math.max(0, bytes.length - change));
        const longer = Uint8Array.from([...bytes, ...new Uint8Array(change)]);
        const decode = leaf === "pay" ? decodePay : decodeGrant;
        for (const wrong of [shorter, longer]) {
          expect(decode(wrong).error).toEqual(expect.any(String));
          expect(isSealedFrame(tagger, leaf, wrong)).toBe(false);
        }
      }),
    );
  });

  it("with any one bit flipped are found out by their tag", () => {
    fc.assert(
      fc.property(frame, ({ leaf, bytes }) => {
        expect(isSealedFrame(tagger, leaf, bytes)).toBe(true);
        for (let bit = 0; bit < 8 * bytes.length; bit++) {
          const flipped = bytes.slice();
          flipped[bit >> 3]! ^= 1 << (bit & 7);
          expect(isSealedFrame(tagger, leaf, flipped)).toBe(false);
        }
      }),
      { numRuns: 10 },
    );
  });

  it("made of arbitrary bytes never throw, and what is taken is encoded back the same", () => {
    const shaped = fc
      .tuple(
        fc.constantFrom(0x11, 0x12, 0x13, 0x14),
        fc.constantFrom(42, 99, 103, 193),
        fc.uint8Array({ minLength: 193, maxLength: 193 }),
      )
      .map(([first, length, bytes]) => Uint8Array.from([first, bytes[1]! & 1, ...bytes.slice(2, length)]));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), shaped), (bytes) => {
        const pay = decodePay(bytes);
        if (pay.frame !== null) expect(encodePay(pay.frame)).toEqual(bytes.slice(0, -16));
        const grant = decodeGrant(bytes);
        if (grant.frame !== null) expect(encodeGrant(grant.frame)).toEqual(bytes.slice(0, -16));
      }),
      { numRuns: 2_000 },
    );
  });

  it("say what is wrong with them", () => {
    const bytes = sealFrame(tagger, "pay", encodePay(fc.sample(pays, 1)[0]!));
    const changed = (index: number, value: number) => {
      const copy = bytes.slice();
      copy[index] = value;
      return decodePay(copy).error;
    };
    expect(decodePay(new Uint8Array()).error).toBe("PAY begins with 0x11, 0x13 or 0x14, found no byte");
    expect(changed(0, 0x12)).toBe("PAY begins with 0x11, 0x13 or 0x14, found 0x12");
    expect(changed(1, 2)).toBe("PAY flags may be 0 or 1, found 2");
    expect(changed(bytes.length - 17, 29)).toBe("PAY v may be 27 or 28, found 29");
    const grant = sealFrame(tagger, "grant", encodeGrant(fc.sample(grants, 1)[0]!));
    grant[1] = 13;
    expect(decodeGrant(grant).error).toBe("GRANT status 13 is not assigned");
    expect(decodeGrant(grant.slice(1)).error).toMatch(/^GRANT begins with 0x12/);
  });

  it("refuse to be made of fields that do not fit", () => {
    const [pay] = fc.sample(pays, 1);
    const [grant] = fc.sample(grants, 1);
    expect(() => encodePay({ ...pay!, maxClaimable: 2 ** 48 })).toThrow("expected 6 bytes unsigned");
    expect(() => encodePay({ ...pay!, register: -1 })).toThrow("byte 12");
    expect(() => encodePay({ ...pay!, register: 0.5 })).toThrow("byte 12");
    expect(() => encodePay({ ...pay!, signature: new Uint8Array(64) })).toThrow(
      "expected 65 bytes, found 64",
    );
    expect(() => encodeGrant({ ...grant!, pricePerMillionUnits: 2 ** 32 })).toThrow("byte 18");
    expect(() => encodeGrant({ ...grant!, charged: Number.NaN })).toThrow("byte 6");
  });
});

describe("tags (T1)", () => {
  it("hold for one leaf and one key only", () => {
    const bytes = sealFrame(tagger, "grant", Uint8Array.from([1, 2, 3]));
    expect(isSealedFrame(tagger, "grant", bytes)).toBe(true);
    expect(isSealedFrame(tagger, "pay", bytes)).toBe(false);
    expect(isSealedFrame({ ...tagger, key: new Uint8Array(32) }, "grant", bytes)).toBe(false);
    expect(isSealedFrame(tagger, "grant", new Uint8Array(16))).toBe(false);
    expect(isSealedFrame(tagger, "grant", new Uint8Array())).toBe(false);
  });
});
