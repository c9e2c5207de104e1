/**
 * A meter's serial line as devices find it: behind a TCP converter that can spoil what it carries, or as a
 * pair of pseudo-terminals.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { Duplex, Transform } from "node:stream";
import { SerialPort } from "serialport";
import { type Slaves, serveRtu } from "#simulator/hardware/modbus-slave";
import { until } from "../device/node/broker.ts";

export interface Converter {
  readonly port: number;
  /** While true a bit of every answer is turned over. */
  noisy: boolean;
  close(): Promise<void>;
}

/** RTU frames through TCP. */
export async function openConverter(slaves: Slaves): Promise<Converter> {
  const sockets = new Set<Socket>();
  const line = { noisy: false };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    const cable = new Transform({
      transform: (bytes: Buffer, _encoding, done) => done(null, line.noisy ? spoilt(bytes) : bytes),
    });
    cable.pipe(socket);
    const far = Duplex.from({ readable: socket, writable: cable });
    // A device that goes away only ends it.
    far.on("error", () => {});
    serveRtu(far, slaves);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(line, {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  });
}

/** In the middle of the data, where only the CRC can tell. */
function spoilt(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length >> 1]! ^= 0x10;
  return copy;
}

export interface Pair {
  /** The end that a device opens. */
  readonly near: string;
  /** Also what happens when the adapter is pulled out. */
  close(): Promise<void>;
}

/** A pair of pseudo-terminals with somebody on its far end. */
export async function openPair(
  folder: string,
  baudRate: number,
  serve: (far: SerialPort) => void,
): Promise<Pair> {
  const [near, far] = [join(folder, "near"), join(folder, "far")];
  const socat = spawn("socat", [`pty,raw,echo=0,link=${near}`, `pty,raw,echo=0,link=${far}`]);
  const ended = new Promise<void>((resolve, reject) => {
    socat.once("error", reject);
    socat.once("close", () => resolve());
  });
  await Promise.race([
    until("both ends of the line", () => existsSync(near) && existsSync(far), 10_000),
    ended,
  ]);
  const port = new SerialPort({ path: far, baudRate });
  serve(port);
  return {
    near,
    close: async () => {
      await new Promise<void>((resolve) => port.close(() => resolve()));
      socat.kill("SIGTERM");
      await ended;
    },
  };
}
