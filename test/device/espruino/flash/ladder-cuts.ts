/**
 * Nights on a ladder in flash with the power going at any word: what is stored, released and erased, held
 * against what a rung may ever be.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { seededRandom } from "#simulator/city/random";
import { type ChipShape, FlashChip, PowerCut } from "#simulator/hardware/flash-chip";
import { LadderStore, type LadderTerms } from "../../../../device/espruino/flash/ladder-store.ts";

/** The one signature that a rung of a channel ever has, as RFC 6979 makes it: a function of the two. */
export function signatureOf(channelId: string, amount: number): Uint8Array {
  const half = createHash("sha256").update(`${channelId} ${amount}`).digest();
  const signature = new Uint8Array(65);
  signature.set(half);
  signature.set(half.toReversed(), 32);
  signature[32]! &= 127;
  signature[64] = 27 + (half[0]! & 1);
  return signature;
}

export const crcOf = (bytes: Uint8Array) => crc32(bytes);

export interface Cuts {
  cuts: number;
  stored: number;
  released: number;
  /** Rungs whose release was committed and that were not handed out: one at each cut, at most. */
  inFlight: number;
  erases: number;
  readonly broken: string[];
}

/** Runs until the power went so many times, on one chip. */
export function cutPower(shape: ChipShape, seed: number, cuts: number): Cuts {
  const night = new CutNights(shape, seed);
  while (night.found.cuts < cuts) night.untilCut();
  night.found.erases = night.chip.erases.reduce((sum, erases) => sum + erases, 0);
  return night.found;
}

class CutNights {
  readonly found: Cuts = { cuts: 0, stored: 0, released: 0, inFlight: 0, erases: 0, broken: [] };
  readonly chip: FlashChip;
  private readonly random: () => number;
  private readonly seed: number;
  private terms: LadderTerms;
  private ladder: LadderStore;
  /** Highest rungs answered as stored and handed out: what must hold after a cut. */
  private storedTop = 0;
  private handedTop = 0;
  private channels = 0;

  constructor(shape: ChipShape, seed: number) {
    this.seed = seed;
    this.random = seededRandom(seed);
    this.chip = new FlashChip(shape);
    this.terms = { channelId: this.newChannel(), quantumAtomic: 100, charged: 0 };
    this.ladder = this.boot();
  }

  untilCut(): void {
    this.chip.cutAfter(1 + this.below(this.random() < 0.5 ? 40 : 3000), this.random);
    try {
      for (;;) this.act();
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    }
    this.found.cuts++;
    this.chip.powerUp();
    this.ladder = this.boot();
    this.check();
  }

  private check(): void {
    const { channelId, quantumAtomic, charged } = this.terms;
    const top = this.ladder.top();
    if (top < this.storedTop) this.say(`rungs up to ${this.storedTop} were stored, found ${top}`);
    for (let amount = charged + quantumAtomic; amount <= top; amount += quantumAtomic) {
      if (!this.ladder.has(amount)) this.say(`rung ${amount} is missing below ${top}`);
    }
    const released = this.ladder.releasedTop();
    const handed = Math.max(this.handedTop, charged);
    if (released < handed) this.say(`rung ${handed} was handed out, and its release is not in flash`);
    if (released > handed + quantumAtomic)
      this.say(`releases up to ${released} after ${handed} was handed out`);
    if (released > handed) this.found.inFlight++;
    if (this.random() < 0.02) {
      // Every rung that is in store, as a thief or a night would read it.
      const copy = this.copyOfFlash();
      for (let amount = charged + quantumAtomic; amount <= top; amount += quantumAtomic) {
        const signature = copy.release(amount);
        if (signature === null || !isSame(signature, signatureOf(channelId, amount)))
          this.say(`rung ${amount} is wrong`);
      }
    }
    this.storedTop = top;
  }

  private act(): void {
    const dice = this.random();
    if (dice < 0.55) this.store();
    else if (dice < 0.97) this.release();
    else if (dice < 0.985) this.changeQuantum();
    else this.changeChannel();
  }

  private store(): void {
    const { channelId, quantumAtomic } = this.terms;
    const amount = this.ladder.top() + quantumAtomic;
    if (this.ladder.put(amount, signatureOf(channelId, amount)) === null) {
      this.found.stored++;
      this.storedTop = amount;
    } else if (this.chip.shape.pages === 1) {
      // Rungs given up on purpose are signed anew.
      this.storedTop = 0;
      this.ladder.giveUpPage();
      this.storedTop = this.ladder.top();
    }
  }

  private release(): void {
    const { channelId, quantumAtomic, charged } = this.terms;
    const amount = charged + quantumAtomic;
    if (!this.ladder.has(amount)) return;
    const signature = this.ladder.release(amount);
    if (signature === null) {
      this.say(`rung ${amount} is in store and was not released`);
      return;
    }
    if (!isSame(signature, signatureOf(channelId, amount))) this.say(`rung ${amount} has two signatures`);
    this.found.released++;
    this.handedTop = amount;
    // Else its answer is lost, and it is released again.
    if (this.random() < 0.9) this.follow({ ...this.terms, charged: amount });
  }

  /** Between two purchases, as the machine does. */
  private changeQuantum(): void {
    if (this.handedTop > this.terms.charged) return;
    this.follow({ ...this.terms, quantumAtomic: [50, 100, 150][this.below(3)]! });
    this.storedTop = this.ladder.top();
  }

  private changeChannel(): void {
    this.follow({ channelId: this.newChannel(), quantumAtomic: 100, charged: 100 * this.below(20) });
    this.storedTop = 0;
    this.handedTop = 0;
  }

  private follow(terms: LadderTerms): void {
    this.terms = terms;
    this.ladder.follow(terms);
  }

  private boot(): LadderStore {
    const ladder = new LadderStore(this.chip.pages(), crcOf);
    ladder.follow(this.terms);
    return ladder;
  }

  private copyOfFlash(): LadderStore {
    const chip = new FlashChip(this.chip.shape);
    chip.bytes.set(this.chip.bytes);
    const ladder = new LadderStore(chip.pages(), crcOf);
    ladder.follow(this.terms);
    return ladder;
  }

  private newChannel(): string {
    return `0x${createHash("sha256")
      .update(`${this.seed} ${this.channels++}`)
      .digest("hex")}`;
  }

  private below(count: number): number {
    return Math.floor(this.random() * count);
  }

  private say(text: string): void {
    this.found.broken.push(`seed ${this.seed}, cut ${this.found.cuts}: ${text}`);
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
