import { describe, expect, it } from "vitest";
import { openDali } from "#hardware/lamps/dali/dali";
import { arcLevel } from "#hardware/lamps/dali/dali-gear";
import { HAT_BAUD, SENDS_MAX, type SerialLines } from "#hardware/lamps/dali/dali-hat";
import { openSysfs } from "#hardware/lamps/pwm/sysfs";
import { type DaliSettings, readLampSettings } from "#hardware/lamps/settings";
import { systemClock } from "#node/clock";

const context = { clock: systemClock(), ratedMilliwatts: 60_000, sysfs: openSysfs("/nowhere") };
const settings = (table: Record<string, unknown> = {}) =>
  readLampSettings({ kind: "dali", ...table }) as DaliSettings;

/** The HAT and one gear at short address 3, in the words of its protocol. */
function hat() {
  let take: (line: string) => void = () => {};
  let gone: (found: string) => void = () => {};
  const gear = { level: 0, status: 0, powered: true, failureLevel: 254, powerOnLevel: 254 };
  const fake = {
    gear,
    sent: [] as string[],
    collisions: 0,
    silent: false,
    pull: () => gone("the port closed"),
    open: async (_path: string, baudRate: number): Promise<SerialLines> => {
      expect(baudRate).toBe(HAT_BAUD);
      return {
        write: (text) => {
          fake.sent.push(text);
          if (!fake.silent) setTimeout(() => fake.answer(text), 1);
        },
        onLine: (listener) => {
          take = listener;
        },
        onGone: (listener) => {
          gone = listener;
        },
        close: async () => {},
      };
    },
    answer: (text: string) => {
      // What another controller says on the bus is heard too, and is no answer.
      take("HFF21");
      if (fake.collisions > 0) {
        fake.collisions--;
        return take("X");
      }
      const [, addressByte, data] = /^h([0-9A-F]{2})([0-9A-F]{2})\n$/
        .exec(text)!
        .map((part) => Number.parseInt(part, 16));
      const isForUs = addressByte! >> 1 === 3 || addressByte! >> 1 === 127;
      if (!gear.powered || !isForUs) return take("N");
      if ((addressByte! & 1) === 0) {
        gear.level = data!;
        return take("N");
      }
      const answers: Record<number, number> = {
        144: gear.status,
        160: gear.level,
        163: gear.powerOnLevel,
        164: gear.failureLevel,
      };
      take(`J${answers[data!]!.toString(16).padStart(2, "0").toUpperCase()}`);
    },
  };
  return fake;
}

describe("a lamp on a DALI bus", () => {
  it("is set by direct arc power, and asked whether it is well", async () => {
    const bus = hat();
    const lamp = openDali(settings({ address: 3 }), context, bus.open);
    await lamp.apply(100);
    expect(bus.gear.level).toBe(254);
    expect(bus.sent).toEqual(["h06FE\n", "h0790\n"]);
    await lamp.apply(0);
    expect(bus.gear.level).toBe(0);
    expect((await lamp.probe()).join("; ")).toBe(
      "now dark; without bus power: level 254 of 254; when its mains comes back: level 254 of 254",
    );
    await lamp.close();
  });

  it("follows the standard's logarithmic curve, or the linear one, from end to end", () => {
    // IEC 62386-102, table of the standard dimming curve: 1 is 0.1 %, 170 is 10.09 %, 254 is 100 %.
    expect([0, 0.1, 1, 10, 100].map((level) => arcLevel(level, "logarithmic"))).toEqual([0, 1, 85, 170, 254]);
    expect([0, 1, 50, 100].map((level) => arcLevel(level, "linear"))).toEqual([0, 3, 127, 254]);
  });

  it("speaks to all gear at once without asking for answers that would collide", async () => {
    const bus = hat();
    await openDali(settings({ address: -1, dimming: "linear" }), context, bus.open).apply(50);
    expect(bus.sent).toEqual(["hFE7F\n"]);
  });

  it("tries again after collisions, and gives up with a name for them", async () => {
    const bus = hat();
    const lamp = openDali(settings({ address: 3 }), context, bus.open);
    bus.collisions = SENDS_MAX - 1;
    await lamp.apply(100);
    expect(bus.gear.level).toBe(254);
    bus.collisions = SENDS_MAX;
    await expect(lamp.apply(100)).rejects.toThrow(`expected a quiet bus, found ${SENDS_MAX} collisions`);
  });

  it("names gear without mains, a broken lamp, a silent HAT and a port that is not there", async () => {
    const bus = hat();
    const lamp = openDali(settings({ address: 3 }), context, bus.open);
    bus.gear.powered = false;
    await expect(lamp.apply(100)).rejects.toThrow(
      "found none; check its mains, the bus wires and lamp.driver.address",
    );
    bus.gear.powered = true;
    bus.gear.status = 0b10;
    await expect(lamp.apply(100)).rejects.toThrow("found a failure of its lamp");
    bus.gear.status = 0;
    await lamp.apply(100);
    bus.silent = true;
    await expect(lamp.apply(100)).rejects.toThrow("check that the UART is on");
    const missing = openDali(settings({ serial: "/dev/none" }), context);
    await expect(missing.apply(100)).rejects.toThrow("expected to open the serial port, found");
  });

  it("is asked between levels too: a HAT, gear or lamp that goes, and gear that forgot its level, are missed", async () => {
    const bus = hat();
    const lamp = openDali(settings({ address: 3 }), context, bus.open);
    await lamp.apply(100);
    bus.sent.length = 0;
    await lamp.check!();
    expect(bus.sent).toEqual(["h0790\n"]);
    bus.gear.status = 0b10;
    await expect(lamp.check!()).rejects.toThrow("found a failure of its lamp");
    // Its mains was away: it shines as configured at the factory.
    bus.gear.status = 0b1000_0000;
    await expect(lamp.check!()).rejects.toThrow("expected the gear to keep its level");
    bus.gear.status = 0;
    bus.gear.powered = false;
    await expect(lamp.check!()).rejects.toThrow("expected an answer of the control gear");
    const all = openDali(settings({ address: -1 }), context, bus.open);
    await all.check!();
    bus.silent = true;
    await expect(all.check!()).rejects.toThrow("expected an answer of the HAT");
  });

  it("says when its cable is pulled, and opens the port anew", async () => {
    const bus = hat();
    const lamp = openDali(settings({ address: 3 }), context, bus.open);
    const lost: string[] = [];
    lamp.onLost!((trouble) => lost.push(trouble));
    await lamp.apply(100);
    bus.pull();
    expect(lost).toEqual([
      "DALI address 3 on /dev/ttyS0: expected the serial port to stay, found: the port closed; check the HAT",
    ]);
    await lamp.apply(0);
    expect(bus.gear.level).toBe(0);
  });
});
