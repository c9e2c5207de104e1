/**
 * Which connections are admitted: how many, how many of them unauthenticated, how many failures from one
 * address.
 *
 * Promise: slots are bounded. Only failures count against an address, and a client that merely gave up waiting has
 * not failed: ten thousand good lights behind one router connect as fast as logins are authenticated. One that
 * fails at full speed takes from those behind the same router a share of their attempts, never an authenticated
 * connection, and nothing from devices that are known to buy, where reading their login costs no handshake.
 * Half-open connections keep no device out: one without a login makes room. Nor do devices that never bought:
 * they leave some slots free, and make room for one that buys.
 */
import { type Rate, RateLimits } from "./rate-limit.ts";

/** One connection's slot. */
export interface ConnectionSlot {
  /** Its login was received, whole: from now on it makes room for no other login. */
  loginReceived(): void;
  /**
   * Whether its login may be authenticated. From an address whose failures are used up, only one of a device that is
   * no newcomer, at a rate.
   */
  mayAuthenticate(device: string, isNewcomer: boolean): boolean;
  /** Its login is authenticated: it counts no more against its address. False: newcomers' slots are taken. */
  admit(device: string, isNewcomer: boolean): boolean;
  /** It cost work in vain: a refused login, a malformed packet. False: its address had no failure left. */
  fail(): boolean;
  leave(): void;
}

/** Why a connection makes room for another. */
export type MakesRoom = "silent" | "displaced";

interface AdmissionOptions {
  readonly connectionsMax: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** A failed login costs about a millisecond: an address can take a twentieth of one core, and no more. */
const FAILURES: Rate = { perSecond: 50, burst: 500 };

/** Logins that are authenticated beyond that, because they name devices that buy: of one address, and of each device there. */
const KNOWN_LOGINS: Rate = { perSecond: 50, burst: 500 };
const LOGINS_OF_KNOWN: Rate = { perSecond: 0.5, burst: 5 };

/** Addresses whose failures are remembered. */
const SOURCES_MAX = 10_000;

/**
 * Unauthenticated connections of one address at once: a share of all slots, and no more than one core authenticates
 * while a device waits. The others are refused at once, which costs little, and connect again with back-off;
 * admitted, they would all wait, and give up just before their turn.
 */
const UNAUTHENTICATED_SHARE = 4;
const UNAUTHENTICATED_MIN = 16;
const UNAUTHENTICATED_MAX = 1_000;

/** Slots that newcomers leave free, for logins under way and for devices that buy: a share of all, at most so many. */
const RESERVE_SHARE = 16;
const RESERVE_MAX = 64;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #failures: RateLimits;
  readonly #knownLogins: RateLimits;
  readonly #loginsOfKnown: RateLimits;
  /** Unauthenticated connections by source. */
  readonly #unauthenticated = new Map<string, number>();
  /** Of these, by source, the ones without a login yet, in the order in which they came. */
  readonly #silent = new Map<string, Set<HeldSlot>>();
  /** Authenticated connections of newcomers, the one connected for longest first. */
  readonly #newcomers = new Set<HeldSlot>();
  #authenticated = 0;
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

  /** No newcomer is admitted any more. */
  get isFull(): boolean {
    const { connectionsMax } = this.#options;
    const reserve = Math.min(RESERVE_MAX, Math.floor(connectionsMax / RESERVE_SHARE));
    return this.#authenticated >= connectionsMax - reserve;
  }

  /** The newcomer connected for longest. */
  get longestNewcomer(): Newcomer | null {
    for (const slot of this.#newcomers) return slot;
    return null;
  }

  /**
   * @param address the peer's, of the socket
   * @param end ends the connection when it has to make room; null: it never does
   * @param isCheap its login is read without a handshake: used up failures count only after it
   */
  arrive(
    address: string,
    end: ((why: MakesRoom) => void) | null = null,
    isCheap = false,
  ): ConnectionSlot | "full" | "source" {
    const { connectionsMax } = this.#options;
    if (this.#connections >= connectionsMax && !this.#makeRoom(this.#mostSilent())) return "full";
    const source = sourceOf(address);
    const unauthenticated = this.#unauthenticated.get(source) ?? 0;
    const unauthenticatedMax = Math.min(
      UNAUTHENTICATED_MAX,
      Math.max(UNAUTHENTICATED_MIN, connectionsMax / UNAUTHENTICATED_SHARE),
    );
    if (!isCheap && !this.#failures.has(source)) return "source";
    if (unauthenticated >= unauthenticatedMax && !this.#makeRoom(source)) return "source";
    this.#connections += 1;
    this.#unauthenticated.set(source, (this.#unauthenticated.get(source) ?? 0) + 1);
    const slot = new HeldSlot(this, source, end);
    if (end === null) return slot;
    const silent = this.#silent.get(source) ?? new Set();
    this.#silent.set(source, silent.add(slot));
    return slot;
  }

  /** The source with the most connections without a login; null when there is none. */
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
    for (const slot of this.#silent.get(source ?? "") ?? []) {
      slot.makeRoom("silent");
      return true;
    }
    return false;
  }

  loginReceived(source: string, slot: HeldSlot): void {
    const silent = this.#silent.get(source);
    silent?.delete(slot);
    if (silent?.size === 0) this.#silent.delete(source);
  }

  mayAuthenticate(source: string, device: string, isNewcomer: boolean): boolean {
    if (this.#failures.has(source)) return true;
    return !isNewcomer && this.#loginsOfKnown.take(`${source} ${device}`) && this.#knownLogins.take(source);
  }

  /** False when there is no slot for another newcomer. */
  admit(slot: HeldSlot, isNewcomer: boolean): boolean {
    if (isNewcomer && this.isFull) return false;
    this.#authenticated += 1;
    if (isNewcomer) this.#newcomers.add(slot);
    return true;
  }

  /** It is a newcomer no more. */
  hasBought(slot: HeldSlot): void {
    this.#newcomers.delete(slot);
  }

  /** A connection is no more counted against its address. */
  forget(source: string): void {
    const left = this.#unauthenticated.get(source)! - 1;
    if (left === 0) this.#unauthenticated.delete(source);
    else this.#unauthenticated.set(source, left);
  }

  failed(source: string): boolean {
    return this.#failures.take(source);
  }

  left(slot: HeldSlot, wasAuthenticated: boolean): void {
    this.#connections -= 1;
    if (!wasAuthenticated) return;
    this.#authenticated -= 1;
    this.#newcomers.delete(slot);
  }
}

/** An authenticated connection of a device that had not bought when it connected. */
interface Newcomer {
  readonly device: string;
  /** It has bought since: it makes room for no other any more. */
  hasBought(): void;
  makeRoom(why: MakesRoom): void;
}

class HeldSlot implements ConnectionSlot, Newcomer {
  readonly #admission: Admission;
  readonly #source: string;
  readonly #end: ((why: MakesRoom) => void) | null;
  #state: "unauthenticated" | "authenticated" | "left" = "unauthenticated";
  device = "";

  constructor(admission: Admission, source: string, end: ((why: MakesRoom) => void) | null) {
    this.#admission = admission;
    this.#source = source;
    this.#end = end;
  }

  loginReceived(): void {
    this.#admission.loginReceived(this.#source, this);
  }

  mayAuthenticate(device: string, isNewcomer: boolean): boolean {
    return this.#admission.mayAuthenticate(this.#source, device, isNewcomer);
  }

  admit(device: string, isNewcomer: boolean): boolean {
    if (this.#state !== "unauthenticated") return true;
    if (!this.#admission.admit(this, isNewcomer)) return false;
    this.#state = "authenticated";
    this.device = device;
    this.loginReceived();
    this.#admission.forget(this.#source);
    return true;
  }

  hasBought(): void {
    this.#admission.hasBought(this);
  }

  fail(): boolean {
    return this.#state !== "unauthenticated" || this.#admission.failed(this.#source);
  }

  makeRoom(why: MakesRoom): void {
    this.leave();
    this.#end?.(why);
  }

  leave(): void {
    if (this.#state === "left") return;
    this.loginReceived();
    this.#admission.left(this, this.#state === "authenticated");
    if (this.#state === "unauthenticated") this.#admission.forget(this.#source);
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
