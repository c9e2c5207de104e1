/** A broker that runs elsewhere, looked at before a fleet is sent there. */

import { openBrokerSocket, readBrokerUrl, type TlsFiles } from "#node/broker-socket";
import { Watt402Error } from "#payment/watt402-error";

const ANSWER_MS = 5_000;

/** Throws one line unless something listens at the URL. */
export function requireBroker(url: string, tls: TlsFiles): Promise<void> {
  const socket = openBrokerSocket(readBrokerUrl(url), tls);
  return new Promise<void>((resolve, reject) => {
    const refuse = (why: string) =>
      reject(
        new Watt402Error(
          "unreachable",
          `broker ${url}: expected an MQTT broker, found no answer (${why}); is it running there?`,
        ),
      );
    socket.setTimeout(ANSWER_MS, () => refuse(`none within ${ANSWER_MS} ms`));
    socket.once("error", (error: NodeJS.ErrnoException) => refuse(error.code ?? error.message));
    socket.once(/^(mqtts|wss):/.test(url) ? "secureConnect" : "connect", () => resolve());
  }).finally(() => socket.destroy());
}
