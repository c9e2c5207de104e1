/**
 * A broker inside the gateway: its doors, and one of two servers behind them; one login per device, deny by default.
 *
 * Promise: a connection that proves no device gets nothing; a message that access.ts does not allow ends
 * its connection; a device that floods is heard at its rate, then ended; one that does not read holds up
 * nobody. What a device can make the broker hold is bounded.
 */

import { watchFiles } from "../../../device/node/config/file-watch.ts";
import type { Server } from "../../config/broker-section.ts";
import { BrokerAuth, type BrokerAuthOptions } from "../auth/auth.ts";
import type { Broker, BrokerWatch, Receive } from "../broker.ts";
import { openAedesServer } from "./aedes.ts";
import { openDirectServer } from "./direct.ts";
import { type ListenerOptions, openListeners } from "./listeners.ts";

export interface EmbeddedOptions extends ListenerOptions, BrokerAuthOptions {
  readonly server: Server;
}

export interface EmbeddedBroker extends Broker, BrokerWatch {
  /** Of all doors. */
  readonly urls: readonly string[];
  /** Reads the certificates again, as when they change; wrong ones change nothing. */
  reread(): void;
}

export async function openEmbeddedBroker(
  options: EmbeddedOptions,
  receive: Receive,
): Promise<EmbeddedBroker> {
  const { note, tls } = options;
  const gatehouse = new BrokerAuth(options);
  const { admission, refusals } = gatehouse;
  const open = options.server === "aedes" ? openAedesServer : openDirectServer;
  const server = await open(gatehouse, note, receive);
  const doors = await openListeners(options, admission, refusals, server.welcome).catch(async (error) => {
    // Its timers would keep a process alive that has nothing to serve.
    await server.close();
    throw error;
  });
  const files = tls === null ? [] : [tls.certFile, tls.keyFile, tls.clientCaFile ?? []].flat();
  const certificates =
    tls === null ? null : watchFiles("the broker's certificate", files, () => doors.renew(), note);
  note("info", "devices may connect", { urls: doors.urls });
  return {
    url: doors.urls[0]!,
    urls: doors.urls,
    refused: refusals.counts,
    get takeOvers() {
      return server.takeOvers;
    },
    get connections() {
      return admission.connections;
    },
    isConnected: (device) => server.isConnected(device),
    publish: (device, leaf, payload, retained) => server.publish(device, leaf, payload, retained),
    isUp: () => doors.isOpen(),
    retain: (topic, text) => server.retain(topic, text),
    reread: () => certificates?.now(),
    async close() {
      certificates?.stop();
      await server.close();
      await doors.close();
    },
  };
}
