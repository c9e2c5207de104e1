/**
 * Meters as Modbus slaves: over Modbus TCP, or as RTU frames on any byte stream.
 *
 * Promise: only reads are served; a request with a wrong CRC or for another slave is met with silence, as
 * on a real bus; a register that the meter lacks is exception 2 (application protocol V1.1b3, section 7).
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { crc16 } from "#hardware/meters/modbus/rtu-port";
import type { MeterImage } from "./meter-image.ts";

/** The meters of one bus by their slave address. */
export type Slaves = ReadonlyMap<number, MeterImage>;

const READ_HOLDING = 0x03;
const READ_INPUT = 0x04;
const ILLEGAL_FUNCTION = 0x01;
const ILLEGAL_ADDRESS = 0x02;

/** A read request on a serial line: slave, function, address, count, CRC. */
const REQUEST_BYTES = 8;

/** Transaction, protocol, length (messaging on TCP/IP V1.0b, section 3.1.3). */
const MBAP_BYTES = 6;

/** Slave, function, address, count. */
const UNIT_BYTES = 6;

/** What goes back for slave, function, address and count, without CRC; null for silence. */
export function answerTo(request: Buffer, slaves: Slaves): Buffer | null {
  const [slave, code] = request;
  const image = slaves.get(slave!);
  if (image === undefined) return null;
  const refuse = (exception: number) => Buffer.from([slave!, code! | 0x80, exception]);
  if (request.length !== UNIT_BYTES || (code !== READ_HOLDING && code !== READ_INPUT)) {
    return refuse(ILLEGAL_FUNCTION);
  }
  const area = code === READ_INPUT ? "input" : "holding";
  const words = image.words(area, request.readUInt16BE(2), request.readUInt16BE(4));
  if (words === null) return refuse(ILLEGAL_ADDRESS);
  const answer = Buffer.alloc(3 + 2 * words.length);
  answer.set([slave!, code, 2 * words.length]);
  for (const [index, word] of words.entries()) answer.writeUInt16BE(word, 3 + 2 * index);
  return answer;
}

/** A frame of a serial line: the bytes and their CRC. */
export function withCrc(bytes: Uint8Array): Buffer {
  const crc = crc16(bytes);
  return Buffer.from([...bytes, crc & 0xff, crc >> 8]);
}

/** Answers RTU requests on a stream for as long as it is open. */
export function serveRtu(stream: Duplex, slaves: Slaves): void {
  let bytes = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= REQUEST_BYTES) {
      const request = bytes.subarray(0, REQUEST_BYTES);
      const isWhole = crc16(request.subarray(0, UNIT_BYTES)) === request.readUInt16LE(UNIT_BYTES);
      // Out of step: look for the next request one byte on.
      bytes = bytes.subarray(isWhole ? REQUEST_BYTES : 1);
      const answer = isWhole ? answerTo(request.subarray(0, UNIT_BYTES), slaves) : null;
      if (answer !== null) stream.write(withCrc(answer));
    }
  });
}

export interface SlaveServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * @param framing "tcp" for Modbus TCP, "rtu" for a serial converter's raw frames
 * @param port 0 for any free one
 */
export async function listenAsMeter(
  framing: "tcp" | "rtu",
  port: number,
  slaves: Slaves,
): Promise<SlaveServer> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    // A client that resets its connection only ends it.
    socket.on("error", () => {});
    socket.on("close", () => open.delete(socket));
    if (framing === "rtu") serveRtu(socket, slaves);
    else serveTcp(socket, slaves);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as { readonly port: number }).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

function serveTcp(socket: Socket, slaves: Slaves): void {
  let bytes = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= MBAP_BYTES) {
      const end = MBAP_BYTES + bytes.readUInt16BE(4);
      if (bytes.length < end) return;
      const answer = answerTo(bytes.subarray(MBAP_BYTES, end), slaves);
      if (answer !== null) {
        const head = Buffer.from(bytes.subarray(0, MBAP_BYTES));
        head.writeUInt16BE(answer.length, 4);
        socket.write(Buffer.concat([head, answer]));
      }
      bytes = bytes.subarray(end);
    }
  });
}
