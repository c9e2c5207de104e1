/**
 * Who gets as far as a login: how many connections, how many of them unproven, how many failures from one
 * address.
 *
 * Promise: places are bounded. Only what fails counts against an address, and who merely gave up waiting
 * has not failed: ten thousand good lights behind one router come in as fast as logins are judged. One that
 * fails at full speed takes from those behind the same router a share of their attempts, never a connection
 * that is proven. Half-open connections keep nobody out: one that has not said who it is makes room.
 */
import { Allowances, type Rate } from "./allowance.ts";

/** One connection's place. */
export interface Place {
  /** Its login is here, whole: from now on it makes room for nobody. */
  speak(): void;
  /** The login was right: from now on it is not counted against its address. */
  prove(): void;
  /** It cost work and proved nothing: a refused login, a TLS handshake in vain, a packet that is none. */
  fail(): void;
  leave(): void;
}

export interface AdmissionOptions {
  readonly connectionsMax: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** A failed login costs about a millisecond: an address can take a twentieth of one core, and no more. */
const FAILURES: Rate = { perSecond: 50, burst: 500 };

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

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #failures: Allowances;
  /** Unproven connections by source; proven ones are not here. */
  readonly #unproven = new Map<string, number>();
  /** Of these, by source, the ones that have not said who they are, in the order in which they came. */
  readonly #silent = new Map<string, Set<HeldPlace>>();
  #connections = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#failures = new Allowances(FAILURES, SOURCES_MAX, options.nowMs);
  }

  get connections(): number {
    return this.#connections;
  }

  /**
   * @param address the peer's, as the socket tells it
   * @param end ends the connection, if it has to make room before its login is here; null: it never does
   */
  arrive(address: string, end: (() => void) | null = null): Place | "full" | "source" {
    const { connectionsMax } = this.#options;
    if (this.#connections >= connectionsMax) return "full";
    const source = sourceOf(address);
    const unproven = this.#unproven.get(source) ?? 0;
    const unprovenMax = Math.min(UNPROVEN_MAX, Math.max(UNPROVEN_MIN, connectionsMax / UNPROVEN_SHARE));
    if (!this.#failures.has(source)) return "source";
    if (unproven >= unprovenMax && !this.#makeRoom(source)) return "source";
    this.#connections += 1;
    this.#unproven.set(source, (this.#unproven.get(source) ?? 0) + 1);
    const place = new HeldPlace(this, source, end);
    if (end === null) return place;
    const silent = this.#silent.get(source) ?? new Set();
    this.#silent.set(source, silent.add(place));
    return place;
  }

  /** Ends the source's connection that has been silent for longest. */
  #makeRoom(source: string): boolean {
    for (const place of this.#silent.get(source) ?? []) {
      place.leave();
      place.end?.();
      return true;
    }
    return false;
  }

  heard(source: string, place: HeldPlace): void {
    const silent = this.#silent.get(source);
    silent?.delete(place);
    if (silent?.size === 0) this.#silent.delete(source);
  }

  /** A connection is no more counted against its address. */
  forget(source: string): void {
    const left = this.#unproven.get(source)! - 1;
    if (left === 0) this.#unproven.delete(source);
    else this.#unproven.set(source, left);
  }

  failed(source: string): void {
    this.#failures.take(source);
  }

  left(): void {
    this.#connections -= 1;
  }
}

class HeldPlace implements Place {
  readonly #admission: Admission;
  readonly #source: string;
  readonly end: (() => void) | null;
  #state: "unproven" | "proven" | "left" = "unproven";

  constructor(admission: Admission, source: string, end: (() => void) | null) {
    this.#admission = admission;
    this.#source = source;
    this.end = end;
  }

  speak(): void {
    this.#admission.heard(this.#source, this);
  }

  prove(): void {
    if (this.#state !== "unproven") return;
    this.#state = "proven";
    this.speak();
    this.#admission.forget(this.#source);
  }

  fail(): void {
    if (this.#state === "unproven") this.#admission.failed(this.#source);
  }

  leave(): void {
    if (this.#state === "left") return;
    this.speak();
    this.#admission.left();
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
