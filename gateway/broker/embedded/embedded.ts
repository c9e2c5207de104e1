/**
 * A broker inside the gateway: its listeners, and one of two servers behind them; one session per device, deny by default.
 *
 * Promise: a connection that is not authenticated gets nothing; a message that access.ts does not allow ends
 * its connection; a device that floods is served at its rate, then disconnected; one that does not read delays
 * no other. What a device can make the broker hold is bounded.
 */

import { watchFiles } from "../../../device/node/config/file-watch.ts";
import type { Server } from "../../config/broker-section.ts";
import { BrokerAuth, type BrokerAuthOptions } from "../auth/auth.ts";
import type { Broker, BrokerWatch, Receive } from "../broker.ts";
import { openAedesServer } from "./aedes.ts";
import { DirectServer } from "./direct.ts";
import { type IncomingConnection, type ListenerOptions, openListeners } from "./listeners.ts";

export interface EmbeddedOptions extends ListenerOptions, BrokerAuthOptions {
  readonly server: Server;
}

export interface EmbeddedBroker extends Broker, BrokerWatch {
  /** Of all listeners. */
  readonly urls: readonly string[];
  /** Reads the certificates again, as when they change; wrong ones change nothing. */
  reload(): void;
}

export async function openEmbeddedBroker(
  options: EmbeddedOptions,
  receive: Receive,
): Promise<EmbeddedBroker> {
  const { note, tls } = options;
  const auth = new BrokerAuth(options);
  const { admission, refusals } = auth;
  const isAedes = options.server === "aedes";
  const server = isAedes ? await openAedesServer(auth, note, receive) : new DirectServer(auth, note, receive);
  const accept = (incoming: IncomingConnection) => server.accept(incoming);
  const listeners = await openListeners(options, admission, refusals, accept).catch(async (error) => {
    // Its timers would keep a process alive that has nothing to serve.
    await server.close();
    throw error;
  });
  const files = tls === null ? [] : [tls.certFile, tls.keyFile, tls.clientCaFile ?? []].flat();
  const certificates =
    tls === null ? null : watchFiles("the broker's certificate", files, () => listeners.renew(), note);
  note("info", "devices may connect", { urls: listeners.urls });
  return {
    url: listeners.urls[0]!,
    urls: listeners.urls,
    refused: refusals.counts,
    get takeOvers() {
      return server.takeOvers;
    },
    get connections() {
      return admission.connections;
    },
    isConnected: (device) => server.isConnected(device),
    publish: (device, leaf, payload, retained) => server.publish(device, leaf, payload, retained),
    isUp: () => listeners.isOpen(),
    retain: (topic, text) => server.retain(topic, text),
    reload: () => certificates?.now(),
    async close() {
      certificates?.stop();
      await server.close();
      await listeners.close();
    },
  };
}
