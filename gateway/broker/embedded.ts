/**
 * A broker inside the gateway: MQTT 3.1.1 as devices need it, one login per device, deny by default.
 *
 * Promise: a connection that proves no device gets nothing; a message that access.ts does not allow ends
 * its connection; a device that floods is heard at its rate, then ended; one that does not read holds up
 * nobody. What a device can make the broker hold is bounded. Every message is from a device to the gateway or
 * back, so nothing is routed: a topic is its connection's own, or nobody's.
 */
import type { Key } from "#payment/key";
import { LEAVES, topicOf } from "#protocol/topics";
import type { Note, Read } from "../purchase/ports.ts";
import { rereadOnChange } from "../reread.ts";
import { mayPublish, maySubscribe, proveDevice, publishedLeaf } from "./access.ts";
import { Admission } from "./admission.ts";
import { Allowances, type Rate } from "./allowance.ts";
import type { Broker, BrokerWatch, Receive } from "./broker.ts";
import { Connection, type Switchboard } from "./connection.ts";
import { type DoorOptions, openDoors, type Visitor } from "./doors.ts";
import type { Connect, Will } from "./mqtt-packets.ts";
import { openRefusals } from "./refusals.ts";
import { openTurns } from "./turns.ts";

export interface EmbeddedOptions extends DoorOptions {
  /** The gateway's key, or its address: logins are made for it; with an address alone none can be sealed. */
  readonly gateway: Key | string;
  readonly connectionsMax: number;
  /** What one device may publish. */
  readonly messages: Rate;
  /** Null when a device that proved itself may log in, else why not. */
  readonly barred: (device: string) => Read<string | null>;
  readonly note: Note;
}

export interface EmbeddedBroker extends Broker, BrokerWatch {
  /** Of all doors. */
  readonly urls: readonly string[];
  /** Reads the certificates again, as when they change; wrong ones change nothing. */
  reread(): void;
}

/** Topic and packet id of a publish: generous, and nothing beside the payload. */
const PACKET_OVERHEAD_BYTES = 4_096;
const PACKET_BYTES_MAX =
  PACKET_OVERHEAD_BYTES + Math.max(...Object.values(LEAVES).map(({ bytesMax }) => bytesMax));

/** A login with its will. */
const LOGIN_BYTES_MAX = 4_096;

/** Packets of every kind, acknowledgements included: far above what a device may publish. */
const PACKETS: Rate = { perSecond: 1_000, burst: 10_000 };

/** Proven logins of one device: a link that comes and goes, not two devices with one key taking turns for ever. */
const LOGINS: Rate = { perSecond: 0.5, burst: 30 };

/** Between two looks at who is silent, and who does not read. */
const LOOK_MS = 500;
const BACKLOG_LOOKS_MAX = 20;
/** Section 3.1.2.10: silence of one and a half keep-alive times ends a connection. */
const SILENT_LOOKS_PER_SECOND = 1.5 / (LOOK_MS / 1000);

/** An acknowledgement waits once to twice as long for an answer to go out with. */
const SETTLE_MS = 50;

export async function openEmbeddedBroker(
  options: EmbeddedOptions,
  receive: Receive,
): Promise<EmbeddedBroker> {
  const { gateway, note, connectionsMax } = options;
  const nowMs = () => performance.now();
  const refusals = openRefusals(note);
  const admission = new Admission({ connectionsMax, nowMs });
  const messages = new Allowances(options.messages, connectionsMax, nowMs);
  const excess = new Allowances(options.messages, connectionsMax, nowMs);
  const logins = new Allowances(LOGINS, connectionsMax, nowMs);
  const inTurn = openTurns(nowMs);
  const visitors = new Map<Connection, Visited>();
  /** By device. */
  const proven = new Map<string, Connection>();
  /** Last retained message, by topic. */
  const retained = new Map<string, Uint8Array>();
  /** Connections with acknowledgements that wait: since the last look, and since before it. */
  let owing = new Set<Connection>();
  let owingLonger = new Set<Connection>();
  let settling: NodeJS.Timeout | null = null;
  let arrivals = 0;
  let takeOvers = 0;
  let isOpen = true;

  /** Why a login is refused, told; null when it is right. */
  async function judge(connection: Connection, login: Connect): Promise<string | null> {
    const { visitor } = visitors.get(connection)!;
    const { certified, needsCertificate, address } = visitor;
    const { clientId, will } = login;
    const { device, reason } = proveDevice(
      { ...login, certified, needsCertificate },
      gateway,
      Date.now() / 1000,
    );
    const fields = { clientId, address };
    if (device === null) {
      refusals.tell("login", { ...fields, reason });
      return reason;
    }
    if (will !== null && !mayPublish(device, will.topic, will.payload.length, will.retain)) {
      refusals.tell("will", { ...fields, topic: will.topic });
      return "expected a will on the device's own state";
    }
    if (!logins.take(device)) {
      refusals.tell("login-rate", fields);
      return "too many logins of this device: is there another one with its key?";
    }
    const barred = await options.barred(device);
    if (barred !== null) refusals.tell("not-enrolled", { ...fields, reason: barred });
    return barred;
  }

  async function judgeOrRefuse(connection: Connection, login: Connect): Promise<string | null> {
    try {
      const refusal = await judge(connection, login);
      if (refusal !== null) visitors.get(connection)?.visitor.place.fail();
      return refusal;
    } catch (error) {
      note("warn", "a login could not be judged", { reason: String(error) });
      return "the gateway cannot judge logins now";
    }
  }

  function settle(): void {
    for (const connection of owingLonger) connection.settle();
    owingLonger.clear();
    [owing, owingLonger] = [owingLonger, owing];
    settling = owingLonger.size > 0 ? setTimeout(settle, SETTLE_MS) : null;
  }

  const board: Switchboard = {
    judge: (connection, login) =>
      new Promise((resolve) => {
        inTurn(() => {
          if (connection.isEnded) resolve("gone");
          else resolve(judgeOrRefuse(connection, login));
        });
      }),
    enter(connection) {
      const { visitor, arrival } = visitors.get(connection)!;
      visitor.place.prove();
      const before = proven.get(connection.device);
      // The device gave up waiting and came again: its first attempt, judged last, must not take over.
      if (before !== undefined && visitors.get(before)!.arrival > arrival) return false;
      proven.set(connection.device, connection);
      if (before === undefined) return true;
      takeOvers += 1;
      // Told now, and not when its socket is closed: what the new connection says comes after it.
      const will = before.dismiss();
      if (will !== null) tellWill(connection.device, will);
      return true;
    },
    takePublish(connection, { topic, payload, retain }) {
      const { device } = connection;
      const leaf = publishedLeaf(device, topic, payload.length, retain);
      if (leaf === null) {
        refusals.tell("publish", { clientId: device, topic });
        return false;
      }
      if (messages.take(device)) {
        receive(device, leaf, payload);
        return true;
      }
      if (!excess.take(device)) {
        refusals.tell("flood", { clientId: device });
        return false;
      }
      // Acknowledged and lost: without its PUBACK a device would hold the message, and send it again.
      refusals.tell("rate", { clientId: device, topic });
      return true;
    },
    takeSubscription({ device }, { filter, qos }) {
      if (maySubscribe(device, filter)) return Math.min(qos, 1);
      refusals.tell("subscription", { clientId: device, topic: filter });
      return excess.take(device) ? 128 : null;
    },
    retained: ({ device }, leaf) => retained.get(topicOf(device, leaf)),
    owes(connection) {
      owing.add(connection);
      settling ??= setTimeout(settle, SETTLE_MS);
    },
    stuck(connection) {
      refusals.tell("backlog", { clientId: connection.device });
      connection.end();
    },
    ended(connection, reason) {
      const visited = visitors.get(connection);
      if (visited === undefined) return;
      const { address, place } = visited.visitor;
      if (!connection.isProven) place.fail();
      if (reason.startsWith(PACKETS_FAULT)) refusals.tell("packet", { address, reason });
      else note("info", "connection ended", { clientId: connection.device.slice(0, 64), reason });
    },
    left(connection, will) {
      visitors.delete(connection);
      owing.delete(connection);
      owingLonger.delete(connection);
      if (proven.get(connection.device) === connection) proven.delete(connection.device);
      if (will !== null && isOpen) tellWill(connection.device, will);
    },
    bytesMax: ({ isProven }) => (isProven ? PACKET_BYTES_MAX : LOGIN_BYTES_MAX),
    takePacket(connection) {
      const visited = visitors.get(connection);
      if (visited === undefined) return false;
      visited.packetsLeft -= 1;
      if (visited.packetsLeft >= 0) return true;
      const sinceMs = nowMs() - visited.filledAtMs;
      visited.packetsLeft += Math.min(PACKETS.burst, (sinceMs / 1000) * PACKETS.perSecond);
      visited.filledAtMs += sinceMs;
      if (visited.packetsLeft >= 0) return true;
      board.ended(connection, `${PACKETS_FAULT} at most ${PACKETS.perSecond} a second, found more`);
      connection.end();
      return false;
    },
  };

  function tellWill(device: string, { topic, payload, retain }: Will): void {
    const leaf = publishedLeaf(device, topic, payload.length, retain);
    if (leaf !== null) receive(device, leaf, payload);
  }

  /** Ends who is silent for too long, and who has not read for too long what it was sent. */
  function look(): void {
    for (const connection of visitors.keys()) {
      connection.silentLooks = connection.isHeard ? 0 : connection.silentLooks + 1;
      connection.isHeard = false;
      connection.stuckLooks = connection.stream.writableNeedDrain ? connection.stuckLooks + 1 : 0;
      const { keepaliveSeconds, silentLooks, stuckLooks } = connection;
      if (stuckLooks > BACKLOG_LOOKS_MAX) board.stuck(connection);
      else if (keepaliveSeconds > 0 && silentLooks > keepaliveSeconds * SILENT_LOOKS_PER_SECOND) {
        note("info", "connection ended", { clientId: connection.device, reason: "keep alive timeout" });
        connection.end();
      }
    }
  }

  const doors = await openDoors(options, admission, refusals, (visitor) => {
    const connection = new Connection(visitor.stream, board);
    visitors.set(connection, {
      visitor,
      arrival: arrivals++,
      packetsLeft: PACKETS.burst,
      filledAtMs: nowMs(),
    });
  });
  const looking = setInterval(look, LOOK_MS);
  const { tls } = options;
  const files = tls === null ? [] : [tls.certFile, tls.keyFile, tls.clientCaFile ?? []].flat();
  const certificates =
    tls === null ? null : rereadOnChange("the broker's certificate", files, () => doors.renew(), note);
  note("info", "devices may connect", { urls: doors.urls });
  return {
    url: doors.urls[0]!,
    urls: doors.urls,
    refused: refusals.counts,
    get takeOvers() {
      return takeOvers;
    },
    get connections() {
      return admission.connections;
    },
    publish(device, leaf, payload, isRetained) {
      if (isRetained && payload.length === 0) retained.delete(topicOf(device, leaf));
      else if (isRetained) retained.set(topicOf(device, leaf), payload);
      // Section 3.3.1.3: who subscribed before gets it as a message like any other.
      proven.get(device)?.publish(leaf, payload, false);
    },
    isUp: () => doors.isOpen(),
    // Only devices log in here, and they may read no such topic.
    retain: () => undefined,
    reread: () => certificates?.now(),
    async close() {
      isOpen = false;
      certificates?.stop();
      clearInterval(looking);
      if (settling !== null) clearTimeout(settling);
      for (const connection of [...owingLonger, ...owing]) connection.settle();
      await doors.close();
    },
  };
}

interface Visited {
  readonly visitor: Visitor;
  /** Counts up from connection to connection. */
  readonly arrival: number;
  packetsLeft: number;
  filledAtMs: number;
}

/** How the reason begins when packets were too long or too many. */
const PACKETS_FAULT = "expected packets of";
