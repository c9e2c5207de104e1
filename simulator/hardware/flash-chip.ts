/**
 * A flash chip as the boards have it: pages that are erased whole, words that only lose bits.
 *
 * Promise: nothing is more generous than silicon. A write clears bits and never sets one; when the power goes,
 * the word under way keeps any of its bits, and a page under erase has set any of them. Nothing is read or
 * written by who has no power.
 */
import type { FlashPages } from "../../device/espruino/flash/flash-pages.ts";

const WORD_BYTES = 4;

export interface ChipShape {
  readonly pageBytes: number;
  readonly pages: number;
}

/** The runtime's own pages on an ESP32 (Espruino 2v29): the partition "flash". */
export const ESP32_PAGES: ChipShape = { pageBytes: 4096, pages: 16 };

export class PowerCut extends Error {}

export class FlashChip {
  readonly shape: ChipShape;
  readonly bytes: Uint8Array;
  /** Erases of each page so far. */
  readonly erases: number[];
  /** Words written and pages erased so far. */
  operations = 0;
  private cutAt = Number.POSITIVE_INFINITY;
  private random: () => number = () => 0.5;
  private onCut: () => void = () => {};
  private isPowered = true;

  constructor(shape: ChipShape) {
    this.shape = shape;
    this.bytes = new Uint8Array(shape.pageBytes * shape.pages).fill(255);
    this.erases = new Array<number>(shape.pages).fill(0);
  }

  /**
   * The power goes within the n-th operation from now, 1 being the next.
   * @param random which bits it leaves
   * @param onCut called when it went
   */
  cutAfter(operations: number, random: () => number, onCut: () => void = () => {}): void {
    this.cutAt = this.operations + operations;
    this.random = random;
    this.onCut = onCut;
  }

  powerUp(): void {
    this.isPowered = true;
    this.cutAt = Number.POSITIVE_INFINITY;
  }

  /** The power goes between two operations. */
  powerDown(): void {
    this.isPowered = false;
  }

  read(address: number, length: number): Uint8Array {
    this.needPower();
    return this.bytes.slice(address, address + length);
  }

  /** Words are padded with what is there, as the firmware does. */
  write(address: number, data: Uint8Array): void {
    this.needPower();
    if (address + data.length > this.bytes.length) throw new Error(`flash: ${address} is beyond its end`);
    for (let word = address - (address % WORD_BYTES); word < address + data.length; word += WORD_BYTES) {
      const isLast = this.isCutNow();
      for (let at = Math.max(word, address); at < Math.min(word + WORD_BYTES, address + data.length); at++) {
        const kept = isLast ? Math.floor(256 * this.random()) : 0;
        this.bytes[at] = this.bytes[at]! & (data[at - address]! | kept);
      }
      if (isLast) this.cut();
    }
  }

  erase(page: number): void {
    this.needPower();
    const isLast = this.isCutNow();
    const { pageBytes } = this.shape;
    for (let at = page * pageBytes; at < (page + 1) * pageBytes; at++) {
      this.bytes[at] = isLast ? this.bytes[at]! | Math.floor(256 * this.random()) : 255;
    }
    this.erases[page]!++;
    if (isLast) this.cut();
  }

  /** All its pages, as the runtime asks for them. */
  pages(): FlashPages {
    const { pageBytes, pages } = this.shape;
    return {
      count: pages,
      pageBytes,
      read: (page, offset, length) => this.read(page * pageBytes + offset, length),
      write: (page, offset, bytes) => this.write(page * pageBytes + offset, bytes),
      erase: (page) => this.erase(page),
    };
  }

  private isCutNow(): boolean {
    this.operations++;
    return this.operations >= this.cutAt;
  }

  private cut(): never {
    this.isPowered = false;
    this.onCut();
    throw new PowerCut("the power is gone");
  }

  private needPower(): void {
    if (!this.isPowered) throw new PowerCut("the power is gone");
  }
}
