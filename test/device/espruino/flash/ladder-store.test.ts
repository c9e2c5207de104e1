import { describe, expect, it } from "vitest";
import { ESP32_PAGES, FlashChip } from "#simulator/hardware/flash-chip";
import { LadderStore } from "../../../../device/espruino/flash/ladder-store.ts";
import { crcOf, cutPower, signatureOf } from "./ladder-cuts.ts";

const CHANNEL = `0x${"1a".repeat(32)}`;
const ONE_PAGE = { pageBytes: 1024, pages: 1 };
const rungsIn = (ladder: LadderStore, count: number) => {
  for (let n = 0; n < count; n++) {
    const amount = ladder.top() + 100;
    expect(ladder.put(amount, signatureOf(CHANNEL, amount))).toBeNull();
  }
};
const ladderOn = (chip: FlashChip, charged = 0, quantumAtomic = 100) => {
  const ladder = new LadderStore(chip.pages(), crcOf);
  ladder.follow({ channelId: CHANNEL, quantumAtomic, charged });
  return ladder;
};

describe("the ladder in flash", () => {
  it("hands out at night, byte for byte, what was signed by day, after any number of starts", () => {
    const chip = new FlashChip(ESP32_PAGES);
    rungsIn(ladderOn(chip), 150);
    const night = ladderOn(chip);
    expect(night.ready()).toBe(150);
    for (let amount = 100; amount <= 15_000; amount += 100) {
      expect(ladderOn(chip).has(amount)).toBe(true);
      expect(night.release(amount)).toEqual(signatureOf(CHANNEL, amount));
      night.follow({ channelId: CHANNEL, quantumAtomic: 100, charged: amount });
    }
    expect(night.ready()).toBe(0);
    expect(night.release(15_100)).toBeNull();
  });

  it("commits a release before it hands the rung out, and hands the same one out again", () => {
    const chip = new FlashChip(ESP32_PAGES);
    rungsIn(ladderOn(chip), 3);
    const ladder = ladderOn(chip);
    expect(ladder.releasedTop()).toBe(0);
    expect(ladder.release(100)).toEqual(signatureOf(CHANNEL, 100));
    expect(ladderOn(chip).releasedTop()).toBe(100);
    const written = chip.operations;
    expect(ladder.release(100)).toEqual(signatureOf(CHANNEL, 100));
    expect(chip.operations).toBe(written);
  });

  it("starts anew for another quantum or channel, and goes on when the first comes back", () => {
    const chip = new FlashChip(ESP32_PAGES);
    const ladder = ladderOn(chip);
    rungsIn(ladder, 10);
    ladder.follow({ channelId: CHANNEL, quantumAtomic: 250, charged: 300 });
    expect([ladder.ready(), ladder.has(400), ladder.top()]).toEqual([0, false, 300]);
    ladder.follow({ channelId: `0x${"2b".repeat(32)}`, quantumAtomic: 100, charged: 300 });
    expect(ladder.ready()).toBe(0);
    ladder.follow({ channelId: CHANNEL, quantumAtomic: 100, charged: 300 });
    expect([ladder.ready(), ladder.top()]).toEqual([7, 1000]);
  });

  it("is shorter when the flash is full, takes rungs again once some are spent, and never loses one for it", () => {
    const chip = new FlashChip({ pageBytes: 1024, pages: 2 });
    const ladder = ladderOn(chip);
    expect(ladder.rungsPerPage).toBe(13);
    expect(ladder.room()).toBe(26);
    rungsIn(ladder, 26);
    expect(ladder.room()).toBe(0);
    expect(ladder.put(2700, signatureOf(CHANNEL, 2700))).toContain("each in use");
    expect(ladder.ready()).toBe(26);
    ladder.follow({ channelId: CHANNEL, quantumAtomic: 100, charged: 1300 });
    expect([ladder.ready(), ladder.room()]).toEqual([13, 13]);
    rungsIn(ladder, 13);
    expect([ladder.ready(), ladder.top()]).toEqual([26, 3900]);
  });

  it("gives a page up by day only when more is gained than lost", () => {
    const chip = new FlashChip(ONE_PAGE);
    const ladder = ladderOn(chip);
    rungsIn(ladder, 13);
    ladder.follow({ channelId: CHANNEL, quantumAtomic: 100, charged: 500 });
    expect(ladder.giveUpPage()).toBe(false);
    ladder.follow({ channelId: CHANNEL, quantumAtomic: 100, charged: 700 });
    expect(ladder.giveUpPage()).toBe(true);
    expect([ladder.ready(), ladder.room()]).toEqual([0, 13]);
    rungsIn(ladder, 13);
    expect(ladder.release(800)).toEqual(signatureOf(CHANNEL, 800));
  });

  it("refuses a rung that is not the next, and reports a worn page", () => {
    const chip = new FlashChip(ESP32_PAGES);
    const ladder = ladderOn(chip);
    expect(ladder.put(200, signatureOf(CHANNEL, 200))).toContain("expected the rung above 0");
    rungsIn(ladder, 1);
    const pages = chip.pages();
    const stuck = new LadderStore({ ...pages, write: () => {} }, crcOf);
    stuck.follow({ channelId: CHANNEL, quantumAtomic: 100, charged: 0 });
    expect(stuck.put(200, signatureOf(CHANNEL, 200))).toContain("worn");
    expect(stuck.release(100)).toBeNull();
  });

  it.each([
    ["an ESP32's pages", { pageBytes: 4096, pages: 14 }, 1, 500],
    ["an Espruino WiFi's one page", { pageBytes: 16_384, pages: 1 }, 2, 300],
    ["two small pages", { pageBytes: 512, pages: 2 }, 3, 200],
  ])("skips, loses and doubles no rung on %s, wherever the power goes", (_, shape, seed, cuts) => {
    const found = cutPower(shape, seed, cuts);
    expect(found.broken).toEqual([]);
    expect(found.cuts).toBe(cuts);
    // It did meet what it is about.
    expect(found.stored).toBeGreaterThan(10 * cuts);
    expect(found.released).toBeGreaterThan(10 * cuts);
    expect(found.inFlight).toBeGreaterThan(0);
    expect(found.erases).toBeGreaterThan(cuts / 10);
  });
});
