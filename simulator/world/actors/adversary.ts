/**
 * The other clients of the broker: forgers, replayers, other lights' messages, and a gateway turned bad.
 *
 * Promise: forgeries carry a tag that is not theirs; hostile offers carry the right one and break exactly
 * one rule of the device's policy each.
 */

import type { Grant } from "#core/events";
import { hmacSha256 } from "#node/key/native-hmac";
import { tagKeyBetween } from "#payment/tag-key";
import { decodeGrant, encodeGrant } from "#protocol/frames";
import { type OfferMessage, readOffer } from "#protocol/messages";
import { parseJson } from "#protocol/nesting";
import { peekJson, sealFrame, sealJson, type Tagger } from "#protocol/tag";
import { LEAVES, type Leaf } from "#protocol/topics";
import { type Draw, pick } from "../../city/random.ts";
import type { Faults, HostileKind } from "../engine/faults.ts";
import { keyOf } from "../engine/keys.ts";
import type { Network } from "../surroundings/faulty-network.ts";

/** Messages remembered of one light and leaf. */
const HEARD_MAX = 24;
const LEAVES_FORGED: readonly Leaf[] = ["grant", "offer", "pay", "hello", "reading"];
const STRANGER = `0x${"5e".repeat(20)}`;
/** Rungs that a lie adds to what was charged: beyond any reserve. */
const LIE_ATOMIC = 1_000_000;

export interface Ceilings {
  /** Atomic units per million metered units. */
  readonly priceCeiling: number;
  readonly quantumMaxAtomic: number;
}

interface AdversaryParts {
  readonly network: Network;
  readonly faults: Faults;
  readonly random: Draw;
  /** Names of the lights' keys by device. */
  readonly names: ReadonlyMap<string, string>;
  /**
   * Whether a light has a memory of its channel to hold a counter against; one in its first life has only
   * its gateway's word for where its ladder begins.
   */
  readonly knowsItsChannel: (device: string) => boolean;
  /** What every light of this world refuses to exceed. */
  readonly ceilings: Ceilings;
  /** Marks a false message under the right tag. */
  readonly hostile: (payload: Uint8Array) => void;
}

export class Adversary {
  private readonly parts: AdversaryParts;
  private readonly devices: readonly string[];
  private readonly heard = new Map<string, Uint8Array[]>();

  constructor(parts: AdversaryParts) {
    this.parts = parts;
    this.devices = [...parts.names.keys()];
  }

  /** Everything published passes by here. */
  overhear(device: string, leaf: Leaf, payload: Uint8Array): void {
    const key = `${device}/${leaf}`;
    const messages = this.heard.get(key) ?? [];
    messages.push(payload);
    if (messages.length > HEARD_MAX) messages.shift();
    this.heard.set(key, messages);
  }

  /** A message in the right form, sealed with a key of the forger's own. */
  forge(): void {
    const { random } = this.parts;
    const device = pick(this.devices, random);
    const leaf = pick(LEAVES_FORGED, random);
    const original = this.latest(device, leaf);
    if (original === undefined) return;
    const tagger: Tagger = { hmac: hmacSha256, key: hmacSha256(original.subarray(0, 64), original) };
    const isFrame = leaf === "grant" || leaf === "pay";
    const forged = isFrame
      ? sealFrame(tagger, leaf, this.bentFrame(leaf, original))
      : sealJson(tagger, leaf, parseJson(peekJson(original)!) as object);
    this.parts.faults.fired("forged-publish");
    this.inject(device, leaf, forged, true);
  }

  /** A message of another light, word for word. */
  mixUp(): void {
    const { random } = this.parts;
    const [from, to] = [pick(this.devices, random), pick(this.devices, random)];
    const leaf = pick(LEAVES_FORGED, random);
    const message = this.latest(from, leaf);
    if (from === to || message === undefined) return;
    this.parts.faults.fired("foreign-publish");
    this.inject(to, leaf, message, true);
  }

  /** A message of this light's own past. */
  replay(): void {
    const { random } = this.parts;
    const device = pick(this.devices, random);
    const leaf = pick(LEAVES_FORGED, random);
    const messages = this.heard.get(`${device}/${leaf}`);
    if (messages === undefined) return;
    this.parts.faults.fired("replayed-publish");
    this.inject(device, leaf, pick(messages, random), false);
  }

  /** An offer of long ago becomes the retained one. */
  makeStale(): void {
    const { network, faults, random } = this.parts;
    const device = pick(this.devices, random);
    const offers = this.heard.get(`${device}/offer`);
    if (offers === undefined || offers.length < 2) return;
    faults.fired("stale-retained");
    network.retain(device, "offer", offers[0]!, false);
    network.toLight(device, "offer", offers[0]!, false);
  }

  /** The gateway's own tag, and a lie. */
  lie(kind: HostileKind): void {
    const { network, faults, random } = this.parts;
    const device = pick(this.devices, random);
    if (kind === "hostile-charged" && !this.parts.knowsItsChannel(device)) return;
    const tagger: Tagger = {
      hmac: hmacSha256,
      key: tagKeyBetween(keyOf("gateway"), keyOf(this.parts.names.get(device)!).publicKey),
    };
    const leaf = kind === "hostile-grant" ? "grant" : "offer";
    const original = this.latest(device, leaf);
    if (original === undefined) return;
    const lie =
      leaf === "grant"
        ? sealFrame(tagger, leaf, encodeGrant(lyingGrant(decodeGrant(original).frame!)))
        : sealJson(tagger, leaf, bent(readOffer(peekJson(original)!).message!, kind, this.parts.ceilings));
    this.parts.hostile(lie);
    faults.fired(kind);
    network.toLight(device, leaf, lie, false);
  }

  private latest(device: string, leaf: Leaf): Uint8Array | undefined {
    return this.heard.get(`${device}/${leaf}`)?.at(-1);
  }

  /** The frame without its tag, promising or asking for more. */
  private bentFrame(leaf: Leaf, original: Uint8Array): Uint8Array {
    const bare = original.slice(0, original.length - 16);
    if (leaf === "grant") {
      const grant = decodeGrant(original).frame!;
      return encodeGrant({ ...grant, refusal: null, granted: grant.granted + 1_000_000 });
    }
    bare[11] = (bare[11]! + 1 + Math.floor(this.parts.random() * 200)) & 255;
    return bare;
  }

  private inject(device: string, leaf: Leaf, payload: Uint8Array, forged: boolean): void {
    const { network } = this.parts;
    if (LEAVES[leaf].direction === "down") network.toLight(device, leaf, payload, forged);
    else network.toGateway(device, leaf, payload, forged);
  }
}

function lyingGrant(grant: Grant): Grant {
  return { ...grant, refusal: null, charged: grant.charged + LIE_ATOMIC };
}

function bent(offer: OfferMessage, kind: HostileKind, ceilings: Ceilings): OfferMessage {
  const { requirements, channel } = offer;
  const later = { ...offer, revision: offer.revision + 1 };
  switch (kind) {
    case "hostile-scheme":
      return { ...later, requirements: { ...requirements, scheme: "exact" }, channel: null };
    case "hostile-network":
      return { ...later, requirements: { ...requirements, network: "eip155:1" } };
    case "hostile-token":
      return {
        ...later,
        requirements: { ...requirements, asset: STRANGER },
        channel: channel && { ...channel, token: STRANGER },
      };
    case "hostile-payee":
      return {
        ...later,
        requirements: { ...requirements, payTo: STRANGER },
        channel: channel && { ...channel, receiver: STRANGER },
      };
    case "hostile-unit":
      return { ...later, unit: offer.unit === "s" ? "mWh" : "s" };
    case "hostile-quantum":
      return { ...later, requirements: { ...requirements, amount: String(2 * ceilings.quantumMaxAtomic) } };
    case "hostile-price":
      return { ...later, pricePerMillionUnits: 2 * ceilings.priceCeiling };
    case "hostile-channel-id":
      return { ...later, channel: channel && { ...channel, payerAuthorizer: STRANGER } };
    case "hostile-charged":
      return { ...later, charged: offer.charged + LIE_ATOMIC };
    case "hostile-grant":
      return later;
  }
}
