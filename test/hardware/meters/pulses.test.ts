import { describe, expect, it } from "vitest";
import { type MeterDriver, probeMeter } from "#hardware/meters/open-meter";
import { milliwattsPerHertzOf } from "#hardware/meters/pulse/hlw8012";
import { fakeGpiomon, oldGpiomon, pretendedPi } from "./fakes.ts";
import { context, readOnce, reasonOf, until } from "./harness.ts";

const pi = pretendedPi();
const meter = (table: Record<string, unknown>) => pi.meter(table);

const S0 = { kind: "pulse", line: 27, impulses_per_kilowatt_hour: 1000 };
const watched = (one: MeterDriver) =>
  until("a watched line", async () => reasonOf(await readOnce(one)) === "good", 10_000);

describe("an S0 meter", () => {
  it("counts each pulse once and derives power from their spacing", async () => {
    const gpio = fakeGpiomon(pi.path);
    const one = meter(S0);
    await watched(one);
    expect(await readOnce(one)).toMatchObject({ raw: 0, powerMilliwatts: 0 });
    // A pulse of 1 Wh every 60 s is 60 W.
    for (let pulse = 0; pulse < 5; pulse++) gpio.edge(27, 1000 + 60 * pulse);
    await until("five pulses", async () => (await readOnce(one))!.raw === 5000);
    expect((await readOnce(one))!.powerMilliwatts).toBe(60_000);
  });

  it("is debounced by the kernel, and hears rising edges of its own line only", async () => {
    const gpio = fakeGpiomon(pi.path);
    const one = meter({ ...S0, debounce_ms: 5 });
    await watched(one);
    gpio.edge(27, 10);
    gpio.edge(27, 10.001);
    gpio.edge(27, 10.002);
    gpio.edge(27, 11, "falling");
    gpio.edge(22, 12);
    gpio.edge(27, 70);
    await until("two pulses", async () => (await readOnce(one))!.raw === 2000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await readOnce(one))!.raw).toBe(2000);
  });

  it("goes on after a stop where it was, and after a killed child by itself", async () => {
    const gpio = fakeGpiomon(pi.path);
    const first = meter(S0);
    await watched(first);
    gpio.edge(27, 10);
    await until("a pulse", async () => (await readOnce(first))!.raw === 1000);
    const child = gpio.pid();
    process.kill(child!, "SIGKILL");
    await until("the loss", async () => (await readOnce(first))!.quality!.kind === "stale");
    expect(reasonOf(await readOnce(first))).toContain("expected gpiomon to watch gpiochip0 line 27");
    await watched(first);
    expect(gpio.pid()).not.toBe(child);
    gpio.edge(27, 100);
    await until("two pulses", async () => (await readOnce(first))!.raw === 2000);
    await pi.close(first);
    const second = meter(S0);
    await watched(second);
    expect((await readOnce(second))!.raw).toBe(2000);
  });

  it("refuses pulses that come faster than the supply could drive them", async () => {
    const gpio = fakeGpiomon(pi.path);
    const one = meter({ ...S0, debounce_ms: 0.1 });
    await watched(one);
    gpio.edge(27, 10);
    gpio.edge(27, 10.01);
    await until("the reason", async () => reasonOf(await readOnce(one)).includes("expected at most 200 W"));
    await until("the first pulse", async () => (await readOnce(one))!.raw === 1000);
  });

  it("names a busy line, an old gpiomon and a missing one, each with its remedy", async () => {
    const gpio = fakeGpiomon(pi.path);
    gpio.hold();
    const busy = await probeMeter(S0, context());
    expect(busy.trouble).toContain("expected gpiochip0 line 27 to be free, found it busy; gpioinfo shows");
    oldGpiomon(pi.path);
    expect((await probeMeter(S0, context())).trouble).toContain("expected gpiomon of libgpiod 2 or later");
    const before = process.env.PATH;
    process.env.PATH = "/nowhere";
    try {
      expect((await probeMeter(S0, context())).trouble).toContain("install the package gpiod");
    } finally {
      process.env.PATH = before;
    }
  });
});

describe("an HLW8012 or BL0937", () => {
  it("turns pulses into energy, power and voltage by its data sheet's figures", async () => {
    const gpio = fakeGpiomon(pi.path);
    const settings = {
      part: "hlw8012",
      chip: "gpiochip0",
      cfLine: 5,
      cf1Line: 6,
      selLine: null,
      shuntMicroohms: 1000,
      voltageDivider: 2351,
      calibration: 1,
    } as const;
    const each = milliwattsPerHertzOf(settings);
    // Vref 2.43 V, 1 mOhm, divider 2351: 10.34 W to a hertz.
    expect(each / 1000).toBeCloseTo(((2.43 ** 2 * 2351) / 0.001) * (64 / 24 / 3_579_000), 6);
    const one = meter({ kind: "hlw8012", cf_line: 5, cf1_line: 6 });
    await watched(one);
    const hertz = 60_000 / each;
    const voltHertz = 230 / ((2.43 * 2351 * 256) / 3_579_000);
    for (let pulse = 0; pulse < 4; pulse++) gpio.edge(6, 1000 + pulse / voltHertz);
    for (let pulse = 0; pulse < 3600; pulse++) gpio.edge(5, 1000 + pulse / hertz);
    await until("an hour's worth of pulses", async () => (await readOnce(one))!.raw === Math.floor(each));
    const reading = await readOnce(one);
    expect(reading!.powerMilliwatts / 1000).toBeCloseTo(60, 1);
    expect(reading!.voltageMillivolts! / 1000).toBeCloseTo(230, 1);
  });

  it("says when nothing holds SEL", async () => {
    fakeGpiomon(pi.path);
    const before = process.env.PATH;
    process.env.PATH = pi.path;
    try {
      const one = meter({ kind: "bl0937", cf_line: 5, cf1_line: 6, sel_line: 7 });
      await until("the reason", async () => reasonOf(await readOnce(one)).includes("SEL"));
    } finally {
      process.env.PATH = before;
    }
  });
});
