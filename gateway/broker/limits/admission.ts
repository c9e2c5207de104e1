/**
 * Who gets as far as a login: how many connections, how many of them unproven, how many failures from one
 * address.
 *
 * Promise: places are bounded. Only what fails counts against an address, and who merely gave up waiting
 * has not failed: ten thousand good lights behind one router come in as fast as logins are judged. One that
 * fails at full speed takes from those behind the same router a share of their attempts, never a connection
 * that is proven, and nothing from those that are known to buy, where hearing who they are costs no handshake.
 * Half-open connections keep nobody out: one that has not said who it is makes room. Nor do devices that never
 * bought: they leave some places free, and make room for one that buys.
 */
import { type Rate, RateLimits } from "./rate-limit.ts";

/** One connection's place. */
export interface ConnectionSlot {
  /** Its login is here, whole: from now on it makes room for no other login. */
  speak(): void;
  /**
   * Whether its login may be judged. From an address whose failures are used up, only one of a device that is no
   * newcomer, at a rate.
   */
  mayBeJudged(device: string, isNewcomer: boolean): boolean;
  /** The login was right: from now on it is not counted against its address. False: newcomers' places are taken. */
  prove(device: string, isNewcomer: boolean): boolean;
  /** It cost work and proved nothing: a refused login, a packet that is none. False: its address had no failure left. */
  fail(): boolean;
  leave(): void;
}

/** Why a connection makes room for another. */
export type MakesRoom = "silent" | "displaced";

export interface AdmissionOptions {
  readonly connectionsMax: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** A failed login costs about a millisecond: an address can take a twentieth of one core, and no more. */
const FAILURES: Rate = { perSecond: 50, burst: 500 };

/** Logins that are judged beyond that, because they name devices that buy: of one address, and of each device there. */
const KNOWN_LOGINS: Rate = { perSecond: 50, burst: 500 };
const LOGINS_OF_KNOWN: Rate = { perSecond: 0.5, burst: 5 };

/** Addresses whose failures are remembered. */
const SOURCES_MAX = 10_000;

/**
 * Unproven connections of one address at once: a share of all places, and no more than one core judges while
 * a device has the patience to wait. The others are turned away at once, which costs little, and come again
 * with back-off; let in, they would all wait, and give up just before their turn.
 */
const UNPROVEN_SHARE = 4;
const UNPROVEN_MIN = 16;
const UNPROVEN_MAX = 1_000;

/** Places that newcomers leave free, for logins under way and for devices that buy: a share of all, at most so many. */
const RESERVE_SHARE = 16;
const RESERVE_MAX = 64;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #failures: RateLimits;
  readonly #knownLogins: RateLimits;
  readonly #loginsOfKnown: RateLimits;
  /** Unproven connections by source; proven ones are not here. */
  readonly #unproven = new Map<string, number>();
  /** Of these, by source, the ones that have not said who they are, in the order in which they came. */
  readonly #silent = new Map<string, Set<HeldPlace>>();
  /** Proven connections of newcomers, the one that has been in for longest first. */
  readonly #newcomers = new Set<HeldPlace>();
  #proven = 0;
  #connections = 0;

  constructor(options: AdmissionOptions) {
    const { nowMs } = options;
    this.#options = options;
    this.#failures = new RateLimits(FAILURES, SOURCES_MAX, nowMs);
    this.#knownLogins = new RateLimits(KNOWN_LOGINS, SOURCES_MAX, nowMs);
    this.#loginsOfKnown = new RateLimits(LOGINS_OF_KNOWN, SOURCES_MAX, nowMs);
  }

  get connections(): number {
    return this.#connections;
  }

  /** No newcomer gets in any more. */
  get isFull(): boolean {
    const { connectionsMax } = this.#options;
    const reserve = Math.min(RESERVE_MAX, Math.floor(connectionsMax / RESERVE_SHARE));
    return this.#proven >= connectionsMax - reserve;
  }

  /** Of the newcomers, the one that has been in for longest. */
  get longestNewcomer(): Newcomer | null {
    for (const place of this.#newcomers) return place;
    return null;
  }

  /**
   * @param address the peer's, as the socket tells it
   * @param end ends the connection when it has to make room; null: it never does
   * @param isCheap who it is can be heard without a handshake: then used up failures are held against it only then
   */
  arrive(
    address: string,
    end: ((why: MakesRoom) => void) | null = null,
    isCheap = false,
  ): ConnectionSlot | "full" | "source" {
    const { connectionsMax } = this.#options;
    if (this.#connections >= connectionsMax && !this.#makeRoom(this.#mostSilent())) return "full";
    const source = sourceOf(address);
    const unproven = this.#unproven.get(source) ?? 0;
    const unprovenMax = Math.min(UNPROVEN_MAX, Math.max(UNPROVEN_MIN, connectionsMax / UNPROVEN_SHARE));
    if (!isCheap && !this.#failures.has(source)) return "source";
    if (unproven >= unprovenMax && !this.#makeRoom(source)) return "source";
    this.#connections += 1;
    this.#unproven.set(source, (this.#unproven.get(source) ?? 0) + 1);
    const place = new HeldPlace(this, source, end);
    if (end === null) return place;
    const silent = this.#silent.get(source) ?? new Set();
    this.#silent.set(source, silent.add(place));
    return place;
  }

  /** The source with the most connections that have not said who they are; null when there is none. */
  #mostSilent(): string | null {
    let most: string | null = null;
    let count = 0;
    for (const [source, { size }] of this.#silent) {
      if (size > count) [most, count] = [source, size];
    }
    return most;
  }

  /** Ends the source's connection that has been silent for longest. */
  #makeRoom(source: string | null): boolean {
    for (const place of this.#silent.get(source ?? "") ?? []) {
      place.makeRoom("silent");
      return true;
    }
    return false;
  }

  heard(source: string, place: HeldPlace): void {
    const silent = this.#silent.get(source);
    silent?.delete(place);
    if (silent?.size === 0) this.#silent.delete(source);
  }

  mayBeJudged(source: string, device: string, isNewcomer: boolean): boolean {
    if (this.#failures.has(source)) return true;
    return !isNewcomer && this.#loginsOfKnown.take(`${source} ${device}`) && this.#knownLogins.take(source);
  }

  /** False when there is no place for another newcomer. */
  prove(place: HeldPlace, isNewcomer: boolean): boolean {
    if (isNewcomer && this.isFull) return false;
    this.#proven += 1;
    if (isNewcomer) this.#newcomers.add(place);
    return true;
  }

  /** It is a newcomer no more. */
  settle(place: HeldPlace): void {
    this.#newcomers.delete(place);
  }

  /** A connection is no more counted against its address. */
  forget(source: string): void {
    const left = this.#unproven.get(source)! - 1;
    if (left === 0) this.#unproven.delete(source);
    else this.#unproven.set(source, left);
  }

  failed(source: string): boolean {
    return this.#failures.take(source);
  }

  left(place: HeldPlace, wasProven: boolean): void {
    this.#connections -= 1;
    if (!wasProven) return;
    this.#proven -= 1;
    this.#newcomers.delete(place);
  }
}

/** A proven connection of a device that had not bought when it came in. */
export interface Newcomer {
  readonly device: string;
  /** It has bought since: it makes room for nobody any more. */
  settle(): void;
  makeRoom(why: MakesRoom): void;
}

class HeldPlace implements ConnectionSlot, Newcomer {
  readonly #admission: Admission;
  readonly #source: string;
  readonly #end: ((why: MakesRoom) => void) | null;
  #state: "unproven" | "proven" | "left" = "unproven";
  device = "";

  constructor(admission: Admission, source: string, end: ((why: MakesRoom) => void) | null) {
    this.#admission = admission;
    this.#source = source;
    this.#end = end;
  }

  speak(): void {
    this.#admission.heard(this.#source, this);
  }

  mayBeJudged(device: string, isNewcomer: boolean): boolean {
    return this.#admission.mayBeJudged(this.#source, device, isNewcomer);
  }

  prove(device: string, isNewcomer: boolean): boolean {
    if (this.#state !== "unproven") return true;
    if (!this.#admission.prove(this, isNewcomer)) return false;
    this.#state = "proven";
    this.device = device;
    this.speak();
    this.#admission.forget(this.#source);
    return true;
  }

  settle(): void {
    this.#admission.settle(this);
  }

  fail(): boolean {
    return this.#state !== "unproven" || this.#admission.failed(this.#source);
  }

  makeRoom(why: MakesRoom): void {
    this.leave();
    this.#end?.(why);
  }

  leave(): void {
    if (this.#state === "left") return;
    this.speak();
    this.#admission.left(this, this.#state === "proven");
    if (this.#state === "unproven") this.#admission.forget(this.#source);
    this.#state = "left";
  }
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;
const NETWORK_GROUPS = 4;
const GROUPS = 8;

/** An IPv4 address as it is; of an IPv6 one its network of 64 bits, for a host may choose the rest at will. */
export function sourceOf(address: string): string {
  const mapped = MAPPED.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("%")[0]!.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const gap = tail === undefined ? 0 : GROUPS - before.length - after.length;
  const groups = [...before, ...Array<string>(Math.max(0, gap)).fill("0"), ...after];
  return groups
    .slice(0, NETWORK_GROUPS)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ""))
    .join(":");
}
