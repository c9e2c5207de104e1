// MQTT 3.1.1 as its standard has it, over a plain socket: as much of it as x402-over-mqtt.md asks of a device.

import { connect, type Socket } from "node:net";

export interface Login {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
  readonly will: { readonly topic: string; readonly payload: string } | null;
}

export interface Message {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retained: boolean;
}

const field = (value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

const packet = (head: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  const length: number[] = [];
  for (let rest = body.length; length.length === 0 || rest > 0; rest >>= 7) {
    length.push((rest & 127) | (rest > 127 ? 128 : 0));
  }
  return Buffer.concat([Buffer.from([head, ...length]), body]);
};

/** One connection; it ends with its socket. */
export class Connection {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #lastId = 0;
  readonly #waiting = new Map<string, (body: Buffer) => void>();
  #hear: (message: Message) => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => this.#feed(chunk));
  }

  /** Resolves with a connection, or with the return code of a CONNACK that refuses it; -1 when none came. */
  static async open(host: string, port: number, login: Login): Promise<Connection | number> {
    const socket = connect({ host, port, noDelay: true });
    const made = new Connection(socket);
    const answer = made.#answer("connack");
    const { will } = login;
    // Will retained at QoS 1, user name, password, clean session.
    const flags = 0xc2 | (will === null ? 0 : 0x2c);
    const wills = will === null ? [] : [field(will.topic), field(will.payload)];
    const fields = [field(login.clientId), ...wills, field(login.username), field(login.password)];
    socket.write(packet(0x10, field("MQTT"), Buffer.from([4, flags, 0, 30]), ...fields));
    const connack = await Promise.race([answer, made.closed]);
    const code = connack === undefined ? -1 : connack[1]!;
    if (code === 0) return made;
    socket.destroy();
    return code;
  }

  onMessage(hear: (message: Message) => void): void {
    this.#hear = hear;
  }

  /** The return code of each filter. */
  async subscribe(filters: readonly string[]): Promise<number[]> {
    const id = this.#nextId();
    const asked = filters.flatMap((filter) => [field(filter), Buffer.from([1])]);
    const suback = this.#answer(`suback ${id}`);
    this.#socket.write(packet(0x82, this.#idBytes(id), ...asked));
    return [...(await suback).subarray(2)];
  }

  /** Resolves when it is acknowledged. */
  async publish(topic: string, payload: Uint8Array | string, retained = false): Promise<void> {
    const id = this.#nextId();
    const puback = this.#answer(`puback ${id}`);
    this.#socket.write(
      packet(0x32 | (retained ? 1 : 0), field(topic), this.#idBytes(id), Buffer.from(payload)),
    );
    await puback;
  }

  /** Cuts the line without a goodbye. */
  async cut(): Promise<void> {
    this.#socket.destroy();
    await this.closed;
  }

  async end(): Promise<void> {
    this.#socket.end(packet(0xe0));
    await this.closed;
  }

  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  #idBytes(id: number): Buffer {
    return Buffer.from([id >> 8, id & 255]);
  }

  #answer(key: string): Promise<Buffer> {
    return new Promise((resolve) => this.#waiting.set(key, resolve));
  }

  #feed(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      let length = 0;
      let at = 1;
      for (let shift = 0; ; shift += 7, at += 1) {
        if (at >= this.#rest.length) return;
        length |= (this.#rest[at]! & 127) << shift;
        if (this.#rest[at]! < 128) break;
      }
      const end = at + 1 + length;
      if (this.#rest.length < end) return;
      const [head, body] = [this.#rest[0]!, this.#rest.subarray(at + 1, end)];
      this.#rest = this.#rest.subarray(end);
      this.#take(head, body);
    }
  }

  #take(head: number, body: Buffer): void {
    const type = head >> 4;
    if (type === 2) this.#settle("connack", body);
    else if (type === 3) this.#takePublish(head, body);
    else if (type === 4) this.#settle(`puback ${body.readUInt16BE(0)}`, body);
    else if (type === 9) this.#settle(`suback ${body.readUInt16BE(0)}`, body);
    else this.#socket.destroy();
  }

  #takePublish(head: number, body: Buffer): void {
    const topicEnd = 2 + body.readUInt16BE(0);
    const qos = (head >> 1) & 3;
    if (qos > 0) this.#socket.write(packet(0x40, body.subarray(topicEnd, topicEnd + 2)));
    const payload = Buffer.from(body.subarray(topicEnd + (qos > 0 ? 2 : 0)));
    this.#hear({ topic: body.toString("utf8", 2, topicEnd), payload, retained: (head & 1) === 1 });
  }

  #settle(key: string, body: Buffer): void {
    this.#waiting.get(key)?.(body);
    this.#waiting.delete(key);
  }
}
