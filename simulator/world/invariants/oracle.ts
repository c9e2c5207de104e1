/**
 * Checks a world against device/INVARIANTS.md, from physics, bytes on the wire, disks and the chain: never from
 * what a program believes.
 *
 * Promise: the first violation is kept with its letter and stops the world. What a fault destroyed for good
 * (a disk that became another) is no program's violation, and only that is excused.
 */
import type { SigningRequest } from "#core/ports";
import { channelTagOf } from "#core/rungs";
import type { ChannelRecord } from "#gateway/purchase/ports";
import { toHex } from "#payment/bytes";
import { BATCH_SETTLEMENT_ADDRESS } from "#payment/channel";
import { checkOffer } from "#payment/offer/offer";
import { decodeGrant, decodePay } from "#protocol/frames";
import { readOffer, readReading } from "#protocol/messages";
import { peekJson } from "#protocol/tag";
import type { Leaf } from "#protocol/topics";
import type { AccountRecord } from "../../seller/accounts/account-book.ts";
import type { StoredAnswer } from "../../seller/ports.ts";
import type { ChargedShare } from "../../seller/sale/charged-share.ts";
import type { ChainModel } from "../actors/chain.ts";
import type { Light, LightWatch, Recovery } from "../actors/device.ts";
import type { SellerWatch } from "../actors/seller.ts";
import type { Tables } from "../engine/tables.ts";
import type { World } from "../engine/world.ts";
import { NETWORK, RECEIVER, TOKEN } from "../engine/world-terms.ts";
import type { Wiretap } from "../surroundings/faulty-network.ts";
import { brokenAtRest } from "./at-rest.ts";
import { hasRoom, namingFault, newObservations, type Observations } from "./observations.ts";
import type { Invariant, WorldViolation } from "./world-violation.ts";

/** The order of messages waiting at a host may differ from their arrival by this. */
const HEARD_MS = 15_000;
/** A light whose way is clear is not dark for longer. */
const DARK_MAX_MS = 150_000;
/** Rounding of a sale to whole units, each time it is made. */
const UNIT = 1;

interface OracleParts {
  readonly world: World;
  readonly gatewayTables: Tables;
  readonly sellerTables: Tables;
  readonly chain: () => ChainModel;
  readonly perChannelAtomic: number;
  readonly chargedShare: ChargedShare;
}

export class Oracle implements Wiretap, SellerWatch, LightWatch {
  violation: WorldViolation | null = null;
  /** Messages with the right tag and a lie in them: what a gateway that turned bad would send. */
  readonly hostile = new WeakSet<Uint8Array>();
  private readonly parts: OracleParts;
  private readonly seen = new Map<string, Observations>();
  private readonly all: Observations[] = [];
  private readonly signedMax = new Map<string, number>();
  private readonly sold = new Map<string, number>();
  private readonly soldOnChannel = new Map<string, number>();
  private readonly chargedMax = new Map<string, number>();
  private readonly balanceOffered = new Map<number, number>();
  private silent: { readonly who: string; readonly why: string } | null = null;

  constructor(parts: OracleParts) {
    this.parts = parts;
  }

  addLight(light: Light): void {
    const seen = newObservations(light);
    this.seen.set(light.device, seen);
    this.all.push(seen);
  }

  // ---- E1, E2 ----

  /** After every event. */
  afterEvent(): void {
    this.silent = null;
    for (const seen of this.all) this.watchEnergy(seen);
    const { claimed, settled } = this.parts.chain();
    if (settled > claimed) this.broken("M2", `settled ${settled} of ${claimed} claimed`);
  }

  private watchEnergy({ light, soldUnits, largestSaleUnits }: Observations): void {
    if (light.meterForgot || !light.meter.isBound) return;
    // What is led around the meter is no promise of the device's: the feeder's meter finds it.
    const delivered = light.meter.meteredUnits();
    const allowed = soldUnits + largestSaleUnits;
    if (delivered <= allowed) return;
    this.broken("E2", `${light.name}: expected at most ${allowed} units, ${delivered.toFixed(1)} delivered`);
  }

  /** E2 of a load that breaks limits: it is found out, and none that obeys is taken for one. Called again and again once faults have stopped. */
  watchDisobedient(light: Light): void {
    const fault = namingFault(this.seen.get(light.device)!, this.parts.world.nowMs);
    if (fault !== null) this.broken("E2", fault);
  }

  private watchRegister(seen: Observations, register: number): void {
    if (register < seen.register && !seen.light.memoryLost && !seen.light.meterForgot) {
      this.broken("E1", `${seen.light.name}: register ${register} after ${seen.register}`);
    }
    seen.register = Math.max(seen.register, register);
  }

  // ---- the wire ----

  published(from: "light" | "gateway", device: string, leaf: Leaf, payload: Uint8Array): void {
    const seen = this.seen.get(device)!;
    if (from === "gateway") {
      this.gatewayPublished(seen, leaf, payload);
      return;
    }
    this.acted(seen.light, `published ${leaf}`);
    if (leaf === "pay") this.paid(seen, payload);
    const text = leaf === "reading" ? peekJson(payload) : null;
    const message = text === null ? null : readReading(text).message;
    if (message !== null) this.watchRegister(seen, message.register);
  }

  /** M1: a rung is above all before it, or one of them byte for byte, and within what was offered. */
  private paid(seen: Observations, payload: Uint8Array): void {
    const { frame, error } = decodePay(payload);
    if (frame === null) {
      this.broken("M1", `${seen.light.name} published no PAY: ${error}`);
      return;
    }
    const { channelTag, maxClaimable, register } = frame;
    const { light } = seen;
    this.parts.world.note(`${light.name} PAY ${maxClaimable}`);
    this.watchRegister(seen, register);
    const key = `${channelTag} ${maxClaimable}`;
    const signature = toHex(frame.signature);
    const before = seen.rungs.get(key);
    const highest = seen.highestRung.get(channelTag) ?? 0;
    if (before !== undefined && before !== signature) {
      this.broken("M1", `${light.name}: rung ${maxClaimable} signed twice with different bytes`);
    }
    if (before === undefined && maxClaimable <= highest && !light.memoryLost) {
      this.broken("M1", `${light.name}: new rung ${maxClaimable} below ${highest}`);
    }
    const offered = this.balanceOffered.get(channelTag) ?? 0;
    if (maxClaimable > offered) {
      this.broken("M1", `${light.name}: rung ${maxClaimable} above the balance of ${offered}`);
    }
    if (maxClaimable > light.storedReserve(channelTag) && !light.memoryLost) {
      this.broken("M1", `${light.name}: rung ${maxClaimable} that no stored checkpoint covers`);
    }
    seen.rungs.set(key, signature);
    seen.highestRung.set(channelTag, Math.max(highest, maxClaimable));
  }

  private gatewayPublished(seen: Observations, leaf: Leaf, payload: Uint8Array): void {
    if (leaf === "grant") {
      const { frame } = decodeGrant(payload);
      if (frame !== null) this.granted(seen, frame.channelTag, frame);
    }
    if (leaf !== "offer") return;
    const text = peekJson(payload);
    const message = text === null ? null : readOffer(text).message;
    if (message === null) return;
    this.parts.world.note(`gateway offers ${seen.light.name} ${message.charged} of ${message.balance}`);
    if (message.balance > this.parts.perChannelAtomic) {
      this.broken(
        "M1",
        `gateway offers ${message.balance}, above ${this.parts.perChannelAtomic} per channel`,
      );
    }
    const channels = this.channelsOf(seen.light.device);
    if (!channels.some(({ promised }) => promised >= message.balance)) {
      this.broken("M4", `gateway offers ${message.balance} before its ledger promises it`);
    }
    for (const { id } of channels) {
      const tag = channelTagOf(id);
      this.balanceOffered.set(tag, Math.max(this.balanceOffered.get(tag) ?? 0, message.balance));
    }
  }

  /** M4: what a grant states is in the ledger; E2: it grants no more than was sold. */
  private granted(
    seen: Observations,
    channelTag: number,
    grant: { readonly refusal: string | null; readonly charged: number; readonly granted: number },
  ): void {
    const { light } = seen;
    const { refusal, charged, granted } = grant;
    this.parts.world.note(`gateway grants ${light.name} ${charged} ${granted} ${refusal ?? ""}`);
    if (charged === 0) return;
    const channel = this.channelsOf(light.device).find(({ id }) => channelTagOf(id) === channelTag);
    if (refusal === null && (channel === undefined || channel.charged < charged)) {
      this.broken("M4", `${light.name}: charged ${charged} granted, the ledger has ${channel?.charged}`);
    }
    if (channel === undefined) return;
    const sold = this.soldOnChannel.get(channel.id) ?? 0;
    if (granted > sold + UNIT * (seen.rungs.size + 1)) {
      this.broken("E2", `${light.name}: ${granted} units granted, ${sold} sold`);
    }
    if (charged > (this.signedMax.get(channel.id) ?? 0)) {
      this.broken("M2", `${light.name}: charged ${charged}, ${this.signedMax.get(channel.id)} signed`);
    }
  }

  private channelsOf(device: string): ChannelRecord[] {
    const { gatewayTables } = this.parts;
    const ids = gatewayTables.get<readonly string[]>("channels", device) ?? [];
    return ids.map((id) => gatewayTables.get<ChannelRecord>("channel", id)!);
  }

  delivering(
    to: "light" | "gateway",
    device: string,
    leaf: Leaf,
    payload: Uint8Array,
    forged: boolean,
  ): void {
    // The last will carries no tag, so a state is believed in nothing but that a device may be gone.
    if (forged && leaf !== "state") {
      this.silent = { who: to === "light" ? device : "gateway", why: `a forged ${leaf}` };
      return;
    }
    if (to !== "light") return;
    if (leaf === "offer" || !this.hostile.has(payload)) this.heard(this.seen.get(device)!, leaf, payload);
  }

  /** T1: the receiver of a forgery does nothing. */
  acted(who: Light | "gateway", what: string): void {
    if (this.silent === null) return;
    if (this.silent.who !== (who === "gateway" ? who : who.device)) return;
    const name = who === "gateway" ? who : who.name;
    this.broken("T1", `${name} ${what} because of ${this.silent.why}`);
  }

  /** T1: a message heard before changed what the light counts. */
  replayChanged(light: Light, leaf: Leaf, before: string, after: string): void {
    this.broken("T1", `${light.name}: a repeated ${leaf} changed ${before} to ${after}`);
  }

  // ---- P1 ----

  private heard({ light, prices }: Observations, leaf: Leaf, payload: Uint8Array): void {
    const { nowMs } = this.parts.world;
    if (leaf === "grant") {
      const { frame } = decodeGrant(payload);
      if (frame !== null) prices.granted(frame, nowMs);
    }
    if (leaf !== "offer") return;
    const text = peekJson(payload);
    const message = text === null ? null : readOffer(text).message;
    const offer = message === null ? null : checkOffer(message, `0x${light.device}`).offer;
    if (offer === null) return;
    if (this.hostile.has(payload)) prices.lied(offer);
    else prices.offered(offer, nowMs);
  }

  signing(light: Light, request: SigningRequest): void {
    const seen = this.seen.get(light.device)!;
    const { terms, channelId, maxClaimable, amountAtomic } = request;
    const { policy } = light.site.settings;
    const signs = `${light.name} signs ${maxClaimable} for`;
    if (terms.network !== NETWORK) this.broken("P1", `${signs} network ${terms.network}`);
    if (terms.asset !== TOKEN) this.broken("P1", `${signs} token ${terms.asset}`);
    if (terms.payTo !== RECEIVER) this.broken("P1", `${signs} payee ${terms.payTo}`);
    if (terms.scheme !== "batch-settlement") this.broken("P1", `${signs} scheme ${terms.scheme}`);
    if (terms.contract !== BATCH_SETTLEMENT_ADDRESS) this.broken("P1", `${signs} contract ${terms.contract}`);
    if (amountAtomic > policy.quantumMaxAtomic) this.broken("P1", `${signs} ${amountAtomic} at once`);
    const before = this.signedMax.get(channelId);
    seen.channelIds.add(channelId);
    if (before !== undefined && maxClaimable <= before) return;
    this.signedMax.set(channelId, maxClaimable);
    const price = seen.prices.tooHigh(channelId, this.parts.world.nowMs, HEARD_MS);
    if (price !== null) this.broken("P1", `${signs} a price of ${price}, above ${policy.priceCeiling}`);
    const day = light.clock.latestDay;
    const today = (seen.signedByDay.get(day) ?? 0) + maxClaimable - (before ?? maxClaimable - amountAtomic);
    seen.signedByDay.set(day, today);
    if (today > policy.dailyBudgetAtomic && !light.memoryLost) {
      this.broken("P1", `${signs} ${today} on one day, above ${policy.dailyBudgetAtomic}`);
    }
  }

  /** M1, P1: a thief of the board can spend what it signed ahead. */
  signingAhead(light: Light, channelTag: number, maxClaimable: number): void {
    const offered = this.balanceOffered.get(channelTag) ?? 0;
    if (maxClaimable > offered) {
      this.broken("M1", `${light.name}: rung ${maxClaimable} signed ahead, above the balance of ${offered}`);
    }
  }

  // ---- the seller's disk ----

  /** M2, M3: a charge raises the account by one rung that its device signed, or by the seller's share of it. */
  charged(before: AccountRecord | undefined, after: AccountRecord, reference: string): void {
    const id = after.account.account;
    const { charged, granted } = after.account;
    const chargedBefore = before?.account.charged ?? 0;
    this.parts.world.note(`seller charges ${id.slice(0, 8)} ${charged} grants ${granted}`);
    const due = chargedBefore + this.parts.chargedShare(Number(reference) - chargedBefore);
    if (before !== undefined && (charged <= chargedBefore || charged !== due)) {
      this.broken("M3", `rung ${reference} charged on top of ${chargedBefore}: ${charged}`);
    }
    if (charged > (this.signedMax.get(id) ?? 0)) {
      this.broken("M2", `charged ${charged}, ${this.signedMax.get(id) ?? 0} signed`);
    }
    this.chargedMax.set(id, Math.max(this.chargedMax.get(id) ?? 0, charged));
    const units = granted - (before?.account.granted ?? 0);
    const key = `${id} ${reference}`;
    const known = this.sold.get(key) ?? 0;
    if (units <= known) return;
    this.sold.set(key, units);
    this.soldOnChannel.set(id, (this.soldOnChannel.get(id) ?? 0) + units - known);
    const device = after.channel?.channelConfig.payerAuthorizer.slice(2) ?? "";
    const seen = this.seen.get(device);
    if (seen === undefined) return;
    seen.soldUnits += units - known;
    seen.largestSaleUnits = Math.max(seen.largestSaleUnits, units);
  }

  /** M4: a voucher that was answered is in the store. */
  answered(account: string, reference: string, charged: number): void {
    const { sellerTables } = this.parts;
    const stored = sellerTables.get<StoredAnswer>("answer", `${account} ${reference}`);
    const record = sellerTables.get<AccountRecord>("account", account);
    if (stored === undefined || record === undefined || record.account.charged < charged) {
      this.broken(
        "M4",
        `seller answers ${charged} for ${reference}, its store has ${record?.account.charged}`,
      );
    }
  }

  // ---- S1 ----

  recovered(light: Light, { once, again, interrupted, allowed }: Recovery): void {
    const seen = this.seen.get(light.device)!;
    seen.prices.forget();
    if (once !== again) this.broken("S1", `${light.name} recovers to ${once}, then to ${again}`);
    if (once !== interrupted)
      this.broken("S1", `${light.name} recovers to ${once}, interrupted to ${interrupted}`);
    if (!light.memoryLost && !allowed.includes(once)) {
      this.broken("S1", `${light.name} recovers to ${once}, expected ${allowed.join(" or ")}`);
    }
  }

  // ---- L1 ----

  /** Called again and again once faults have stopped and the bound has passed. @param wanted by plan */
  watchLight(light: Light, wanted: number, canPay: boolean): void {
    const seen = this.seen.get(light.device)!;
    const { nowMs } = this.parts.world;
    if (wanted === 0 || !canPay || light.meter.isLit) {
      seen.darkSinceMs = null;
      return;
    }
    seen.darkSinceMs ??= nowMs;
    if (nowMs - seen.darkSinceMs < DARK_MAX_MS) return;
    const state = light.state();
    const why = state === null ? "not running" : (state.answerRefusal ?? state.offerRefusal ?? "no refusal");
    this.broken("L1", `${light.name} is dark, ${why}`);
  }

  /** Whether this light's own budget and the channel's limit leave room for another rung. */
  hasMoney(light: Light): boolean {
    return hasRoom(this.seen.get(light.device)!, this.signedMax, this.parts.perChannelAtomic);
  }

  /** Sum over all channels of the most that was charged, atomic units. */
  chargedAtomic(): number {
    let sum = 0;
    for (const charged of this.chargedMax.values()) sum += charged;
    return sum;
  }

  /** Rungs sold, each once. */
  purchases(): number {
    return this.sold.size;
  }

  channelsBoughtOn(light: Light): ReadonlySet<string> {
    return this.seen.get(light.device)!.channelIds;
  }

  // ---- the end ----

  /** What must hold when nothing moves any more: at-rest.ts. */
  atRest(): void {
    const { gatewayTables, sellerTables, chain } = this.parts;
    for (const { invariant, text } of brokenAtRest(chain(), sellerTables, gatewayTables, this.chargedMax)) {
      this.broken(invariant, text);
    }
  }

  private broken(invariant: Invariant, text: string): void {
    if (this.violation !== null) return;
    this.violation = { invariant, atMs: this.parts.world.nowMs, told: text };
    this.parts.world.note(`BREACH ${invariant} ${text}`);
    this.parts.world.stop();
  }
}
