// A road between gateway and seller on which answers get lost after the seller has done its work: the proxy
// reads the whole answer, and only then cuts the connection.

import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";

export interface LossyProxy {
  readonly url: string;
  /** Answers to payments that got lost so far. */
  readonly lost: number;
  /** Payments that got through so far, lost ones included. */
  readonly paid: number;
  /** The road ends elsewhere from now on. */
  leadTo(target: string): void;
  close(): Promise<void>;
}

/** @param isLost called at every answer to a paid request: its number, from 0, and its status */
export async function openLossyProxy(
  target: string,
  isLost: (payment: number, status: number) => boolean,
): Promise<LossyProxy> {
  let end = new URL(target);
  let lost = 0;
  let paid = 0;
  const server = createServer(async (incoming, outgoing) => {
    const carriesPayment = incoming.headers["payment-signature"] !== undefined;
    try {
      const { status, headers, body } = await pass(incoming, end);
      if (carriesPayment && headers["payment-response"] !== undefined) {
        const number = paid++;
        if (isLost(number, status)) {
          lost += 1;
          outgoing.destroy();
          return;
        }
      }
      outgoing.writeHead(status, headers).end(body);
    } catch {
      outgoing.destroy();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get lost() {
      return lost;
    },
    get paid() {
      return paid;
    },
    leadTo(other) {
      end = new URL(other);
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Passed {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

async function pass(incoming: IncomingMessage, end: URL): Promise<Passed> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return new Promise((resolve, reject) => {
    const { method, url, headers } = incoming;
    const onward = request(
      { host: end.hostname, port: end.port, method, path: url, headers },
      async (answer) => {
        const parts: Buffer[] = [];
        answer.on("error", reject);
        for await (const part of answer) parts.push(part as Buffer);
        const { "transfer-encoding": _, ...kept } = answer.headers;
        resolve({ status: answer.statusCode!, headers: kept, body: Buffer.concat(parts) });
      },
    );
    onward.on("error", reject);
    onward.end(Buffer.concat(chunks));
  });
}
