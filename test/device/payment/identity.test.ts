import { createECDH, hkdfSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hmacSha256 } from "#node/key/native-hmac";
import { toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { LOGIN_WINDOW_SECONDS, loginToken, provenLogin, provenSealedLogin } from "#payment/login";
import { checkOffer } from "#payment/offer/offer";
import { tagKeyBetween } from "#payment/tag-key";
import type { OfferMessage } from "#protocol/messages";
import { readOffer } from "#protocol/messages";
import { sealedLogin } from "#protocol/sealed-login";
import vectors from "../../../device/protocol/vectors.json";

const keyOf = (fill: number) => openKey(new Uint8Array(32).fill(fill));
const device = keyOf(1);
const gateway = keyOf(2);
const stranger = keyOf(3);

describe("tag keys", () => {
  it("are the same on both sides, and equal node:crypto's ECDH and HKDF", () => {
    const secret = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => {
      const scalar = bytes.slice();
      scalar[0]! &= 0x7f;
      scalar[31]! |= 1;
      return scalar;
    });
    fc.assert(
      fc.property(secret, secret, (one, two) => {
        const [left, right] = [openKey(one), openKey(two)];
        const key = toHex(tagKeyBetween(left, right.publicKey));
        expect(toHex(tagKeyBetween(right, left.publicKey))).toBe(key);
        const ecdh = createECDH("secp256k1");
        ecdh.setPrivateKey(one);
        const shared = ecdh.computeSecret(right.publicKey);
        const other = hkdfSync("sha256", shared, "", "watt402 message tag 1", 32);
        expect(toHex(new Uint8Array(other))).toBe(key);
      }),
      { numRuns: 50 },
    );
  });

  it("differ for every pair, and refuse a point off the curve", () => {
    const keys = [tagKeyBetween(device, gateway.publicKey), tagKeyBetween(device, stranger.publicKey)];
    expect(toHex(keys[0]!)).not.toBe(toHex(keys[1]!));
    expect(() => tagKeyBetween(device, new Uint8Array(33).fill(2, 0, 1).fill(0xff, 1))).toThrow();
    expect(() => tagKeyBetween(device, new Uint8Array(0))).toThrow();
  });
});

describe("sealed login tokens", () => {
  const now = 1_800_000_000.7;
  const tagger = { hmac: hmacSha256, key: tagKeyBetween(device, gateway.publicKey) };
  const token = sealedLogin(tagger, device.address.slice(2), toHex(device.publicKey), now);

  it("prove the device to the gateway that shares its tag key, for a day either way", () => {
    expect(provenSealedLogin(token, device.address, gateway, now)).toBe(device.address);
    const late = 1_800_000_000 + LOGIN_WINDOW_SECONDS;
    expect(provenSealedLogin(token, device.address, gateway, late)).toBe(device.address);
    expect(provenSealedLogin(token, device.address, gateway, late + 1)).toBeNull();
    expect(provenSealedLogin(token, device.address, gateway, now - LOGIN_WINDOW_SECONDS - 1)).toBeNull();
  });

  it("prove nothing of another device, to another gateway, with another time or key, or with any character changed", () => {
    expect(provenSealedLogin(token, stranger.address, gateway, now)).toBeNull();
    expect(provenSealedLogin(token, device.address, stranger, now)).toBeNull();
    expect(provenLogin(token, device.address, gateway.address, now)).toBeNull();
    const forged = sealedLogin(tagger, device.address.slice(2), toHex(stranger.publicKey), now);
    expect(provenSealedLogin(forged, device.address, gateway, now)).toBeNull();
    const noPoint = `1800000000.0x02${"f".repeat(64)}.0x${"0".repeat(32)}`;
    expect(provenSealedLogin(noPoint, device.address, gateway, now)).toBeNull();
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === "5" ? "6" : "5";
      const changed = token.slice(0, at) + other + token.slice(at + 1);
      expect(provenSealedLogin(changed, device.address, gateway, 1_800_000_000)).toBeNull();
    }
  });
});

describe("login tokens", () => {
  const now = 1_800_000_000.7;
  const token = loginToken(device, gateway.address, now);

  it("prove the device to its gateway for a day either way, and no longer", () => {
    const prove = (at: number) => provenLogin(token, device.address, gateway.address, at);
    expect(prove(now)).toBe(device.address);
    expect(prove(1_800_000_000 + LOGIN_WINDOW_SECONDS)).toBe(device.address);
    expect(prove(1_800_000_000 - LOGIN_WINDOW_SECONDS)).toBe(device.address);
    expect(prove(1_800_000_001 + LOGIN_WINDOW_SECONDS)).toBeNull();
    expect(prove(1_799_999_999 - LOGIN_WINDOW_SECONDS)).toBeNull();
  });

  it("prove nothing for another device, another gateway, another time or another key", () => {
    expect(provenLogin(token, stranger.address, gateway.address, now)).toBeNull();
    expect(provenLogin(token, device.address, stranger.address, now)).toBeNull();
    expect(
      provenLogin(token.replace("1800000000", "1800000001"), device.address, gateway.address, now),
    ).toBeNull();
    const forged = loginToken(stranger, gateway.address, now);
    expect(provenLogin(forged, device.address, gateway.address, now)).toBeNull();
  });

  it("of any other form are refused without throwing", () => {
    const { address } = device;
    for (const wrong of [
      "",
      ".",
      `${token}0`,
      ` ${token}`,
      token.toUpperCase(),
      token.slice(0, -1),
      `-${token}`,
    ]) {
      expect(provenLogin(wrong, address, gateway.address, now)).toBeNull();
    }
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(provenLogin(text, address, gateway.address, now)).toBeNull();
      }),
    );
  });
});

describe("an offer checked by its content (P1)", () => {
  const message = vectors.json.find(({ leaf }) => leaf === "offer")!.message as OfferMessage;
  const channel = message.channel!;
  const check = (changes: Partial<OfferMessage>) =>
    checkOffer({ ...message, ...changes }, vectors.device.address);
  const refused = { offer: null, refusal: "channel-id-mismatch" };

  it("has its channel id recomputed, not read", () => {
    const checked = check({});
    expect(checked.offer!.channelId).toBe(vectors.channel.id);
    expect(checked.offer).toMatchObject({ quantumAtomic: 100, terms: { payTo: message.requirements.payTo } });
    const salted = check({ channel: { ...channel, salt: `0x${"09".repeat(32)}` } });
    expect(salted.offer!.channelId).not.toBe(vectors.channel.id);
  });

  it("is refused when the channel has another signer, seller or token, or is missing", () => {
    const other = `0x${"99".repeat(20)}`;
    expect(check({ channel: { ...channel, payerAuthorizer: other } })).toEqual(refused);
    expect(check({ channel: { ...channel, receiver: other } })).toEqual(refused);
    expect(check({ channel: { ...channel, token: other } })).toEqual(refused);
    expect(check({ channel: null })).toEqual(refused);
  });

  it("is refused on what is no EVM network", () => {
    for (const network of ["solana:x", "eip155:0", "eip155:1e3", ""]) {
      expect(check({ requirements: { ...message.requirements, network } })).toEqual({
        offer: null,
        refusal: "network-not-allowed",
      });
    }
  });

  it("means the same in capitals, and names the token as the contract under exact", () => {
    const upper = (text: string) => `0x${text.slice(2).toUpperCase()}`;
    const requirements = { ...message.requirements, payTo: upper(message.requirements.payTo) };
    expect(check({ requirements })).toEqual(check({}));
    const exact = check({ channel: null, requirements: { ...requirements, scheme: "exact" } });
    expect(exact.offer!.terms).toMatchObject({ scheme: "exact", contract: message.requirements.asset });
    expect(exact.offer!.channelId).toBe(vectors.exact.account);
  });

  it("never throws on an offer that its reader let pass", () => {
    const odd = fc.oneof(fc.constant({}), fc.dictionary(fc.constantFrom("name", "version"), fc.jsonValue()));
    fc.assert(
      fc.property(odd, fc.string({ maxLength: 64 }), fc.boolean(), (extra, network, exact) => {
        const scheme = exact ? "exact" : "batch-settlement";
        const changed = { ...message, requirements: { ...message.requirements, extra, network, scheme } };
        const read = readOffer(JSON.stringify(changed));
        expect(read.error).toBeNull();
        const checked = checkOffer(read.message!, vectors.device.address);
        expect(checked.offer === null).toBe(checked.refusal !== null);
      }),
    );
  });
});
