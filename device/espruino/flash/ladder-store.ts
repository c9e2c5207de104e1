/**
 * The ladder in flash: rungs signed by day, released one by one at night.
 *
 * Promise: a power cut at any word of storing, releasing or erasing skips no rung, loses none but the one that
 * was being written, and never puts two signatures on one amount. A release is committed in a word of its own
 * before the signature is handed out; a page is erased only when nothing on it can be released any more.
 *
 *   page  magic 4 | sequence 4 | channel id 32 | base 8 | quantum 8 | CRC-32 4
 *   slot  r 32 | s 32, its free top bit holding v | CRC-32 over amount and signature 4 | release 4
 *
 * The n-th whole slot of a page holds the rung `base + n * quantum`. A slot that a cut tore stays unused: each
 * word is written once between two erases.
 */
import { type Crc32, type FlashPages, getNumber, isErased, putNumber } from "./flash-pages.ts";

const HEAD_BYTES = 60;
const SIGNATURE_BYTES = 64;
const SLOT_BYTES = SIGNATURE_BYTES + 8;
const MAGIC = 1279345713;

/** Slots tried for one signature before the flash counts as worn. */
const TRIES_MAX = 3;

export interface LadderTerms {
  /** 0x and 64 lower-case hex digits. */
  readonly channelId: string;
  readonly quantumAtomic: number;
  /** What was charged, on the ladder: rungs at or below it are spent. */
  readonly charged: number;
}

interface Segment {
  readonly page: number;
  readonly sequence: number;
  readonly channelId: string;
  readonly base: number;
  readonly quantum: number;
  /** Whole slots, and of these how many were released: they are the first. */
  rungs: number;
  released: number;
  /** Slots used up, whole or torn. */
  used: number;
  /** Positions of torn slots, ascending. */
  torn: number[];
}

export class LadderStore {
  private readonly pages: FlashPages;
  private readonly crc32: Crc32;
  private segments: Segment[] = [];
  private terms: LadderTerms | null = null;
  /** Rungs of one page. */
  readonly rungsPerPage: number;

  constructor(pages: FlashPages, crc32: Crc32) {
    this.pages = pages;
    this.crc32 = crc32;
    this.rungsPerPage = Math.floor((pages.pageBytes - HEAD_BYTES) / SLOT_BYTES);
    for (let page = 0; page < pages.count; page++) {
      const segment = this.readPage(page);
      if (segment !== null) this.segments.push(segment);
    }
    this.segments.sort((left, right) => left.sequence - right.sequence);
  }

  /** The ladder that is wanted from now on; rungs of any other are room to be used again. */
  follow(terms: LadderTerms): void {
    this.terms = terms;
  }

  /** Highest amount up to which the present ladder is in store without a gap, atomic units; at least `charged`. */
  top(): number {
    if (this.terms === null) return 0;
    let top = this.terms.charged;
    for (const segment of this.segments) {
      if (this.isPresent(segment) && segment.base <= top) top = Math.max(top, topOf(segment));
    }
    return top;
  }

  /** Rungs that can still be bought with, released or not: those above `charged`. */
  ready(): number {
    return this.terms === null ? 0 : (this.top() - this.terms.charged) / this.terms.quantumAtomic;
  }

  /** Highest amount whose release was committed; `charged` when none above it was. */
  releasedTop(): number {
    if (this.terms === null) return 0;
    let top = this.terms.charged;
    for (const segment of this.segments) {
      const released = segment.base + segment.released * segment.quantum;
      if (this.isPresent(segment) && segment.released > 0) top = Math.max(top, released);
    }
    return top;
  }

  /** Rungs that can be stored before anything must be given up. */
  room(): number {
    const open = this.openSegment();
    let kept = 0;
    for (const segment of this.segments) if (segment === open || this.isNeeded(segment)) kept++;
    const onOpen = open === null ? 0 : this.rungsPerPage - open.used;
    return onOpen + (this.pages.count - kept) * this.rungsPerPage;
  }

  /** True when a rung is in store. @param amount cumulative, atomic units */
  has(amount: number): boolean {
    return this.find(amount) !== null;
  }

  /** Stores the rung above `top()`. Null, or in one line why it could not be kept. */
  put(amount: number, signature: Uint8Array): string | null {
    const terms = this.terms;
    if (terms === null || amount !== this.top() + terms.quantumAtomic) {
      return `ladder: expected the rung above ${this.top()}, found ${amount}`;
    }
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      let segment = this.openSegment();
      if (segment === null) segment = this.beginSegment(terms);
      if (segment === null) return "ladder: expected a page to write on, found each in use";
      const slot = slotOf(amount, signature, this.crc32);
      const position = segment.used++;
      const offset = HEAD_BYTES + position * SLOT_BYTES;
      this.pages.write(segment.page, offset, slot);
      if (this.isWhole(segment.page, position, amount)) {
        segment.rungs++;
        return null;
      }
      segment.torn.push(position);
    }
    return "ladder: expected the flash to keep a rung, found it changed three times; the flash is worn";
  }

  /**
   * A rung's 65 bytes r, s, v, its release committed before. Null when it is not in store or the commit did
   * not hold. Released again, it is read again.
   */
  release(amount: number): Uint8Array | null {
    const segment = this.find(amount);
    if (segment === null) return null;
    const rung = rungOf(segment, amount);
    // What is below was released or given up with it: the counter has no gap.
    for (let below = segment.released; below < rung; below++) {
      const at = HEAD_BYTES + positionOf(segment, below) * SLOT_BYTES + SIGNATURE_BYTES + 4;
      this.pages.write(segment.page, at, new Uint8Array(4));
      if (isErased(this.pages.read(segment.page, at, 4))) return null;
      segment.released = below + 1;
    }
    const offset = HEAD_BYTES + positionOf(segment, rung - 1) * SLOT_BYTES;
    return signatureIn(this.pages.read(segment.page, offset, SIGNATURE_BYTES));
  }

  /**
   * Gives up the page from whose erase more rungs are gained than lost, to be signed anew: by day, on a board
   * with few pages. True when one was given up.
   */
  giveUpPage(): boolean {
    for (const segment of this.segments) {
      if (!this.isNeeded(segment) || segment.used < this.rungsPerPage) continue;
      const lost = this.terms === null ? 0 : unspent(segment, this.terms.charged);
      // Rungs above those lost would hang in the air.
      if (topOf(segment) !== this.top() || this.rungsPerPage - lost <= lost) continue;
      this.erase(segment.page);
      return true;
    }
    return false;
  }

  // ---- pages ----

  private readPage(page: number): Segment | null {
    const head = this.pages.read(page, 0, HEAD_BYTES);
    if (getNumber(head, 0, 4) !== MAGIC) return null;
    if (this.crc32(head.slice(0, HEAD_BYTES - 4)) !== getNumber(head, HEAD_BYTES - 4, 4)) return null;
    const segment: Segment = {
      page,
      sequence: getNumber(head, 4, 4),
      channelId: hexOf(head, 8, 40),
      base: getNumber(head, 42, 6),
      quantum: getNumber(head, 50, 6),
      rungs: 0,
      released: 0,
      used: 0,
      torn: [],
    };
    while (segment.used < this.rungsPerPage) {
      const slot = this.pages.read(page, HEAD_BYTES + segment.used * SLOT_BYTES, SLOT_BYTES);
      if (isErased(slot)) break;
      const amount = topOf(segment) + segment.quantum;
      if (checkOf(amount, slot, this.crc32) === getNumber(slot, SIGNATURE_BYTES, 4)) {
        segment.rungs++;
        // A torn release counts: whether the signature left is then not known.
        if (!isErased(slot.slice(SIGNATURE_BYTES + 4))) segment.released = segment.rungs;
      } else segment.torn.push(segment.used);
      segment.used++;
    }
    return segment;
  }

  private beginSegment(terms: LadderTerms): Segment | null {
    const page = this.freePage();
    if (page < 0) return null;
    const base = this.top();
    this.erase(page);
    const sequence = this.segments.length === 0 ? 1 : this.segments[this.segments.length - 1]!.sequence + 1;
    const head = new Uint8Array(HEAD_BYTES);
    putNumber(head, 0, 4, MAGIC);
    putNumber(head, 4, 4, sequence);
    for (let i = 0; i < 32; i++) head[8 + i] = parseInt(terms.channelId.substr(2 + 2 * i, 2), 16);
    putNumber(head, 42, 6, base);
    putNumber(head, 50, 6, terms.quantumAtomic);
    putNumber(head, HEAD_BYTES - 4, 4, this.crc32(head.slice(0, HEAD_BYTES - 4)));
    this.pages.write(page, 0, head);
    const segment = this.readPage(page);
    if (segment !== null) this.segments.push(segment);
    return segment;
  }

  /** The page that the wear is least on: one never used, then the one used longest ago; -1 when all are needed. */
  private freePage(): number {
    for (let page = 0; page < this.pages.count; page++) {
      let used = false;
      for (const segment of this.segments) if (segment.page === page) used = true;
      if (!used) return page;
    }
    for (const segment of this.segments) if (!this.isNeeded(segment)) return segment.page;
    return -1;
  }

  private erase(page: number): void {
    this.segments = this.segments.filter((segment) => segment.page !== page);
    // A page whose erase was cut short must not be read as a ladder: its first word goes before.
    this.pages.write(page, 0, new Uint8Array(4));
    this.pages.erase(page);
  }

  private openSegment(): Segment | null {
    for (const segment of this.segments) {
      const isOpen = segment.used < this.rungsPerPage;
      if (isOpen && this.isPresent(segment) && topOf(segment) === this.top()) return segment;
    }
    return null;
  }

  private isPresent(segment: Segment): boolean {
    const terms = this.terms;
    if (terms === null) return false;
    const isSame = segment.channelId === terms.channelId && segment.quantum === terms.quantumAtomic;
    return isSame && (terms.charged - segment.base) % terms.quantumAtomic === 0;
  }

  /** Before anybody said which ladder is wanted, every page may be of it. */
  private isNeeded(segment: Segment): boolean {
    if (this.terms === null) return true;
    return this.isPresent(segment) && unspent(segment, this.terms.charged) > 0;
  }

  private isWhole(page: number, position: number, amount: number): boolean {
    const slot = this.pages.read(page, HEAD_BYTES + position * SLOT_BYTES, SLOT_BYTES);
    return checkOf(amount, slot, this.crc32) === getNumber(slot, SIGNATURE_BYTES, 4);
  }

  private find(amount: number): Segment | null {
    for (const segment of this.segments) {
      const rung = rungOf(segment, amount);
      if (this.isPresent(segment) && rung >= 1 && rung <= segment.rungs && Math.floor(rung) === rung)
        return segment;
    }
    return null;
  }
}

function topOf(segment: Segment): number {
  return segment.base + segment.rungs * segment.quantum;
}

function rungOf(segment: Segment, amount: number): number {
  return (amount - segment.base) / segment.quantum;
}

/** Rungs of a page above what was charged. */
function unspent(segment: Segment, charged: number): number {
  return Math.max(0, Math.min(segment.rungs, (topOf(segment) - charged) / segment.quantum));
}

/** The slot of the n-th whole rung, counted from 0. */
function positionOf(segment: Segment, rung: number): number {
  let position = rung;
  for (const torn of segment.torn) if (torn <= position) position++;
  return position;
}

/** r, s with v in its top bit, and their check; the release word stays erased. */
function slotOf(amount: number, signature: Uint8Array, crc32: Crc32): Uint8Array {
  const slot = new Uint8Array(SIGNATURE_BYTES + 4);
  slot.set(signature.slice(0, SIGNATURE_BYTES));
  if (signature[SIGNATURE_BYTES] === 28) slot[32] = slot[32]! | 128;
  putNumber(slot, SIGNATURE_BYTES, 4, checkOf(amount, slot, crc32));
  return slot;
}

function signatureIn(slot: Uint8Array): Uint8Array {
  const signature = new Uint8Array(SIGNATURE_BYTES + 1);
  signature.set(slot);
  signature[SIGNATURE_BYTES] = slot[32]! >= 128 ? 28 : 27;
  signature[32] = slot[32]! & 127;
  return signature;
}

function checkOf(amount: number, slot: Uint8Array, crc32: Crc32): number {
  const covered = new Uint8Array(6 + SIGNATURE_BYTES);
  putNumber(covered, 0, 6, amount);
  covered.set(slot.slice(0, SIGNATURE_BYTES), 6);
  return crc32(covered);
}

function hexOf(bytes: Uint8Array, from: number, to: number): string {
  let text = "0x";
  for (let i = from; i < to; i++) text += (bytes[i]! < 16 ? "0" : "") + bytes[i]!.toString(16);
  return text;
}
