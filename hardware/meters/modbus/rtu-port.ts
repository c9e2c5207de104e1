/**
 * Modbus RTU frames over a byte stream: a serial line, or a TCP connection to one.
 *
 * Promise: only a whole answer to the latest request is handed on, of that slave, function and length,
 * with a right CRC; noise and an adapter's echo before it are passed over. What else was heard is kept,
 * so that silence, a broken line and another slave can be distinguished.
 *
 * Shaped as modbus-serial expects a port: open, close, write, isOpen, events "data", "error", "close".
 */
import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";

/** Function, slave, count, CRC around the data of an answer (serial line protocol V1.02, section 2.5.1). */
const FRAME_OVERHEAD = 5;

/** Bytes of an answer that are kept; the largest frame is 256. */
const HEARD_MAX = 512;

export type Heard =
  | { readonly kind: "nothing" }
  | { readonly kind: "broken"; readonly bytes: number }
  | { readonly kind: "other-slave"; readonly slave: number };

/** Opens a stream; calls back once, with an error or the open stream. */
export type OpenStream = (done: (error: Error | null, stream: Duplex | null) => void) => void;

export class RtuPort extends EventEmitter {
  readonly #openStream: OpenStream;
  #stream: Duplex | null = null;
  #request: Buffer = Buffer.alloc(0);
  #bytes: Buffer = Buffer.alloc(0);
  #closing = false;

  constructor(openStream: OpenStream) {
    super();
    this.#openStream = openStream;
  }

  get isOpen(): boolean {
    return this.#stream !== null && !this.#stream.destroyed;
  }

  open(done: (error?: Error | null) => void): void {
    this.#openStream((error, stream) => {
      if (stream === null || this.#closing) {
        stream?.destroy();
        done(error ?? new Error("closed while it was opened"));
        return;
      }
      this.#stream = stream;
      stream.on("data", (chunk: Buffer) => this.#take(chunk));
      // The close that follows reports it.
      stream.on("error", () => {});
      stream.once("close", () => {
        this.#stream = null;
        this.emit("close");
      });
      done(null);
    });
  }

  close(done?: () => void): void {
    this.#closing = true;
    if (this.#stream === null) done?.();
    else {
      if (done !== undefined) this.#stream.once("close", done);
      this.#stream.destroy();
    }
  }

  write(request: Buffer): void {
    this.#request = request;
    this.#bytes = Buffer.alloc(0);
    this.#stream?.write(request);
  }

  /** What came in since the latest request, when no answer did. */
  heard(): Heard {
    if (this.#bytes.length === 0) return { kind: "nothing" };
    const [slave] = this.#request;
    const other = frames(this.#bytes).find((frame) => frame[0] !== slave);
    if (other !== undefined) return { kind: "other-slave", slave: other[0]! };
    return this.#bytes.equals(this.#request)
      ? { kind: "nothing" }
      : { kind: "broken", bytes: this.#bytes.length };
  }

  #take(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]).subarray(-HEARD_MAX);
    const [slave, code] = this.#request;
    const dataBytes = 2 * this.#request.readUInt16BE(4);
    const answer = frames(this.#bytes).find(
      (frame) =>
        frame[0] === slave && ((frame[1] === code && frame[2] === dataBytes) || frame[1] === (code! | 0x80)),
    );
    if (answer === undefined) return;
    this.#bytes = Buffer.alloc(0);
    this.emit("data", answer);
  }
}

/** Every stretch of the bytes that could be an answer and has a right CRC. */
function frames(bytes: Buffer): Buffer[] {
  return [...bytes.keys()].flatMap((start) => {
    const code = bytes[start + 1];
    const length =
      code !== undefined && code >= 0x80 ? FRAME_OVERHEAD : FRAME_OVERHEAD + (bytes[start + 2] ?? 0);
    const frame = bytes.subarray(start, start + length);
    if (frame.length < length || length < FRAME_OVERHEAD) return [];
    return crc16(frame.subarray(0, -2)) === frame.readUInt16LE(length - 2) ? [frame] : [];
  });
}

/** CRC of serial line protocol V1.02, section 6.2.2: polynomial 0xA001, begun with all ones. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return crc;
}
