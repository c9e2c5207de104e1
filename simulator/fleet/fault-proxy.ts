/**
 * A TCP relay between lights and their broker, so that their connections can be broken from outside.
 *
 * Promise: bytes pass unchanged; `drop` breaks every connection there is at that moment, and none later.
 */

import { connect, createServer, type Socket } from "node:net";
import { Watt402Error } from "#payment/watt402-error";

export interface FaultProxy {
  /** mqtt://127.0.0.1:port */
  readonly url: string;
  /** Breaks every connection without a goodbye; returns how many there were. */
  drop(): number;
  close(): Promise<void>;
}

/** @param brokerUrl mqtt://host:port; TLS would miss the name it checks. Throws on anything else. */
export async function openFaultProxy(brokerUrl: string): Promise<FaultProxy> {
  const { protocol, hostname, port } = new URL(brokerUrl);
  if (protocol !== "mqtt:") {
    throw new Watt402Error(
      "config-invalid",
      `relay: expected a broker at mqtt://host:port, found ${brokerUrl}; this scenario needs one without TLS`,
    );
  }
  const pairs = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port || 1883), hostname.replace(/^\[|\]$/g, ""));
    pairs.add(near);
    const end = () => {
      pairs.delete(near);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      // The light reports what broke it: it sees its own end.
      socket.on("error", end);
      socket.on("close", end);
    }
    near.pipe(far);
    far.pipe(near);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const listening = typeof address === "object" && address !== null ? address.port : 0;
  const drop = () => {
    const sockets = [...pairs];
    for (const socket of sockets) socket.resetAndDestroy();
    return sockets.length;
  };
  return {
    url: `mqtt://127.0.0.1:${listening}`,
    drop,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        drop();
      }),
  };
}
