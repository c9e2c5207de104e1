/**
 * One device's conversation with the gateway: hello to offer, PAY to GRANT, and its telemetry.
 *
 * Promise: nothing is believed without a right tag; one purchase of a device is under way at a time, in
 * the order of its rungs; what cannot be answered is counted and dropped, never thrown.
 */

import { detach } from "#core/detach";
import type { Grant } from "#core/events";
import type { Hmac } from "#core/ports";
import type { WireRefusal } from "#core/refusal";
import { termsDocument } from "#market/documents";
import { fromHex } from "#payment/bytes";
import { addressOf, type Key } from "#payment/key";
import { tagKeyBetween } from "#payment/tag-key";
import { decodePay, encodeGrant, type Pay } from "#protocol/frames";
import { type Hello, readHello, readLost, readReading, readState } from "#protocol/messages";
import { type PaymentToken, tokenName } from "#protocol/payment-token";
import { isSealedFrame, openJson, peekJson, sealFrame, sealJson } from "#protocol/tag";
import { LEAVES, type Leaf } from "#protocol/topics";
import { buyFrom } from "./buy-from-seller.ts";
import { mayPromise, offerOf, pricedAt, promisedChannel, quantumFor } from "./channels.ts";
import type { DepositParts, FindToken, TokenParts } from "./deposit.ts";
import { isLeftAlone, pauseAfter } from "./faults/behind-chain.ts";
import { noteFailure } from "./faults/note-failure.ts";
import { keepOutcome } from "./faults/unknown-outcome.ts";
import { noteUnfunded } from "./permit2/approval-needed.ts";
import type { ChannelRecord, DeviceRecord, Devices, Drop, SellerRouter } from "./ports.ts";
import type { PurchaseParts } from "./present.ts";
import { refuse } from "./purchase.ts";
import { channelBy, keepChannel, type Session } from "./session-table.ts";

export interface SessionParts
  extends Omit<PurchaseParts, "seller" | "isOnSale" | "signsAhead" | keyof TokenParts> {
  readonly key: Key;
  readonly hmac: Hmac;
  readonly devices: Devices;
  readonly router: SellerRouter;
  readonly findToken: FindToken;
  readonly counts: Counts;
}

/** The parts for paying in one token; null when the configuration names it no more: then nothing is paid in it. */
function partsFor(parts: SessionParts, token: PaymentToken): (SessionParts & DepositParts) | null {
  const found = parts.findToken(token);
  return found && { ...parts, ...found };
}

/** What happened since the gateway started; every number only rises. */
export interface Counts {
  hellos: number;
  offers: number;
  pays: number;
  grants: number;
  refusals: number;
  /** Frames and messages dropped: wrong tag, malformed, from an unknown device. */
  dropped: number;
}

/** The session of a device that the ledger knows. */
export async function openSession(parts: SessionParts, record: DeviceRecord): Promise<Session> {
  const key = tagKeyBetween(parts.key, fromHex(record.publicKey));
  const channels = [...(await parts.ledger.channelsOf(record.device))];
  return {
    record,
    tagger: { hmac: parts.hmac, key },
    channel: null,
    channels,
    paying: false,
    offerWaits: false,
    behind: null,
    asksApproval: false,
    refusedAtomic: null,
    turn: Promise.resolve(),
    signsAhead: false,
    refusal: null,
    register: 0,
    heardSeconds: parts.now(),
  };
}

/**
 * The device that a hello proves, or in a few words why it proves none.
 * @param known its session, when it spoke before: a key proved once need not be multiplied out again
 */
export function proveHello(
  parts: Pick<SessionParts, "key" | "hmac">,
  device: string,
  payload: Uint8Array,
  known: Session | undefined,
): { readonly hello: Hello; readonly error: null } | { readonly hello: null; readonly error: string } {
  const text = peekJson(payload);
  if (text === null)
    return { hello: null, error: "hello: expected a sealed JSON object, found too few bytes" };
  const { message, error } = readHello(text);
  if (message === null) return { hello: null, error: `hello: ${error}` };
  if (known !== undefined && known.record.publicKey === message.publicKey) {
    return openJson(known.tagger, "hello", payload) === null ? WRONG_TAG : { hello: message, error: null };
  }
  const publicKey = fromHex(message.publicKey);
  try {
    const address = addressOf(publicKey);
    if (address !== `0x${device}`) {
      return { hello: null, error: `hello: expected the key of 0x${device}, found the key of ${address}` };
    }
  } catch {
    return { hello: null, error: "hello: expected a public key of secp256k1, found a point off the curve" };
  }
  const tagger = { hmac: parts.hmac, key: tagKeyBetween(parts.key, publicKey) };
  return openJson(tagger, "hello", payload) === null ? WRONG_TAG : { hello: message, error: null };
}

const WRONG_TAG = {
  hello: null,
  error: "hello: wrong tag; is this device provisioned with this gateway's public key?",
} as const;

/** Finds the channel to buy on and publishes its offer, retained. */
export function makeOffer(parts: SessionParts, session: Session): Promise<void> {
  if (session.offerWaits) return session.turn;
  session.offerWaits = true;
  return inTurn(session, async () => {
    session.offerWaits = false;
    try {
      await offerChannel(parts, session);
    } catch (error) {
      publishNoOffer(parts, session, "seller-unavailable", { reason: String(error) });
    }
  });
}

/** Publishes why a device has no offer: a refusal that names no channel and changes nothing but what the device reports. */
function publishNoOffer(
  parts: SessionParts,
  session: Session,
  refusal: WireRefusal,
  why: { readonly seller?: string; readonly reason: string },
): void {
  const { device } = session.record;
  parts.note("warn", "no offer could be made", { device, ...why });
  if (session.channel !== null) return;
  parts.observe({ type: "no-offer", device, refusal, reason: why.reason });
  const sealed = sealFrame(session.tagger, "grant", encodeGrant({ ...NOTHING, refusal }));
  parts.devices.publish(device, "grant", sealed, LEAVES.grant.retained);
}

function inTurn(session: Session, work: () => Promise<void>): Promise<void> {
  // Also after a turn that failed, or one failure would refuse the device for ever.
  session.turn = session.turn.then(work, work);
  return session.turn;
}

/** Characters of what a device may pay with, in a reason. */
const PAYS_SHOWN_MAX = 200;

async function offerChannel(parts: SessionParts, session: Session): Promise<void> {
  const { device, pays, payee } = session.record;
  const { signsAhead, channel: before } = session;
  const client = parts.router.clientFor(session.record, before?.seller ?? null, false, signsAhead);
  if (client === null) {
    const paid = pays === "" ? "" : ` that takes what it may pay with: ${pays.slice(0, PAYS_SHOWN_MAX)}`;
    const at = payee === "" ? "" : ` that is paid at ${payee}, where it is`;
    const reason = `expected a seller for it, found none${at}${paid}`;
    return publishNoOffer(parts, session, "seller-unavailable", { reason });
  }
  const { refusedAtomic } = session;
  const isRefused = refusedAtomic !== null && before !== null && client.owns(before.seller);
  const isHeard = isRefused && (await client.reconsider());
  const tariff = client.tariff();
  const asked = tariff && (await client.quote(quantumFor(session, client, tariff), pays));
  if (asked?.evidence !== undefined) await parts.ledger.saveDocument(termsDocument(asked.evidence));
  if (tariff === null || !asked?.quote) {
    const { reason, isUnpayable } = asked ?? client.lacks();
    const refusal = isUnpayable ? "seller-refused" : "seller-unavailable";
    return publishNoOffer(parts, session, refusal, { seller: client.name, reason });
  }
  const { quote } = asked;
  // What the device signed stays signed: if the seller has it on sale no more, nothing on this channel can follow.
  const leaves = isHeard && !tariff.menu.includes(refusedAtomic);
  // Its price may come back: the channel is remembered at the price of what was signed on it.
  if (leaves) await parts.ledger.saveChannel(pricedAt(before, refusedAtomic));
  const buyer = { device: session.record, client, signsAhead, leaves };
  const paying = partsFor(parts, quote.requirements);
  if (paying === null) throw new Error(`a quote in ${tokenName(quote.requirements)}, which no section names`);
  const { channel, need } = await promisedChannel(paying, buyer, quote);
  if (leaves) {
    parts.note("warn", "the seller has no more on sale what a device signed: another channel is offered", {
      device,
      seller: client.name,
      signedAtomic: refusedAtomic,
      channelId: channel.id,
    });
  }
  if (channel.promised < channel.charged + Number(quote.requirements.amount))
    noteUnfunded(parts.note, channel, need);
  const offer = offerOf(channel, tariff, client.isMetered(), need.approval);
  const sealed = sealJson(session.tagger, "offer", offer);
  if (sealed.length > LEAVES.offer.bytesMax) {
    const reason = `expected an offer of at most ${LEAVES.offer.bytesMax} bytes, found ${sealed.length}: the seller's requirements are too long`;
    return publishNoOffer(parts, session, "seller-refused", { seller: client.name, reason });
  }
  if (quote.offered !== undefined) await parts.ledger.saveDocument(termsDocument(quote.offered));
  await parts.ledger.saveChannel(channel);
  session.channel = channel;
  keepChannel(session, channel);
  session.refusedAtomic = null;
  session.asksApproval = need.approval !== null;
  parts.counts.offers += 1;
  parts.observe({ type: "offered", device, channel, tariff });
  parts.devices.publish(device, "offer", sealed, LEAVES.offer.retained);
}

/** One PAY frame. */
export function takePay(parts: SessionParts, session: Session, frame: Uint8Array): Promise<void> {
  const { device } = session.record;
  const decoded = isSealedFrame(session.tagger, "pay", frame) ? decodePay(frame) : null;
  if (decoded === null || decoded.frame === null) {
    drop(parts, device, "pay", decoded === null ? "wrong-tag" : "malformed");
    return session.turn;
  }
  parts.counts.pays += 1;
  const pay = decoded.frame;
  parts.observe({ type: "pay", device, pay });
  session.register = Math.max(session.register, pay.register);
  // The device sends a rung again while its answer is on the way; that answer serves both.
  if (session.paying) return session.turn;
  session.paying = true;
  return inTurn(session, async () => {
    try {
      await answerPay(parts, session, pay);
      if (needsOffer(parts, session)) {
        detach(makeOffer(parts, session), noteFailure(parts.note, "making an offer", { device }));
      }
    } catch (error) {
      parts.note("warn", "a payment was not answered; the device will present it again", {
        device,
        reason: String(error),
      });
    } finally {
      session.paying = false;
    }
  });
}

async function answerPay(parts: SessionParts, session: Session, pay: Pay): Promise<void> {
  const sinceSeconds = parts.now();
  const channel = channelBy(session, pay.channelTag);
  if (channel === undefined) {
    publishGrant(parts, session, null, { ...NOTHING, channelTag: pay.channelTag }, sinceSeconds);
    return;
  }
  const client = parts.router.clientOf(channel);
  const paying = partsFor(parts, channel.requirements);
  if (paying === null) {
    parts.note("warn", "a channel is paid in a token that the configuration names no more", {
      device: session.record.device,
      channelId: channel.id,
      token: tokenName(channel.requirements),
    });
  }
  const isWaiting = isLeftAlone(session.behind, channel.id, sinceSeconds);
  const {
    channel: after,
    grant,
    fault,
  } = client === null || paying === null || isWaiting
    ? refuse(channel, "seller-unavailable")
    : await keepOutcome(paying, pay, await buyFrom(paying, client, session, channel, pay));
  if (!isWaiting) {
    session.behind = fault?.isBehindChain ? pauseAfter(session.behind, channel.id, parts.now()) : null;
  }
  const amountAtomic = pay.maxClaimable - channel.charged;
  // What it does not sell is refused by right.
  if (fault !== null && client?.tariff()?.menu.includes(amountAtomic)) {
    client.refused(session.record.device, fault.reason);
  }
  if (session.channel?.id === after.id) {
    session.refusedAtomic = grant.refusal === "seller-refused" ? amountAtomic : null;
    // Its wallet's approval of Permit2 may be used up or withdrawn: the chain is asked again.
    if (grant.refusal === "unfunded" && after.config === null) session.asksApproval = true;
  }
  keepChannel(session, after);
  if (session.channel?.id === after.id) session.channel = after;
  publishGrant(parts, session, after, grant, sinceSeconds);
}

const NOTHING: Grant = {
  refusal: "unknown-channel",
  channelTag: 0,
  charged: 0,
  granted: 0,
  pricePerMillionUnits: 0,
  validUntilSeconds: 0,
};

/** Refuses a PAY without looking at it, because too many are under way. */
export function refuseOverloaded(parts: SessionParts, session: Session, frame: Uint8Array): void {
  const decoded = isSealedFrame(session.tagger, "pay", frame) ? decodePay(frame) : null;
  const channel = decoded?.frame ? channelBy(session, decoded.frame.channelTag) : undefined;
  if (channel) publishGrant(parts, session, channel, refuse(channel, "overloaded").grant, parts.now());
  else drop(parts, session.record.device, "pay", decoded?.frame ? "malformed" : "wrong-tag");
}

/** The offer no longer fits: another seller's turn, its deposit runs out, it is refused, or another quantum is better. */
function needsOffer(parts: SessionParts, session: Session): boolean {
  const { channel, record, refusedAtomic, asksApproval, signsAhead } = session;
  if (channel === null || refusedAtomic !== null || asksApproval) return true;
  const client = parts.router.clientFor(record, channel.seller, true, signsAhead);
  if (client === null) return false;
  if (!client.owns(channel.seller)) return true;
  const tariff = client.tariff();
  const quantum = Number(channel.requirements.amount);
  if (tariff !== null && quantumFor(session, client, tariff) !== quantum) return true;
  return channel.promised < channel.charged + REOFFER_AHEAD * quantum;
}

/** Purchases left in the offered balance when the next offer is due. */
const REOFFER_AHEAD = 4;

/** What the device says of itself; telemetry, believed only with a right tag. */
export function takeTelemetry(parts: SessionParts, session: Session, leaf: Leaf, payload: Uint8Array): void {
  const { device } = session.record;
  const text = openJson(session.tagger, leaf, payload);
  if (text === null) {
    // The last will is written before the connection and cannot be sealed with anything fresh.
    const isLost = leaf === "state" && readLost(new TextDecoder().decode(payload)).message !== null;
    if (isLost) {
      session.refusal = null;
      // Silent from now on: it may make room at once.
      session.heardSeconds = 0;
      parts.observe({ type: "lost", device });
    } else drop(parts, device, leaf, "wrong-tag");
    return;
  }
  if (leaf === "state") {
    const { message } = readState(text);
    if (message === null) drop(parts, device, leaf, "malformed");
    else {
      session.refusal = message.refusal;
      // Without a channel it has no ladder to report.
      session.signsAhead ||= message.ladderRungs !== undefined || message.refusal === "metered-seller";
      parts.observe({ type: "state", device, state: message });
    }
    return;
  }
  const { message } = readReading(text);
  if (message === null) {
    drop(parts, device, leaf, "malformed");
    return;
  }
  parts.observe({ type: "reading", device, reading: message });
  session.register = Math.max(session.register, message.register);
  // A device without deposit says nothing more; what the day's limit forbade yesterday may be allowed today.
  const exhausted = session.refusal === "deposit-exhausted";
  if (exhausted && session.channel !== null) {
    const offering = offerIfAllowed(parts, session, session.channel);
    detach(offering, noteFailure(parts.note, "making an offer", { device }));
  }
}

async function offerIfAllowed(parts: SessionParts, session: Session, channel: ChannelRecord): Promise<void> {
  try {
    const paying = partsFor(parts, channel.requirements);
    if (paying === null || (await mayPromise(paying, channel))) await makeOffer(parts, session);
  } catch (error) {
    parts.note("warn", "the ledger could not be read", {
      device: session.record.device,
      reason: String(error),
    });
  }
}

/** Counts what gets no answer. */
export function drop(parts: SessionParts, device: string, leaf: Leaf, reason: Drop): void {
  parts.counts.dropped += 1;
  parts.observe({ type: "dropped", device, leaf, reason });
}

function publishGrant(
  parts: SessionParts,
  session: Session,
  channel: ChannelRecord | null,
  grant: Grant,
  sinceSeconds: number,
): void {
  if (grant.refusal === null) parts.counts.grants += 1;
  else parts.counts.refusals += 1;
  const { device } = session.record;
  const sealed = sealFrame(session.tagger, "grant", encodeGrant(grant));
  parts.devices.publish(device, "grant", sealed, LEAVES.grant.retained);
  const tookSeconds = Math.max(0, parts.now() - sinceSeconds);
  parts.observe({ type: "answered", device, channel, grant, tookSeconds });
}
