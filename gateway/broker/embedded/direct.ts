/**
 * MQTT 3.1.1 spoken by the gateway itself, as devices need it, for fleets in which a broker library is what costs.
 *
 * Promise: what the gatehouse lets pass, and nothing else. Every message is from a device to the gateway or back, so
 * nothing is routed: a topic is its connection's own, or nobody's. One that does not read holds up nobody.
 */
import type { Leaf } from "#protocol/topics";
import type { Logger } from "../../purchase/ports.ts";
import { BACKLOG_TIMEOUT_MS, type BrokerAuth, packetBytesMax, SessionRegistry } from "../auth/auth.ts";
import { type LoginRefusal, UNAVAILABLE } from "../auth/connack.ts";
import type { Receive } from "../broker.ts";
import { TOO_MANY_PACKETS, takePacket } from "../limits/packet-rate-limit.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import type { MqttServer } from "./server-port.ts";
import type { RetainedWill } from "./will.ts";

/** Between two looks at who is silent, and who does not read. */
const LOOK_MS = 500;
const BACKLOG_LOOKS_MAX = BACKLOG_TIMEOUT_MS / LOOK_MS;
/** Section 3.1.2.10: silence of one and a half keep-alive times ends a connection. */
const SILENT_LOOKS_PER_SECOND = 1.5 / (LOOK_MS / 1000);

/** An acknowledgement waits once to twice as long for an answer to go out with. */
const SETTLE_MS = 50;

export function openDirectServer(gatehouse: BrokerAuth, note: Logger, receive: Receive): MqttServer {
  const { refusals, inTurn } = gatehouse;
  const nowMs = () => performance.now();
  const present = new Set<Connection>();
  const proven = new SessionRegistry<Connection>();
  /** Last retained message, by device, of each leaf: a string of its bytes, for there are many and a buffer weighs more. */
  const retained = new Map<Leaf, Map<string, string>>();
  /** Connections with acknowledgements that wait: since the last look, and since before it. */
  let owing = new Set<Connection>();
  let owingLonger = new Set<Connection>();
  let settling: NodeJS.Timeout | null = null;
  let arrivals = 0;
  let isOpen = true;

  function settle(): void {
    for (const connection of owingLonger) connection.flushAcks();
    owingLonger.clear();
    [owing, owingLonger] = [owingLonger, owing];
    settling = owingLonger.size > 0 ? setTimeout(settle, SETTLE_MS) : null;
  }

  const board: ConnectionHost = {
    authenticate: (connection, login) =>
      new Promise((resolve) => {
        inTurn(() => {
          resolve(present.has(connection) ? gatehouse.authenticate(connection.visitor, login) : GONE);
        });
      }),
    enter(connection) {
      const before = proven.of(connection.device);
      if (!proven.enter(connection.device, connection)) return false;
      // Told now, and not when its socket is closed: what the new connection says comes after it.
      const will = before?.dismiss() ?? null;
      if (will !== null) tellWill(connection.device, will);
      return true;
    },
    takePublish({ device }, { topic, payload, retain }) {
      const verdict = gatehouse.authorizePublish(device, topic, payload.length, retain);
      if (verdict === "end") return false;
      if (verdict !== "lose") receive(device, verdict, payload);
      return true;
    },
    takeSubscription({ device }, { filter, qos }) {
      const verdict = gatehouse.authorizeSubscription(device, filter);
      if (verdict === "end") return null;
      return verdict === "grant" ? Math.min(qos, 1) : REFUSED;
    },
    retained({ device }, leaf) {
      const bytes = retained.get(leaf)?.get(device);
      return bytes === undefined ? undefined : Buffer.from(bytes, "latin1");
    },
    queueAck(connection) {
      owing.add(connection);
      settling ??= setTimeout(settle, SETTLE_MS);
    },
    stuck(connection) {
      refusals.tell("backlog", { clientId: connection.device });
      connection.end();
    },
    ended(connection, reason) {
      if (!present.has(connection)) return;
      const { address } = connection.visitor;
      if (!connection.isProven) connection.visitor.fail();
      note("info", "connection ended", { clientId: connection.device.slice(0, 64), address, reason });
    },
    overstepped(connection, reason) {
      if (!present.has(connection)) return;
      const { visitor } = connection;
      refusals.tell(visitor.fail() ? "packet" : "source", { address: visitor.address, reason });
      connection.end();
    },
    left(connection, will) {
      present.delete(connection);
      owing.delete(connection);
      owingLonger.delete(connection);
      proven.leave(connection.device, connection);
      if (will !== null && isOpen) tellWill(connection.device, will);
    },
    bytesMax: ({ isProven }) => packetBytesMax(isProven),
    takePacket(connection) {
      if (takePacket(connection, nowMs)) return true;
      board.overstepped(connection, TOO_MANY_PACKETS);
      return false;
    },
  };

  function tellWill(device: string, { leaf, payload }: RetainedWill): void {
    receive(device, leaf, payload);
  }

  function retain(device: string, leaf: Leaf, payload: Uint8Array): void {
    const all = retained.get(leaf) ?? new Map<string, string>();
    retained.set(leaf, all);
    if (payload.length === 0) all.delete(device);
    else all.set(device, Buffer.from(payload).toString("latin1"));
  }

  /** Ends who is silent for too long, and who has not read for too long what it was sent. */
  function look(): void {
    for (const connection of present) {
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

  const looking = setInterval(look, LOOK_MS);
  return {
    get takeOvers() {
      return proven.takeOvers;
    },
    isConnected: (device) => proven.of(device) !== undefined,
    welcome(visitor) {
      present.add(new Connection(visitor, board, arrivals++));
    },
    publish(device, leaf, payload, isRetained) {
      if (isRetained) retain(device, leaf, payload);
      // Section 3.3.1.3: who subscribed before gets it as a message like any other.
      proven.of(device)?.publish(leaf, payload, false);
    },
    // Only devices log in here, and they may read no such topic.
    retain: () => undefined,
    async close() {
      isOpen = false;
      clearInterval(looking);
      if (settling !== null) clearTimeout(settling);
      for (const connection of [...owingLonger, ...owing]) connection.flushAcks();
      for (const connection of [...present]) connection.end();
    },
  };
}

/** Nobody hears it any more. */
const GONE: LoginRefusal = { code: UNAVAILABLE, reason: "gone" };

/** Section 3.9.3: the return code of a subscription that was not granted. */
const REFUSED = 128;
