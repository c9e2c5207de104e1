import { describe, expect, it } from "vitest";
import type { HostLink } from "#node/host";
import { hmacSha256 } from "#node/key/native-hmac";
import { openKey } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import { decodePay, encodePay, PAY_BYTES } from "#protocol/frames";
import { isSealedFrame, sealFrame } from "#protocol/tag";
import { CheatingLink } from "#simulator/fleet/lights/cheat";

const device = openKey(new Uint8Array(32).fill(7));
const gateway = openKey(new Uint8Array(32).fill(9));
const tagger = { hmac: hmacSha256, key: tagKeyBetween(device, gateway.publicKey) };

function payment(maxClaimable: number): Uint8Array {
  const signature = new Uint8Array(65).fill(5);
  signature[64] = 27;
  const pay = { again: true, channelTag: 1, maxClaimable, register: 10, validBeforeSeconds: 0, signature };
  return sealFrame(tagger, "pay", encodePay(pay));
}

function open() {
  const sent: { leaf: string; payload: Uint8Array }[] = [];
  let hear = (_leaf: string, _payload: Uint8Array) => {};
  const link: HostLink = {
    publish: (leaf, payload) => sent.push({ leaf, payload }),
    onMessage: (take) => {
      hear = take;
    },
    onChange: () => {},
    close: () => Promise.resolve(),
  };
  const cheating = new CheatingLink(link, device, gateway.publicKey, () => 0.5);
  const heard: string[] = [];
  cheating.onMessage((leaf) => heard.push(leaf));
  return { cheating, sent, heard, hear: (leaf: string) => hear(leaf, new Uint8Array(42)) };
}

const frameOf = (payload: Uint8Array) => decodePay(payload).frame!;

describe("a cheating light's link", () => {
  it("passes everything unchanged while it does not cheat", () => {
    const { cheating, sent, heard, hear } = open();
    const frame = payment(100);
    cheating.publish("state", new Uint8Array([1]), true);
    cheating.publish("pay", frame, false);
    hear("grant");
    expect(sent.map(({ leaf }) => leaf)).toEqual(["state", "pay"]);
    expect(sent[1]!.payload).toBe(frame);
    expect(heard).toEqual(["grant"]);
    expect(cheating.frames).toBe(0);
  });

  it("sends old payments again byte for byte, one for each new one, from a bounded store", () => {
    const { cheating, sent } = open();
    cheating.cheat = "replay-frames";
    const frames = Array.from({ length: 200 }, (_, index) => payment(100 + index));
    for (const frame of frames) cheating.publish("pay", frame, false);
    expect(sent).toHaveLength(399);
    expect(cheating.frames).toBe(199);
    const known = new Set(frames);
    expect(sent.every(({ payload }) => known.has(payload))).toBe(true);
    const last = sent.at(-1)!.payload;
    expect(frameOf(last).maxClaimable).toBeGreaterThanOrEqual(100 + 199 - 32);
    expect(frameOf(last).maxClaimable).toBeLessThan(299);
  });

  it("spends the same money again as if it were new, with a right tag, a few times for each payment", () => {
    const { cheating, sent, hear } = open();
    cheating.cheat = "double-spend";
    cheating.publish("pay", payment(100), false);
    // Every copy is answered as well: it must not answer the answers for ever.
    for (let grants = 0; grants < 10; grants++) hear("grant");
    expect(sent).toHaveLength(4);
    const again = sent[1]!.payload;
    expect(again).toHaveLength(PAY_BYTES);
    expect(isSealedFrame(tagger, "pay", again)).toBe(true);
    expect(frameOf(again)).toEqual({ ...frameOf(payment(100)), again: false, register: 11 });
    cheating.publish("pay", payment(200), false);
    hear("grant");
    expect(cheating.frames).toBe(6);
  });

  it("signs badly with a right tag, so that only a verifier can tell", () => {
    const { cheating, sent } = open();
    cheating.cheat = "bad-signatures";
    const frame = payment(100);
    cheating.publish("pay", frame, false);
    const { payload } = sent[0]!;
    expect(isSealedFrame(tagger, "pay", payload)).toBe(true);
    expect(frameOf(payload).signature).not.toEqual(frameOf(frame).signature);
    expect({ ...frameOf(payload), signature: null }).toEqual({ ...frameOf(frame), signature: null });
  });
});
