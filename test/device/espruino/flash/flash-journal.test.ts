import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { Checkpoint } from "#core/events";
import { seededRandom } from "#simulator/city/random";
import { FlashChip, PowerCut } from "#simulator/hardware/flash-chip";
import { flashJournal } from "../../../../device/espruino/flash/flash-journal.ts";

const crcOf = (bytes: Uint8Array) => crc32(bytes);
const SHAPE = { pageBytes: 4096, pages: 2 };

function checkpoint(number: number, channels: number): Checkpoint {
  return {
    register: { total: number, raw: number, epoch: 0, suspect: null, left: null },
    account: { granted: 500 * number, registerAtOpen: 0 },
    channels: Array.from({ length: channels }, (_, index) => ({
      id: `0x${String(index).repeat(64)}`,
      charged: 100 * number,
      signed: 100 * number,
      reserved: 100 * number + 1600,
      granted: 500 * number,
      quantumAtomic: 100,
    })),
    budget: { day: 20_000, spentBefore: 0, signedAtStart: 0 },
  };
}

function stored(chip: FlashChip, value: Checkpoint): string | null {
  let answer: string | null = "none";
  flashJournal(chip.pages(), crcOf).store(value, (error) => {
    answer = error;
  });
  return answer;
}

describe("the journal in flash", () => {
  it("remembers nothing at birth, then the last checkpoint, over any number of starts and full pages", () => {
    const chip = new FlashChip(SHAPE);
    expect(flashJournal(chip.pages(), crcOf).load()).toBeNull();
    for (let number = 1; number <= 60; number++) {
      expect(stored(chip, checkpoint(number, number % 6))).toBeNull();
      expect(flashJournal(chip.pages(), crcOf).load()).toEqual(checkpoint(number, number % 6));
    }
    expect(chip.erases.every((erases) => erases > 1)).toBe(true);
  });

  it("is at the checkpoint answered last or at the one under way, wherever the power goes", () => {
    const random = seededRandom(7);
    const chip = new FlashChip(SHAPE);
    let number = 0;
    let answered: Checkpoint | null = null;
    let torn = 0;
    for (let cut = 0; cut < 1000; cut++) {
      let asked: Checkpoint | null = null;
      chip.cutAfter(1 + Math.floor(600 * random()), random);
      try {
        const journal = flashJournal(chip.pages(), crcOf);
        for (;;) {
          asked = checkpoint(++number, 1 + (number % 5));
          journal.store(asked, (error) => {
            expect(error).toBeNull();
            answered = asked;
          });
        }
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
      }
      chip.powerUp();
      const found = flashJournal(chip.pages(), crcOf).load();
      expect([JSON.stringify(answered), JSON.stringify(asked)]).toContain(JSON.stringify(found));
      if (JSON.stringify(found) === JSON.stringify(answered)) torn++;
      answered = found;
    }
    expect(torn).toBeGreaterThan(500);
    expect(number).toBeGreaterThan(2000);
  });

  it("says so when the flash keeps nothing, and goes on with the other page", () => {
    const chip = new FlashChip(SHAPE);
    const pages = chip.pages();
    let worn = 0;
    const journal = flashJournal(
      { ...pages, write: (page, offset, bytes) => page !== worn && pages.write(page, offset, bytes) },
      crcOf,
    );
    const answers: (string | null)[] = [];
    journal.store(checkpoint(1, 1), (error) => answers.push(error));
    worn = -1;
    journal.store(checkpoint(2, 1), (error) => answers.push(error));
    expect(answers[0]).toContain("worn");
    expect(answers[1]).toBeNull();
    expect(flashJournal(pages, crcOf).load()).toEqual(checkpoint(2, 1));
  });
});
