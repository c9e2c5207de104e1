/**
 * Espruino's module Storage, as far as programs see it: write-once files by name.
 *
 * Promise: its rules and its very errors. A byte is written once; a file that has content is made anew by a
 * write at offset 0; a name has at most 28 characters, and what is beyond is not looked at.
 */
const NAME_CHARACTERS = 28;
const HEADER_BYTES = 32;

export class StorageStandIn {
  private readonly files = new Map<string, { bytes: string; written: boolean[] }>();
  private readonly bytesMax: number;

  /** @param bytesMax of all files with their headers */
  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** @param length 0 or absent for all that is left */
  read(name: string, offset = 0, length = 0): string | undefined {
    const file = this.files.get(nameOf(name));
    if (file === undefined) return undefined;
    return file.bytes.slice(offset, length > 0 ? offset + length : undefined);
  }

  readArrayBuffer(name: string): ArrayBuffer | undefined {
    const text = this.read(name);
    return text === undefined ? undefined : new Uint8Array(Buffer.from(text, "latin1")).buffer;
  }

  write(name: string, data: string, offset = 0, size = 0): boolean {
    const key = nameOf(name);
    const whole = size === 0 ? data.length : size;
    if (whole === 0) throw new Error("Can't create zero length file");
    let file = this.files.get(key);
    const isOther = file !== undefined && (file.bytes.length !== whole || file.written.includes(true));
    if (offset === 0 && (file === undefined || isOther)) {
      if (file !== undefined && file.bytes === data && whole === data.length) return true;
      this.files.delete(key);
      if (this.getFree() < HEADER_BYTES + whole) throw new Error("Unable to find or create file");
      file = { bytes: "\xff".repeat(whole), written: new Array<boolean>(whole).fill(false) };
      this.files.set(key, file);
    }
    if (file === undefined) throw new Error("Unable to find or create file");
    if (offset + data.length > file.bytes.length) throw new Error("Too much data for file size");
    if (file.written.slice(offset, offset + data.length).includes(true)) {
      throw new Error("File already written with different data");
    }
    file.bytes = file.bytes.slice(0, offset) + data + file.bytes.slice(offset + data.length);
    // A byte 0xFF is as good as none: only what is cleared cannot be written again.
    for (let at = 0; at < data.length; at++) file.written[offset + at] = data.charCodeAt(at) !== 255;
    return true;
  }

  erase(name: string): void {
    this.files.delete(nameOf(name));
  }

  list(): string[] {
    return [...this.files.keys()];
  }

  getFree(): number {
    let used = 0;
    for (const { bytes } of this.files.values()) used += HEADER_BYTES + 4 * Math.ceil(bytes.length / 4);
    return this.bytesMax - used;
  }
}

function nameOf(name: string): string {
  return name.slice(0, NAME_CHARACTERS);
}
