/**
 * Lines of ASCII over a serial port.
 *
 * Promise: a line longer than LINE_MAX is noise and is dropped; the library is loaded only when a lamp
 * needs it.
 */
import type { SerialLines } from "./dali-hat.ts";

const LINE_MAX = 64;

/** Opens the port, 8N1. Rejects with one line when it cannot. */
export async function openSerialLines(path: string, baudRate: number): Promise<SerialLines> {
  const { SerialPort } = await import("serialport");
  const port = new SerialPort({ path, baudRate, autoOpen: false });
  await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())));
  let takeLine: (line: string) => void = () => {};
  let takeGone: (found: string) => void = () => {};
  let rest = "";
  port.on("data", (chunk: Buffer) => {
    const parts = `${rest}${chunk.toString("latin1")}`.split(/\r?\n/);
    rest = parts.pop()!.slice(0, LINE_MAX);
    for (const line of parts) if (line.length <= LINE_MAX) takeLine(line.trim());
  });
  port.on("error", (error: Error) => takeGone(error.message));
  port.on("close", () => takeGone("the port closed"));
  return {
    write(text) {
      port.write(text);
    },
    onLine: (take) => {
      takeLine = take;
    },
    onGone: (take) => {
      takeGone = take;
    },
    close: () => {
      takeGone = () => {};
      return new Promise((resolve) => (port.isOpen ? port.close(() => resolve()) : resolve()));
    },
  };
}
