// A device as its gateway hears it: its messages made by hand, with the gateway's sessions before it.

import { expect } from "vitest";
import type { Grant } from "#core/events";
import type { Refusal } from "#core/refusal";
import type { SessionParts } from "#gateway/purchase/session";
import { Sessions } from "#gateway/purchase/sessions";
import { fromHex, toHex } from "#payment/bytes";
import { type Key, openKey } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import { decodeGrant, encodePay } from "#protocol/frames";
import { type OfferMessage, readOffer } from "#protocol/messages";
import { isSealedFrame, openJson, sealFrame, sealJson, type Tagger } from "#protocol/tag";
import type { Leaf } from "#protocol/topics";
import { type Bench, clientOf, hmac, newKey, payOf, routerOf, UNITS } from "./fixtures.ts";

export interface Said {
  readonly device: string;
  readonly leaf: Leaf;
  readonly payload: Uint8Array;
  readonly retained: boolean;
}

export function open(
  bench: Bench,
  instead: Partial<SessionParts> = {},
  limits = { devicesMax: 100, purchasesMax: 100 },
) {
  const said: Said[] = [];
  const key = openKey(fromHex(`0x${"22".repeat(32)}`));
  const counts = { hellos: 0, offers: 0, pays: 0, grants: 0, refusals: 0, dropped: 0 };
  const parts: SessionParts = {
    ...bench.parts(),
    findToken: () => bench.parts(),
    key,
    hmac,
    devices: { publish: (device, leaf, payload, retained) => said.push({ device, leaf, payload, retained }) },
    router: routerOf(clientOf(bench.seller)),
    counts,
    ...instead,
  };
  const sessions = new Sessions(parts, { receive: async () => {}, refuse: () => {} }, limits);
  const settled = () => new Promise((resolve) => setTimeout(resolve, 20));
  return { said, sessions, counts, gateway: key, settled };
}

export class Speaker {
  readonly key: Key;
  readonly device: string;
  readonly tagger: Tagger;
  wantedUnits = UNITS;

  constructor(gateway: Key, key = newKey()) {
    this.key = key;
    this.device = key.address.slice(2);
    this.tagger = { hmac, key: tagKeyBetween(key, gateway.publicKey) };
  }

  hello(): Uint8Array {
    return sealJson(this.tagger, "hello", {
      v: 1,
      publicKey: toHex(this.key.publicKey),
      model: "m",
      firmware: "1",
      meter: "none",
      unit: "mWh",
      wantedUnits: this.wantedUnits,
      register: 0,
    });
  }

  pay(offer: OfferMessage, channelId: string, maxClaimable: number): Uint8Array {
    const channel = { id: channelId, device: this.device, config: offer.channel, charged: offer.charged };
    return sealFrame(this.tagger, "pay", encodePay(payOf(this.key, channel as never, maxClaimable)));
  }

  state(refusal: Refusal | null): Uint8Array {
    return sealJson(this.tagger, "state", {
      v: 1,
      status: "online",
      register: 0,
      credit: 0,
      powerMilliwatts: 0,
      levelPercent: 0,
      wantedPercent: 100,
      starved: refusal !== null,
      refusal,
      channelId: null,
      charged: 0,
      maxClaimable: 0,
      granted: 0,
      epoch: 1,
    });
  }

  offersIn(said: readonly Said[]): OfferMessage[] {
    return said
      .filter(({ leaf, device }) => leaf === "offer" && device === this.device)
      .map(({ payload }) => readOffer(openJson(this.tagger, "offer", payload)!).message!);
  }

  grantsIn(said: readonly Said[]): Grant[] {
    return said
      .filter(({ leaf, device }) => leaf === "grant" && device === this.device)
      .map(({ payload }) => {
        expect(isSealedFrame(this.tagger, "grant", payload)).toBe(true);
        return decodeGrant(payload).frame!;
      });
  }
}

export async function enrolled(
  bench: Bench,
  instead: Partial<SessionParts> = {},
  limits?: { devicesMax: number; purchasesMax: number },
) {
  const opened = open(bench, instead, limits);
  const speaker = new Speaker(opened.gateway);
  opened.sessions.receive(speaker.device, "hello", speaker.hello());
  await opened.settled();
  const offer = speaker.offersIn(opened.said)[0]!;
  const id = [...bench.ledger.channels.values()].find((channel) => channel.device === speaker.device)!.id;
  return { ...opened, speaker, offer, id };
}
