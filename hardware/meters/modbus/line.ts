/**
 * How a Modbus bus is reached: a serial port, Modbus TCP, or RTU frames through a TCP converter.
 *
 * Promise: opening ends within its time, and its failure is one line that names the remedy.
 */

import { connect } from "node:net";
import type { Duplex } from "node:stream";
import Modbus from "modbus-serial";
import { SerialPort } from "serialport";
import { within } from "#node/deadline";
import { Watt402Error } from "#payment/watt402-error";
import { type OpenStream, RtuPort } from "./rtu-port.ts";

/** Longest wait for a port or a connection, milliseconds. */
const OPEN_MS = 1500;

interface SerialFormat {
  readonly baud: number;
  readonly parity: "none" | "even" | "odd";
  readonly stopBits: 1 | 2;
}

export type LineSettings =
  | { readonly kind: "serial"; readonly path: string; readonly format: SerialFormat }
  | { readonly kind: "tcp" | "rtu-over-tcp"; readonly host: string; readonly port: number };

export interface Line {
  readonly modbus: Modbus;
  /** The RTU port beneath; null where Modbus TCP frames itself. */
  readonly rtu: RtuPort | null;
}

/** Two settings with the same name share one bus. */
export function lineName(settings: LineSettings): string {
  return settings.kind === "serial" ? settings.path : `${settings.host}:${settings.port}`;
}

/** Rejects with one line when it cannot be opened. */
export async function openLine(settings: LineSettings): Promise<Line> {
  const rtu = settings.kind === "tcp" ? null : new RtuPort(streamOf(settings));
  const modbus = new Modbus(rtu ?? undefined);
  // A failed request already reports it; without a listener the same error would end the process.
  modbus.on("error", () => {});
  try {
    const { kind } = settings;
    const open = kind === "tcp" ? modbus.connectTCP(settings.host, { port: settings.port }) : opened(modbus);
    await within(OPEN_MS, open, () => {
      throw new Watt402Error("unreachable", `no answer within ${OPEN_MS} ms`);
    });
    return { modbus, rtu };
  } catch (error) {
    closeLine({ modbus, rtu });
    throw new Watt402Error("unreachable", explain(settings, error as NodeJS.ErrnoException));
  }
}

/** Closes at once; what is under way on it ends by its time-out. */
export function closeLine({ modbus, rtu }: Line): void {
  if (rtu === null) modbus.destroy(() => {});
  else rtu.close();
}

function opened(modbus: Modbus): Promise<void> {
  return new Promise((resolve, reject) => {
    modbus.open((error: Error | null | undefined) => (error ? reject(error) : resolve()));
  });
}

function streamOf(settings: LineSettings): OpenStream {
  return settings.kind === "serial" ? serialStream(settings.path, settings.format) : tcpStream(settings);
}

/** Opens a serial port, 8 data bits, for this process alone. */
export function serialStream(path: string, { baud, parity, stopBits }: SerialFormat): OpenStream {
  return (done) => {
    const port = new SerialPort({ path, baudRate: baud, dataBits: 8, parity, stopBits, autoOpen: false });
    port.open((error) => (error ? done(error, null) : done(null, port)));
  };
}

function tcpStream({ host, port }: { readonly host: string; readonly port: number }): OpenStream {
  return (done) => {
    const socket: Duplex & { setNoDelay(): unknown } = connect({ host, port });
    socket.setNoDelay();
    const fail = (error: Error) => done(error, null);
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.off("error", fail);
      done(null, socket);
    });
  };
}

function explain(settings: LineSettings, error: NodeJS.ErrnoException): string {
  const name = lineName(settings);
  return settings.kind === "serial"
    ? explainSerial(name, error)
    : `${name}: expected a Modbus ${settings.kind === "tcp" ? "TCP server" : "RTU converter"}, ` +
        `found ${error.code ?? error.message}; check its address, its power and the network`;
}

/** One line for a serial port that did not open. */
export function explainSerial(path: string, { message, code }: NodeJS.ErrnoException): string {
  if (/no such file|ENOENT/i.test(message)) {
    return `${path}: expected a serial port, found none; plug the adapter in, or see /dev/serial/by-id for its name`;
  }
  if (/permission|EACCES/i.test(message)) {
    return `${path}: expected to be allowed to use the port, found no permission; add the service's user to group dialout`;
  }
  if (/lock|busy|EBUSY|temporarily unavailable/i.test(message)) {
    return `${path}: expected a free port, found another process on it; end that one, or give the meter its own port`;
  }
  return `${path}: expected to open the port, found: ${code ?? message}`;
}
