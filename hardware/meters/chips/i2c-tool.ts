/**
 * Registers of parts on an I2C bus, through `i2ctransfer` of i2c-tools: no native add-on.
 *
 * Promise: a transfer ends within its time, with the bytes asked for or one line that names the remedy.
 */

import { execFile } from "node:child_process";
import { Watt402Error } from "#payment/watt402-error";

/** Longest transfer, milliseconds. */
const TRANSFER_MS = 1000;

export class I2cPart {
  readonly #bus: number;
  readonly #address: number;

  constructor(bus: number, address: number) {
    this.#bus = bus;
    this.#address = address;
  }

  /** @param register its address, as many bytes as the part takes; @returns `count` bytes */
  async read(register: readonly number[], count: number): Promise<Buffer> {
    const text = await this.#transfer([
      `w${register.length}@${hex(this.#address)}`,
      ...register.map(hex),
      `r${count}`,
    ]);
    const bytes = text.trim().split(/\s+/).map(Number);
    if (bytes.length === count && bytes.every((byte) => byte >= 0 && byte <= 0xff)) return Buffer.from(bytes);
    throw new Watt402Error(
      "unexpected-answer",
      `${this.#describe()}: expected ${count} bytes of i2ctransfer, found ${JSON.stringify(text.slice(0, 60))}`,
    );
  }

  async write(bytes: readonly number[]): Promise<void> {
    await this.#transfer([`w${bytes.length}@${hex(this.#address)}`, ...bytes.map(hex)]);
  }

  #transfer(messages: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { timeout: TRANSFER_MS, maxBuffer: 4096 };
      execFile("i2ctransfer", ["-y", String(this.#bus), ...messages], options, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Watt402Error("unexpected-answer", this.#explain(error, stderr)));
      });
    });
  }

  #describe(): string {
    return `i2c bus ${this.#bus} address ${hex(this.#address)}`;
  }

  #explain(error: Error & { readonly code?: unknown; readonly killed?: boolean }, stderr: string): string {
    if (error.code === "ENOENT")
      return "expected the command i2ctransfer, found none; install the package i2c-tools";
    if (error.killed)
      return `${this.#describe()}: expected a transfer within ${TRANSFER_MS} ms, found a bus that hangs; check SDA and SCL`;
    if (/no such file/i.test(stderr)) {
      return `expected the device /dev/i2c-${this.#bus}, found none; add dtparam=i2c_arm=on to config.txt`;
    }
    if (/permission/i.test(stderr)) {
      return `expected to be allowed /dev/i2c-${this.#bus}, found no permission; add the service's user to group i2c`;
    }
    if (/busy/i.test(stderr)) {
      return `${this.#describe()}: expected a free part, found a kernel driver on it; use via = "hwmon", or remove its overlay`;
    }
    if (/remote i\/o|sending messages failed/i.test(stderr)) {
      return `${this.#describe()}: expected a part to answer, found none; check wiring and address (i2cdetect -y ${this.#bus})`;
    }
    return `${this.#describe()}: expected a transfer, found: ${stderr.trim().slice(0, 120) || error.message}`;
  }
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
