import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { chartsOf } from "#simulator/report/charts";
import { MAP_LIGHTS_MAX, mapOf } from "#simulator/report/city-map";
import {
  clockIn,
  decimal,
  dollars,
  duration,
  escaped,
  inUnits,
  roundDollars,
  ticks,
} from "#simulator/report/figures";
import { pageOf } from "#simulator/report/page";
import { SAMPLES_MAX, Sampler } from "#simulator/report/sampler";
import { requireWritable, writeReport } from "#simulator/report/write-report";
import { evening } from "./evening.ts";

/** Numbers and units stand together by a space that does not break. */
const plain = (text: string) => text.replaceAll("\u00a0", " ");

describe("a report", () => {
  it("needs nothing but itself: no address, no file, no import", () => {
    const page = pageOf(evening());
    expect(page).not.toMatch(/\b(src|href)="(?!#)/);
    expect(page).not.toMatch(/https?:|url\(|@import|\bimport\b/);
    expect(page).toContain(`default-src 'none'`);
  });

  it("shows text of strangers as text, wherever it stands", () => {
    const evil = `</script><img src=x onerror="alert(1)">'&`;
    const story = evening();
    const page = pageOf(
      evening({
        title: evil,
        story: evil,
        city: evil,
        command: evil,
        lights: story.lights.map((light) => ({
          ...light,
          name: evil,
          street: evil,
          group: evil,
          cheats: [evil],
        })),
        stages: story.stages.map((stage) => ({ ...stage, name: evil })),
        feeders: story.feeders.map((feeder) => ({ ...feeder, name: evil })),
        cheats: story.cheats.map((cheat) => ({ ...cheat, cheat: evil })),
        violations: [{ invariant: evil, light: evil, expected: evil, actual: evil }],
      }),
    );
    expect(page).not.toContain("<img");
    expect(page.match(/<\/script>/g)).toHaveLength(2);
  });

  it("says at its head that the books agree, or that they do not and where", () => {
    expect(pageOf(evening())).toContain("Conserved: every counter agrees to the last atomic unit.");
    const violations = [{ invariant: "M2", light: "light-3", expected: "claimed = 5", actual: "claimed 6" }];
    const page = pageOf(evening({ violations }));
    expect(page).toContain("Not conserved: 1 broken promises");
    expect(page).toContain("<td>claimed = 5</td><td>claimed 6</td>");
  });

  it("checks each counter itself against the one above it", () => {
    const { money } = evening();
    const wrong = money.map((counter) =>
      counter.name === "claimed" ? { ...counter, amount: 60_001 } : counter,
    );
    expect(pageOf(evening({ money: wrong }))).toContain("<td>= ✕</td>");
    expect(pageOf(evening())).not.toContain("✕</td>");
  });

  it("names the feeders that are suspected and what was gained", () => {
    const page = plain(pageOf(evening()));
    expect(page).toContain("On 1 of 2 feeders that is more than rounding explains.");
    expect(page).toMatch(/<th scope="row">Ash Lane<\/th>.*?<td>suspected<\/td>/);
    expect(page).toContain('<th scope="row">bypass meter</th><td class="number">1</td>');
    expect(page).toContain("28 Wh");
  });

  it("counts the faults that struck, most frequent first, and names those that never did", () => {
    const fired = [
      { kind: "loss", count: 3 },
      { kind: "answer-late", count: 1_200 },
    ];
    const page = pageOf(evening({ faults: { fired, neverFired: ["bit-flip", "<b>"] } }));
    expect(page).toContain("2 kinds of faults struck, 1,203 times in all.");
    expect(page).toMatch(/answer late<\/th><td class="number">1,200<.*loss<\/th><td class="number">3</);
    expect(page).toContain("<li>bit flip</li><li>&lt;b&gt;</li>");
    expect(pageOf(evening({ faults: { fired: [], neverFired: [] } }))).toContain("No fault struck.");
    expect(pageOf(evening())).not.toContain("What went wrong");
  });

  it("says by which clock answers were timed", () => {
    const { figures } = evening();
    expect(pageOf(evening())).toContain("real time; the slowest hundredth");
    const virtual = pageOf(evening({ figures: { ...figures, answersIn: "virtual" } }));
    expect(virtual).toContain("virtual time; the slowest hundredth");
  });

  it("can be written of an evening that ended before it began", () => {
    const page = pageOf(
      evening({ samples: [], lights: [], stages: [], feeders: [], cheats: [], minutes: 0 }),
    );
    expect(page).toContain("</html>");
    expect(page).not.toMatch(/NaN|Infinity|undefined/);
  });

  it("has no number that is none, whatever was sampled", () => {
    const amount = fc.integer({ min: 0, max: 2 ** 40 });
    const sample = fc.record({
      minute: fc.integer({ min: 0, max: 120_000_000 }).map((ms) => ms / 60_000),
      powerMilliwatts: amount,
      pricePerMillionUnits: fc.option(fc.integer({ min: 1, max: 2 ** 32 - 1 })),
      made: amount,
      spentAtomic: amount,
      ...{ lit: amount, dark: amount, starved: amount, offline: amount },
      creditMinutes: fc.tuple(amount, amount, amount),
    });
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 12 }), (samples) => {
        const rising = samples.toSorted((left, right) => left.minute - right.minute);
        const minutes = rising.at(-1)?.minute ?? 0;
        expect(pageOf(evening({ samples: rising, minutes, stages: [] }))).not.toMatch(
          /NaN|Infinity|undefined/,
        );
      }),
      { numRuns: 40 },
    );
  });
});

describe("the charts", () => {
  it("read every sample out, by the local clock", () => {
    const { values } = chartsOf(evening());
    expect(values.clock[0]).toBe("21:00");
    expect(values.clock.at(-1)).toBe("22:00");
    expect(Object.keys(values.charts)).toEqual(["power", "price", "payments", "credit", "trouble"]);
    for (const readouts of Object.values(values.charts)) expect(readouts).toHaveLength(61);
    expect(plain(values.charts.power![0]!)).toBe("power 400 W");
    expect(values.charts.price![50]).toBe("price $1.00");
    expect(values.charts.trouble![25]).toBe("starved 10 lights, without connection 3 lights");
  });

  it("shade what lasts, mark what happens at once, and number both", () => {
    const { html } = chartsOf(evening());
    expect(html).toContain('<rect class="span" x="333.33" width="166.67"');
    expect(html).toContain('<line class="moment" x1="750" x2="750"');
    expect(html.match(/<span class="badge">/g)).toHaveLength(2);
  });

  it("leave a gap where the value is unknown", () => {
    const samples = evening().samples.map((sample) => ({ ...sample, pricePerMillionUnits: null }));
    const { html, values } = chartsOf(evening({ samples }));
    expect(html).toContain("price: not known.");
    expect(values.charts.price![0]).toBe("price not known");
  });
});

describe("the map", () => {
  it("draws one sign for each light, by shape: a disc, a ring, a diamond", () => {
    const map = mapOf(evening().lights, 60, new Set());
    expect(map.match(/<circle class="lit"/g)).toHaveLength(8);
    expect(map.match(/<circle class="starved"/g)).toHaveLength(1);
    expect(map.match(/<path class="cheated"/g)).toHaveLength(1);
  });

  it("keeps every light inside, even across the date line and at one single place", () => {
    const [light] = evening().lights;
    for (const longitudes of [[179.999, -179.999], [10]]) {
      const map = mapOf(
        longitudes.map((longitude) => ({ ...light!, longitude, cheats: [] })),
        60,
        new Set(),
      );
      const xs = [...map.matchAll(/cx="([-\d.]+)"/g)].map(([, x]) => Number(x));
      expect(xs).toHaveLength(longitudes.length);
      for (const x of xs) expect(x >= 0 && x <= 1000).toBe(true);
    }
  });

  it("lets neighbours share a dot when there are many, and loses none", () => {
    const [light] = evening().lights;
    const count = MAP_LIGHTS_MAX + 1_000;
    const many = Array.from({ length: count }, (_, index) => ({
      ...light!,
      cheats: [],
      latitude: 52 + (index % 71) / 1_000,
      longitude: 13 + Math.floor(index / 71) / 1_000,
    }));
    const map = mapOf(many, 60, new Set());
    expect(map.match(/<circle/g)!.length).toBeLessThan(MAP_LIGHTS_MAX);
    const said = [...map.matchAll(/<title>([\d,]+) lights/g)].map(([, text]) =>
      Number(text!.replaceAll(",", "")),
    );
    expect(said.reduce((sum, one) => sum + one)).toBe(count);
  });
});

describe("a recorder", () => {
  it("looks evenly, never more often than it has room for, and once at the end", () => {
    let nowMs = 0;
    let woken: (() => void) | null = null;
    let atMs = 0;
    const fleet = {
      lights: [],
      wallSeconds: () => nowMs / 1000,
      at: (ms: number, wake: () => void) => {
        atMs = ms;
        woken = wake;
        return () => {};
      },
      progress: () => ({
        ...{ simulatedMs: nowMs, lit: 0, dark: 0, starved: 0, offline: 0 },
        ...{ made: 0, spentAtomic: 0, consumedMilliwattHours: 0 },
      }),
    };
    const recorder = new Sampler(fleet, () => 7);
    const lengthMs = 14 * 3_600_000;
    recorder.record(lengthMs);
    for (let wake = woken as (() => void) | null; wake !== null && atMs <= lengthMs * 3; ) {
      nowMs = atMs;
      woken = null;
      wake();
      wake = woken;
    }
    recorder.look();
    expect(recorder.samples).toHaveLength(SAMPLES_MAX);
    const [first, second, third] = recorder.samples.map(({ minute }) => minute);
    expect(third! - second!).toBeCloseTo(second! - first!, 9);
    expect(recorder.samples[0]!.pricePerMillionUnits).toBe(7);
  });
});

describe("numbers", () => {
  it("are shown with their units", () => {
    expect(plain(inUnits(1_635_000, "Wh"))).toBe("1.64 kWh");
    expect(plain(inUnits(0, "W"))).toBe("0 W");
    expect(plain(inUnits(999, "Wh"))).toBe("999 mWh");
    expect(plain(inUnits(-12_345, "Wh"))).toBe("-12.3 Wh");
    expect(dollars(1_234_567)).toBe("$1.234567");
    expect([99_999_999, 2_138_589_000].map(roundDollars)).toEqual(["$99.999999", "$2,138.59"]);
    expect(decimal(1_234.56, 1)).toBe("1,234.6");
    expect([0, 42, 287, 3_600, 11_100].map((seconds) => plain(duration(seconds)))).toEqual([
      ...["0 s", "42 s", "4 min 47 s", "1 h", "3 h 5 min"],
    ]);
    expect(clockIn("Asia/Kolkata")(0)).toBe("05:30");
    expect(escaped(`<a b="c">&'`)).toBe("&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
  });

  it("stand on scales of a few round steps that hold them all", () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-9, max: 1e12, noNaN: true }), (most) => {
        const scale = ticks(0, most);
        expect(scale.length).toBeGreaterThanOrEqual(3);
        expect(scale.length).toBeLessThanOrEqual(6);
        expect(scale[0]).toBe(0);
        expect(scale.at(-1)! * (1 + 1e-9)).toBeGreaterThanOrEqual(most);
      }),
    );
  });
});

describe("writing a report", () => {
  const home = mkdtempSync(join(tmpdir(), "watt402-report-"));
  afterAll(() => rmSync(home, { recursive: true }));

  it("replaces the one before as a whole and leaves nothing else", () => {
    const file = join(home, "night.html");
    writeFileSync(file, "before");
    requireWritable(file);
    writeReport(file, evening());
    expect(readFileSync(file, "utf8")).toBe(pageOf(evening()));
    expect(readdirSync(home)).toEqual(["night.html"]);
  });

  it("is refused before the run where it could not be done", () => {
    mkdirSync(join(home, "folder"));
    expect(() => requireWritable(join(home, "folder"))).toThrow(/expected a file's name, found a folder$/);
    expect(() => requireWritable(join(home, "none", "x.html"))).toThrow(
      /expected a folder that can be written to, found none at /,
    );
    expect(() => writeReport(join(home, "none", "x.html"), evening())).toThrow(/cannot be written: ENOENT/);
  });
});
