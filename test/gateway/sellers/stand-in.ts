// An HTTP server in a seller's place, and the gateway's own client towards it.

import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { type Http, openHttp } from "#gateway/sellers/client/seller-http";

export interface StandIn {
  readonly url: string;
  readonly http: Http;
  close(): Promise<void>;
}

export async function openStandIn(answer: RequestListener): Promise<StandIn> {
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const http = openHttp({
    connections: 2,
    timeoutMs: 5_000,
    origins: [origin],
    allowPrivate: true,
    authorities: null,
  });
  return {
    url: `${origin}/energy`,
    http,
    async close() {
      await http.close();
      server.close();
    },
  };
}
