import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FaultProxy, openFaultProxy } from "#simulator/fleet/fault-proxy";

/** However it closes: a reset is an error first. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

describe("a relay before a broker", () => {
  let echo: Server;
  let relay: FaultProxy;
  const clients: Socket[] = [];

  beforeAll(async () => {
    echo = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
    relay = await openFaultProxy(`mqtt://127.0.0.1:${(echo.address() as AddressInfo).port}`);
  });
  afterAll(async () => {
    for (const client of clients) client.destroy();
    await relay.close();
    await new Promise((resolve) => echo.close(resolve));
  });

  async function join(): Promise<Socket> {
    const client = connect(Number(new URL(relay.url).port), "127.0.0.1");
    clients.push(client);
    client.on("error", () => {});
    await once(client, "connect");
    return client;
  }

  it("passes bytes unchanged, breaks all there are, and lets the next ones through", async () => {
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
    const first = [await join(), await join()];
    for (const client of first) {
      client.write(bytes);
      const got: Buffer[] = [];
      for (let size = 0; size < bytes.length; ) {
        const [chunk] = (await once(client, "data")) as [Buffer];
        got.push(chunk);
        size += chunk.length;
      }
      expect(Buffer.concat(got).equals(bytes)).toBe(true);
    }
    const gone = first.map(closed);
    expect(relay.drop()).toBe(2);
    await Promise.all(gone);
    expect(relay.drop()).toBe(0);
    const next = await join();
    next.write("still here");
    const [answer] = (await once(next, "data")) as [Buffer];
    expect(answer.toString()).toBe("still here");
  });

  it("breaks a connection whose broker is away", async () => {
    const away = await openFaultProxy("mqtt://127.0.0.1:1");
    const client = connect(Number(new URL(away.url).port), "127.0.0.1");
    client.on("error", () => {});
    await closed(client);
    expect(away.drop()).toBe(0);
    await away.close();
  });

  it("refuses TLS in one line: the name it checks would be another", async () => {
    await expect(openFaultProxy("mqtts://broker.example:8883")).rejects.toThrow(
      "relay: expected a broker at mqtt://host:port, found mqtts://broker.example:8883; this scenario needs one without TLS",
    );
  });
});
