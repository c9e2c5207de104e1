// Many lights in a process of their own, each a bare socket: they come on command, all at once, and come
// again with back-off, as device hosts do, until they are in.

import { connect, type Socket } from "node:net";
import { generate } from "mqtt-packet";
import { generatePrivateKey } from "viem/accounts";
import { openNativeKey } from "#node/key/native-key";
import { fromHex } from "#payment/bytes";
import type { Key } from "#payment/key";
import { loginToken } from "#payment/login";

const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** A device host's patience with a login. */
const CONNECT_MS = 10_000;

const [port, count, gateway] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]!];
const keys = Array.from({ length: count }, () => openNativeKey(fromHex(generatePrivateKey())));

/** A login lasts for minutes, so every attempt makes its own, as a device host does. */
function loginOf(key: Key): Buffer {
  const name = key.address.slice(2);
  return generate({
    cmd: "connect",
    clientId: name,
    username: name,
    password: Buffer.from(loginToken(key, gateway, Date.now() / 1000)),
    protocolId: "MQTT",
    protocolVersion: 4,
    clean: true,
    keepalive: 0,
  });
}

const sockets = new Set<Socket>();
let isIn = 0;
let attempts = 0;
let isStorming = false;

function come(key: Key, tries: number): void {
  attempts += 1;
  const socket = connect(port, "127.0.0.1", () => socket.write(loginOf(key)));
  let isLoggedIn = false;
  const timer = setTimeout(() => socket.destroy(), CONNECT_MS);
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    if (isLoggedIn || chunk[0] !== 0x20 || chunk[3] !== 0) return;
    isLoggedIn = true;
    clearTimeout(timer);
    isIn += 1;
    sockets.add(socket);
    if (isIn === count) process.send?.({ attempts });
  });
  socket.on("close", () => {
    clearTimeout(timer);
    sockets.delete(socket);
    if (isLoggedIn) isIn -= 1;
    if (!isStorming) return;
    const delayMs = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** tries) * (0.5 + Math.random() / 2);
    setTimeout(come, delayMs, key, tries + 1);
  });
}

process.on("message", (message) => {
  if (message === "come") {
    attempts = 0;
    isStorming = true;
    for (const key of keys) come(key, 0);
  } else if (message === "cut") {
    isStorming = false;
    for (const socket of sockets) socket.destroy();
  }
});
process.on("disconnect", () => process.exit(0));
process.send?.({ attempts: 0 });
