/**
 * Authentication and authorization of logins, messages and subscriptions, for both embedded servers.
 *
 * Promise: deny by default; every refusal is counted and logged. Of two logins of one device the connection
 * that came later wins, not the one that was authenticated last.
 */
import type { Key, RecoverSigner } from "#payment/key";
import { LEAVES, type Leaf } from "#protocol/topics";
import type { Logger, Read } from "../../purchase/ports.ts";
import type { IncomingConnection } from "../embedded/listeners.ts";
import { Admission } from "../limits/admission.ts";
import { type Rate, RateLimits } from "../limits/rate-limit.ts";
import { openTimeSlices } from "../limits/time-slices.ts";
import { type LoginCode, type LoginRefusal, NOT_AUTHORISED, UNAVAILABLE } from "./connack.ts";
import { type BrokerRefusal, openRefusals, type Refusals } from "./refusals.ts";
import { mayPublish, maySubscribe, proveDevice, publishedLeaf } from "./topic-access.ts";

export interface BrokerAuthOptions {
  /** The gateway's key, or its address: logins are made for it; with an address alone none can be sealed. */
  readonly gateway: Key | string;
  /** Who signed a login: what a login costs. */
  readonly recoverSigner: RecoverSigner;
  readonly connectionsMax: number;
  /** What one device may publish. */
  readonly messages: Rate;
  /** Null when an authenticated device may log in, else why not. */
  readonly barred: (device: string) => Read<string | null>;
  /** It has never bought, and is not enrolled. */
  readonly isNewcomer: (device: string) => Read<boolean>;
  readonly note: Logger;
}

export interface Will {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
}

interface Credentials {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  readonly will: Will | null;
}

/** Topic and packet id of a publish: generous, and nothing beside the payload. */
const PACKET_OVERHEAD_BYTES = 4_096;
const PACKET_BYTES_MAX =
  PACKET_OVERHEAD_BYTES + Math.max(...Object.values(LEAVES).map(({ bytesMax }) => bytesMax));

/** A login with its will. */
const LOGIN_BYTES_MAX = 4_096;

/** Bytes that wait for a device to read them; beyond, it has stopped to. */
export const BACKLOG_BYTES_MAX = 262_144;
export const BACKLOG_TIMEOUT_MS = 10_000;

/** QoS 2 messages of one device that wait for their release; devices of ours use QoS 1. */
export const UNRELEASED_MAX = 16;

/** Authenticated logins of one device: a link that comes and goes, not two devices with one key taking turns for ever. */
const LOGINS: Rate = { perSecond: 0.5, burst: 30 };

/** Newcomers looked at for one to displace: those that have bought since they came in are newcomers no more. */
const DISPLACED_LOOKS_MAX = 64;

/** Remaining length that a packet of a connection may have. */
export function packetBytesMax(isAuthenticated: boolean): number {
  return isAuthenticated ? PACKET_BYTES_MAX : LOGIN_BYTES_MAX;
}

export class BrokerAuth {
  readonly refusals: Refusals;
  readonly admission: Admission;
  /** Logins are expensive: they are authenticated in slices, between which payments are served. */
  readonly inTurn: (work: () => void) => void;
  readonly #options: BrokerAuthOptions;
  readonly #messages: RateLimits;
  readonly #excess: RateLimits;
  readonly #logins: RateLimits;

  constructor(options: BrokerAuthOptions) {
    const { note, connectionsMax, messages } = options;
    const nowMs = () => performance.now();
    this.#options = options;
    this.refusals = openRefusals(note);
    this.admission = new Admission({ connectionsMax, nowMs });
    this.inTurn = openTimeSlices(nowMs);
    this.#messages = new RateLimits(messages, connectionsMax, nowMs);
    this.#excess = new RateLimits(messages, connectionsMax, nowMs);
    this.#logins = new RateLimits(LOGINS, connectionsMax, nowMs);
  }

  /** Why a login is refused, logged; null when it is not. A refused login costs its address an attempt. */
  async authenticate(incoming: IncomingConnection, login: Credentials): Promise<LoginRefusal | null> {
    try {
      const isNewcomer = await this.#options.isNewcomer(login.username);
      if (!incoming.mayAuthenticate(login.username, isNewcomer)) {
        const reason = "too many failed logins from its address";
        return this.#refuse("source", UNAVAILABLE, reason, fieldsOf(incoming, login));
      }
      const refusal = await this.#refusalOf(incoming, login);
      if (refusal !== null) {
        incoming.fail();
        return refusal;
      }
      return await this.#admit(incoming, login, isNewcomer);
    } catch (error) {
      this.#options.note("warn", "a login could not be authenticated", { reason: String(error) });
      return { code: UNAVAILABLE, reason: "the gateway cannot authenticate logins now" };
    }
  }

  /** The leaf of a message that is allowed; "drop": acknowledged and dropped. */
  authorizePublish(
    device: string,
    topic: string,
    bytes: number,
    retain: boolean,
  ): Leaf | "drop" | "disconnect" {
    const leaf = publishedLeaf(device, topic, bytes, retain);
    if (leaf === null) {
      this.refusals.report("publish", { clientId: device, topic });
      return "disconnect";
    }
    if (this.#messages.take(device)) return leaf;
    if (!this.#excess.take(device)) {
      this.refusals.report("flood", { clientId: device });
      return "disconnect";
    }
    // Without its PUBACK a device would hold the message, and send it again.
    this.refusals.report("rate", { clientId: device, topic });
    return "drop";
  }

  /** Decides on a subscription; a device that is refused too often is disconnected. */
  authorizeSubscription(device: string, filter: string): "grant" | "refuse" | "disconnect" {
    if (maySubscribe(device, filter)) return "grant";
    this.refusals.report("subscription", { clientId: device, topic: filter });
    return this.#excess.take(device) ? "refuse" : "disconnect";
  }

  /** Takes a slot; for a device that buys, if need be the one of the newcomer connected for longest. */
  async #admit(
    incoming: IncomingConnection,
    login: Credentials,
    isNewcomer: boolean,
  ): Promise<LoginRefusal | null> {
    if (!isNewcomer && this.admission.isFull) await this.#displace();
    if (incoming.admit(login.username, isNewcomer)) return null;
    return this.#refuse("full", UNAVAILABLE, "the broker is full", fieldsOf(incoming, login));
  }

  async #displace(): Promise<void> {
    for (let looks = 0; looks < DISPLACED_LOOKS_MAX; looks += 1) {
      const longest = this.admission.longestNewcomer;
      if (longest === null) return;
      if (await this.#options.isNewcomer(longest.device)) return longest.makeRoom("displaced");
      longest.hasBought();
    }
  }

  async #refusalOf(incoming: IncomingConnection, login: Credentials): Promise<LoginRefusal | null> {
    const { certified, needsCertificate } = incoming;
    const { gateway, recoverSigner, barred } = this.#options;
    const nowSeconds = Date.now() / 1000;
    const proof = proveDevice({ ...login, certified, needsCertificate }, gateway, nowSeconds, recoverSigner);
    const fields = fieldsOf(incoming, login);
    const { will } = login;
    if (proof.device === null) {
      return this.#refuse("login", proof.refusal.code, proof.refusal.reason, fields);
    }
    if (will !== null && !mayPublish(proof.device, will.topic, will.payload.length, will.retain)) {
      return this.#refuse("will", NOT_AUTHORISED, "expected a will on the device's own state", {
        ...fields,
        topic: will.topic,
      });
    }
    if (!this.#logins.take(proof.device)) {
      const reason = "too many logins of this device: is there another one with its key?";
      return this.#refuse("login-rate", UNAVAILABLE, reason, fields);
    }
    const reason = await barred(proof.device);
    return reason === null ? null : this.#refuse("not-enrolled", NOT_AUTHORISED, reason, fields);
  }

  #refuse(
    refusal: BrokerRefusal,
    code: LoginCode,
    reason: string,
    fields: Readonly<Record<string, string>>,
  ): LoginRefusal {
    this.refusals.report(refusal, { ...fields, code: String(code), reason });
    return { code, reason };
  }
}

/** Names a refused client, as far as it named itself. */
function fieldsOf(
  { certified, address }: IncomingConnection,
  { clientId }: Credentials,
): Record<string, string> {
  const shown = certified === null || certified.length === 0 ? {} : { certificate: certified.join(", ") };
  return { clientId, address, ...shown };
}

/**
 * The session of each device: of its authenticated connections the one that came last.
 * @typeParam Connection of the server
 */
export class SessionRegistry<Connection extends { readonly arrival: number }> {
  /** Logins that took the place of an older connection of the same device. */
  takeOvers = 0;
  readonly #byDevice = new Map<string, Connection>();

  of(device: string): Connection | undefined {
    return this.#byDevice.get(device);
  }

  /**
   * False when a later connection of the device is in already: the device gave up waiting and connected again, and
   * its first attempt, authenticated last, must not take over.
   */
  enter(device: string, connection: Connection): boolean {
    const before = this.#byDevice.get(device);
    if (before !== undefined && before.arrival > connection.arrival) return false;
    this.#byDevice.set(device, connection);
    if (before !== undefined) this.takeOvers += 1;
    return true;
  }

  leave(device: string, connection: Connection): void {
    if (this.#byDevice.get(device) === connection) this.#byDevice.delete(device);
  }
}
