/**
 * An Espruino board's memory: journal and ladder on the raw pages of a flash chip, in the board's own code.
 *
 * Promise: the power goes in the middle of a word or an erase, as the chip's data sheet has it. Rungs are signed one
 * after the other, each as long as a board takes for it; at night a release reads flash and signs nothing.
 */
import { crc32 } from "node:zlib";
import type { State } from "#core/machine";
import { channelTagOf } from "#core/rungs";
import { JOURNAL_PAGES } from "#espruino/board-host";
import { flashJournal } from "#espruino/flash/flash-journal";
import { type FlashPages, pagesFrom, WORD_BYTES } from "#espruino/flash/flash-pages";
import { LadderKeeper, type SlicedSigner } from "#espruino/flash/ladder-keeper";
import { LadderStore } from "#espruino/flash/ladder-store";
import { toHex } from "#payment/bytes";
import type { Draw } from "../../city/random.ts";
import { ESP32_PAGES, FlashChip } from "../../hardware/flash-chip.ts";
import type { Faults } from "../engine/faults.ts";
import type { ProcessLifetime } from "../engine/process-lifetime.ts";
import type { World } from "../engine/world.ts";
import { textOf } from "./disk-memory.ts";
import type { Memory, OpenMemory, Recovered } from "./memory.ts";

/** An ESP32 signs a rung in so long, if it is slow. */
const SIGN_MS = 11_000;
const LONGEST_NIGHT_MS = 14 * 3_600_000;
/** Images kept for a roll-back. */
const IMAGES_KEPT = 6;

interface BoardMemoryParts {
  readonly world: World;
  readonly faults: Faults;
  /** The light's. */
  readonly name: string;
  readonly sign: (channelId: string, maxClaimable: number) => Uint8Array;
  /** Called with each rung that is signed ahead. */
  readonly signedAhead: (channelTag: number, maxClaimable: number) => void;
}

export class BoardMemory implements Memory {
  onUnsynced: () => void = () => {};
  private readonly parts: BoardMemoryParts;
  private readonly random: Draw;
  private readonly chip = new FlashChip(ESP32_PAGES);
  private readonly images: Uint8Array[] = [];
  /** Words of the present write; an erase is one operation. */
  private operations = 1;

  constructor(parts: BoardMemoryParts) {
    this.parts = parts;
    this.random = parts.world.stream(`${parts.name} flash`);
  }

  open(life: ProcessLifetime, touched: () => void): OpenMemory {
    this.chip.powerUp();
    const pages = this.watched(touched);
    let isSigning = false;
    const wake = () => {
      if (isSigning) return;
      isSigning = true;
      life.after(SIGN_MS * (0.5 + 0.5 * this.random()), () => {
        isSigning = false;
        if (keeper.step()) wake();
      });
    };
    const keeper = new LadderKeeper({
      store: ladderOn(pages),
      signer: this.signer(),
      longestNightMs: LONGEST_NIGHT_MS,
      presigned: () => null,
      wake,
    });
    return {
      journal: journalOn(pages),
      signer: keeper,
      file: (path) => {
        throw new Error(`${path}: expected a disk, found a board's flash`);
      },
      follow: (state: State) => keeper.follow(state),
    };
  }

  recover(): Recovered {
    const copy = this.copy();
    const once = textOf(journalOn(copy).load());
    const again = textOf(journalOn(copy).load());
    // The ladder is looked for after the journal, and what is found may not touch it.
    ladderOn(copy);
    return { once, again, interrupted: textOf(journalOn(copy).load()) };
  }

  failWithin(_ms: number, cut: () => void): void {
    this.parts.faults.fired("torn-tail");
    this.chip.cutAfter(1 + Math.floor(this.operations * this.random()), this.random, cut);
  }

  cutPower(): void {
    this.chip.powerDown();
  }

  takeImage(): void {
    this.images.push(this.chip.bytes.slice());
    if (this.images.length > IMAGES_KEPT) this.images.shift();
  }

  becomeOldImage(): boolean {
    const image = this.images[Math.floor(this.random() * this.images.length)];
    if (image === undefined) return false;
    this.chip.bytes.set(image);
    return true;
  }

  flipBit(): boolean {
    const written = this.chip.bytes.findLastIndex((byte) => byte !== 255) + 1;
    if (written === 0) return false;
    const bit = Math.floor(8 * written * this.random());
    this.chip.bytes[bit >> 3]! ^= 1 << (bit & 7);
    return true;
  }

  /** One slice is the whole signature: its time passed before. */
  private signer(): SlicedSigner {
    const { sign, signedAhead } = this.parts;
    return {
      start: (id, maxClaimable) => ({
        step: () => true,
        signature: () => {
          const channelId = toHex(id);
          signedAhead(channelTagOf(channelId), maxClaimable);
          return sign(channelId, maxClaimable);
        },
      }),
    };
  }

  private watched(touched: () => void): FlashPages {
    const pages = this.chip.pages();
    const changing = (operations: number) => {
      touched();
      this.operations = operations;
      this.onUnsynced();
    };
    return {
      ...pages,
      write(page, offset, bytes) {
        changing(bytes.length / WORD_BYTES);
        pages.write(page, offset, bytes);
      },
      erase(page) {
        changing(1);
        pages.erase(page);
      },
    };
  }

  private copy(): FlashPages {
    const chip = new FlashChip(this.chip.shape);
    chip.bytes.set(this.chip.bytes);
    return chip.pages();
  }
}

const journalOn = (pages: FlashPages) => flashJournal(pagesFrom(pages, 0, JOURNAL_PAGES), crc32);
const ladderOn = (pages: FlashPages) =>
  new LadderStore(pagesFrom(pages, JOURNAL_PAGES, pages.count - JOURNAL_PAGES), crc32);
