import { createHash, createHmac } from "node:crypto";
import { createServer, type Socket } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "#node/clock";
import {
  type BoardLink,
  openBoardLink,
  UNACKNOWLEDGED_MAX,
} from "../../../device/espruino/mqtt/board-link.ts";
import { PacketReader, publishPacket, readPublish } from "../../../device/espruino/mqtt/board-packets.ts";
import { hmacOver } from "../../../device/espruino/signer/hmac.ts";
import { startBroker, type TestBroker, until } from "../node/broker.ts";
import { BYTES, boardNet } from "./board-net.ts";

const DEVICE = "12".repeat(20);
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Ends {
  readonly link: BoardLink;
  readonly ups: boolean[];
  readonly heard: string[];
  readonly troubles: string[];
}

function linkTo(port: number, login: () => string | null = () => "secret", split?: () => number): Ends {
  const ends = { ups: [] as boolean[], heard: [] as string[], troubles: [] as string[] };
  const link = openBoardLink({
    net: boardNet(split ?? null),
    host: "127.0.0.1",
    port,
    device: DEVICE,
    login,
    keepaliveSeconds: 4,
    bytes: BYTES,
    clock: systemClock(),
    random: () => 0,
    onTrouble: (text) => ends.troubles.push(text),
  });
  closing.push(() => link.close());
  link.onMessage((leaf, payload) => ends.heard.push(`${leaf} ${Buffer.from(payload).toString("latin1")}`));
  link.onChange((up) => ends.ups.push(up));
  return { link, ...ends };
}

async function broker(options = {}): Promise<TestBroker> {
  const started = await startBroker(options);
  closing.push(() => started.close());
  return started;
}

const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const topic = (leaf: string) => `x402/1/${DEVICE}/${leaf}`;
const of = (found: TestBroker, leaf: string) =>
  found.published.filter((one) => one.topic === topic(leaf)).map((one) => one.payload.toString("latin1"));

describe("packets", () => {
  it("come out whole however they were split or joined", () => {
    const payload = fc.uint8Array({ maxLength: 500 }).map((found) => Buffer.from(found).toString("latin1"));
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 8 }), cuts, (payloads, sizes) => {
        const stream = payloads
          .map((text, index) => publishPacket("a/b", text, index + 1, false, false))
          .join("");
        const reader = new PacketReader();
        const found: string[] = [];
        for (let at = 0, n = 0; at < stream.length; n++) {
          const size = sizes[n % sizes.length]!;
          for (const packet of reader.take(stream.slice(at, at + size))!)
            found.push(readPublish(packet)!.payload);
          at += size;
        }
        expect(found).toEqual(payloads);
      }),
    );
  });

  it("of a length that no leaf has are an error, and so are lengths without end", () => {
    expect(new PacketReader().take("\x30\xff\xff\x7f")).toBeNull();
    expect(new PacketReader().take("\x30\xff\xff\xff\xff")).toBeNull();
    expect(new PacketReader().take("\x30\xff")).toEqual([]);
    expect(readPublish({ type: 3, flags: 2, body: "\x00\x09a" })).toBeNull();
  });
});

describe("the board's HMAC", () => {
  it("equals Node's for any message and key of at most a block", () => {
    const hash = (text: Uint8Array) => createHash("sha256").update(text).digest();
    const hmac = hmacOver(hash);
    const key = fc.uint8Array({ minLength: 0, maxLength: 64 });
    fc.assert(
      fc.property(key, fc.uint8Array({ maxLength: 300 }), (secret, message) => {
        const expected = createHmac("sha256", secret).update(message).digest();
        expect(Buffer.compare(hmac(secret, message), expected)).toBe(0);
        expect(Buffer.compare(hmac(secret, message), expected)).toBe(0);
      }),
    );
    expect(() => hmac(new Uint8Array(65), bytes("x"))).toThrow("64");
  });
});

describe("the board's link", () => {
  it("logs in, publishes byte for byte, hears its own leaves, and says goodbye without a will", async () => {
    const found = await broker();
    const { link, ups, heard } = linkTo(
      found.port,
      () => "secret",
      () => 3,
    );
    await until("it is up", () => ups[0] === true);
    expect(found.passwords).toEqual(["secret"]);
    const every = Array.from({ length: 83 }, (_, at) => String.fromCharCode((at * 7) & 255)).join("");
    link.publish("pay", bytes(every), false);
    await until("the pay arrives", () => of(found, "pay")[0] === every);
    found.send(topic("grant"), bytes("\x12\x00\xff"));
    found.send(topic("offer"), bytes("{}"));
    await until("both are heard", () => heard.length === 2);
    expect(heard).toEqual(["grant \x12\x00\xff", "offer {}"]);
    link.close();
    await until("it is gone", () => found.aedes.connectedClients === 0);
    expect(of(found, "state")).toEqual([]);
  });

  it("has its will published when it dies, and comes back by itself", async () => {
    const found = await broker();
    const { ups } = linkTo(found.port);
    await until("it is up", () => ups.length === 1);
    found.cut();
    await until("its will is published", () => of(found, "state").includes('{"v":1,"status":"lost"}'));
    await until("it is up again", () => ups.length === 3);
    expect(ups).toEqual([true, false, true]);
  });

  it("sends again what was not acknowledged, marked so, on the next connection", async () => {
    const seen: { readonly flags: number; readonly payload: string }[] = [];
    let connections = 0;
    const server = createServer((socket: Socket) => {
      const reader = new PacketReader();
      const present = connections++;
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        for (const packet of reader.take(chunk.toString("latin1"))!) {
          if (packet.type === 1) socket.write("\x20\x02\x01\x00", "latin1");
          if (packet.type === 8) socket.write(`\x90\x04${packet.body.slice(0, 2)}\x01\x01`, "latin1");
          if (packet.type !== 3) continue;
          const message = readPublish(packet)!;
          seen.push({ flags: packet.flags, payload: message.payload });
          if (present === 0) socket.destroy();
          else socket.write(`\x40\x02${packet.body.substr(2 + message.topic.length, 2)}`, "latin1");
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closing.push(() => new Promise<void>((resolve) => void server.close(() => resolve())));
    const { link, ups } = linkTo((server.address() as { port: number }).port);
    await until("it is up", () => ups.length === 1);
    link.publish("pay", bytes("rung"), false);
    await until("it comes again", () => seen.length === 2);
    expect(seen).toEqual([
      { flags: 0x2, payload: "rung" },
      { flags: 0xa, payload: "rung" },
    ]);
    expect(link.counters.resent).toBe(1);
  });

  it("holds at most eight publishes unacknowledged, refuses what is offline, and keeps the newest state", async () => {
    const held = await broker({ acknowledges: false });
    const { link, ups } = linkTo(held.port);
    link.publish("pay", bytes("early"), false);
    link.publish("state", bytes("old"), true);
    link.publish("state", bytes("new"), true);
    expect(link.counters.refused).toBe(1);
    await until("it is up", () => ups.length === 1);
    for (let n = 0; n < 20; n++) link.publish("pay", bytes(`${n}`), false);
    expect(link.counters.refused).toBe(1 + 20 - (UNACKNOWLEDGED_MAX - 1));
    link.publish("grant", bytes("x"), false);
    link.publish("pay", new Uint8Array(104), false);
    expect(link.counters.refused).toBe(1 + 13 + 2);
  });

  it("believes a broker that refuses its login, and waits for a clock before it tries one", async () => {
    let password: string | null = null;
    const found = await broker({ admits: (_: string, reported: string) => reported === "right" });
    const { ups, troubles } = linkTo(found.port, () => password);
    await until("it waits", () => troubles.some((text) => text.includes("clock")));
    password = "wrong";
    await until("it is refused", () => troubles.some((text) => text.includes("no right to connect")));
    expect(ups).toEqual([]);
    password = "right";
    await until("it is up", () => ups.length === 1);
  });

  it("says why it has no connection where no broker listens", async () => {
    const found = await startBroker();
    await found.close();
    const { troubles } = linkTo(found.port);
    await until("it says so", () => troubles.length > 0);
    expect(troubles[0]).toContain("ECONNREFUSED");
  });
});
