// A road to a seller on which everything can go wrong that a seller, or who pretends to be one, can do.

import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const FAULTS = [
  "HTTP 500",
  "a body that drips",
  "a body without end",
  "garbage",
  "a redirect",
  "another content type",
  "a wrong Payment-Response",
  "a reset connection",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface FaultyRoad {
  readonly url: string;
  /** Null: the seller's own answers. */
  fault: Fault | null;
  /** Requests that a redirect led elsewhere. */
  readonly followed: number;
  /** Bytes of an endless body that were taken before the connection was closed, at most. */
  readonly takenBytes: number;
  close(): Promise<void>;
}

const PIECE = Buffer.alloc(65_536, "x");
/** An end after all, for a client that would take everything. */
const ENDLESS_BYTES = 128 * 1024 * 1024;
const DRIP_MS = 50;

export async function openFaultyRoad(target: string): Promise<FaultyRoad> {
  let followed = 0;
  let takenBytes = 0;

  async function misbehave(fault: Fault, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    // The seller does its work: what goes wrong is its answer.
    const { status, headers, body } = await pass(incoming, new URL(target));
    switch (fault) {
      case "HTTP 500":
        outgoing.writeHead(500, { "content-type": "text/plain" }).end("out of order");
        return;
      case "a body that drips":
        outgoing.writeHead(status, { ...headers, "content-length": String(body.length) });
        for (const byte of body) {
          if (outgoing.destroyed) return;
          outgoing.write(Buffer.of(byte));
          await new Promise((resolve) => setTimeout(resolve, DRIP_MS));
        }
        outgoing.end();
        return;
      case "a body without end": {
        const { "content-length": _, ...others } = headers;
        outgoing.writeHead(200, others);
        outgoing.setMaxListeners(0);
        let sent = 0;
        while (!outgoing.destroyed && sent < ENDLESS_BYTES) {
          sent += PIECE.length;
          if (!outgoing.write(PIECE)) await Promise.race([once(outgoing, "drain"), once(outgoing, "close")]);
        }
        takenBytes = Math.max(takenBytes, sent);
        outgoing.destroy();
        return;
      }
      case "garbage":
        incoming.socket.end("\u0000\u0001 this is not HTTP \r\n\r\n");
        return;
      case "a redirect":
        outgoing.writeHead(302, { location: `${url}/elsewhere` }).end();
        return;
      case "another content type":
        outgoing.writeHead(status, { ...headers, "content-type": "text/html" }).end(body);
        return;
      case "a wrong Payment-Response":
        outgoing.writeHead(status, { ...headers, "payment-response": "bm90IHg0MDI=" }).end(body);
        return;
      case "a reset connection":
        incoming.socket.resetAndDestroy();
    }
  }

  const server = createServer((incoming, outgoing) => {
    if (incoming.url === "/elsewhere") followed += 1;
    const { fault } = road;
    const answered =
      fault === null ? handOn(incoming, outgoing, target) : misbehave(fault, incoming, outgoing);
    answered.catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const road: FaultyRoad = {
    url,
    fault: null,
    get followed() {
      return followed;
    },
    get takenBytes() {
      return takenBytes;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return road;
}

async function handOn(incoming: IncomingMessage, outgoing: ServerResponse, target: string): Promise<void> {
  const { status, headers, body } = await pass(incoming, new URL(target));
  outgoing.writeHead(status, headers).end(body);
}

type Headers = IncomingMessage["headers"];

async function pass(
  incoming: IncomingMessage,
  target: URL,
): Promise<{ status: number; headers: Headers; body: Buffer }> {
  const { method, url, headers } = incoming;
  const onward = request(new URL(url!, target), { method: method!, headers });
  incoming.pipe(onward);
  const [answer] = (await once(onward, "response")) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of answer) pieces.push(piece as Buffer);
  return { status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(pieces) };
}
