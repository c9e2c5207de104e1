import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openRegisterMap, shippedMaps } from "#hardware/meters/modbus/map-table";
import { planReads } from "#hardware/meters/modbus/read-plan";
import { mapSchema, readRegisterMap, registersOf, TYPE_WORDS } from "#hardware/meters/modbus/register-map";
import { decodeWords, encodeWords } from "#hardware/meters/modbus/words";

type Loose = Record<string, unknown>;

/** A copy of a shipped map with one thing changed. */
function spoilt(change: (map: Loose & { registers: Record<string, Loose> }) => void): unknown {
  const map = structuredClone(openRegisterMap("sdm120")) as unknown as Loose & {
    registers: Record<string, Loose>;
  };
  change(map);
  return map;
}

const faultOf = (value: unknown): string => {
  try {
    readRegisterMap(value, "mine.json");
  } catch (error) {
    return (error as Error).message;
  }
  return "none";
};

describe("the shipped register maps", () => {
  it("are the five meters, each whole and readable in a handful of requests", () => {
    const plans = shippedMaps().map(({ name }) => [name, planReads(openRegisterMap(name))] as const);
    expect(Object.fromEntries(plans.map(([name, plan]) => [name, plan.length]))).toEqual({
      sdm120: 3,
      sdm230: 3,
      sdm630: 4,
      sdm72d: 2,
      "pzem-004t": 1,
    });
  });

  it("ask only for whole pairs where the meter answers nothing else", () => {
    for (const { name } of shippedMaps()) {
      const map = openRegisterMap(name);
      for (const { address, count } of planReads(map)) {
        expect(count).toBeLessThanOrEqual(map.readMax);
        if (map.pairsOnly) expect([address % 2, count % 2]).toEqual([0, 0]);
      }
    }
  });

  it("know where each data sheet keeps its registers", () => {
    const at = (name: string) =>
      Object.fromEntries(
        registersOf(openRegisterMap(name)).map(({ quantity, register }) => [quantity, register.address]),
      );
    expect(at("sdm120")).toEqual({ energy: 0x156, power: 0x0c, voltage: 0, current: 6, frequency: 0x46 });
    expect(at("sdm72d")).toEqual({ energy: 0x156, power: 0x34 });
    expect(at("pzem-004t")).toEqual({ energy: 5, power: 3, voltage: 0, current: 1, frequency: 7 });
  });
});

describe("a register map with a fault", () => {
  const cases: readonly [string, unknown, string][] = [
    [
      "overlapping registers",
      spoilt(({ registers }) => Object.assign(registers.current!, { address: 12 })),
      'register map "mine.json": power (input 12..13) and current (input 12..13) overlap; ' +
        "correct the address or the type of one",
    ],
    [
      "an odd address where pairs are demanded",
      spoilt(({ registers }) => Object.assign(registers.energy!, { address: 343 })),
      'register map "mine.json": energy: address 343 is odd; this meter answers only pairs at even addresses',
    ],
    [
      "a single register where pairs are demanded",
      spoilt(({ registers }) => Object.assign(registers.voltage!, { type: "uint16" })),
      'register map "mine.json": voltage: type uint16 is one register; this meter answers only pairs, use a 32-bit type',
    ],
    [
      "a misspelt unit",
      spoilt(({ registers }) => Object.assign(registers.energy!, { unit: "kwh" })),
      'register map "mine.json": registers.energy.unit: expected one of "mWh", "Wh", "kWh", "MWh", found "kwh"',
    ],
    [
      "a misspelt key",
      spoilt(({ registers }) => Object.assign(registers.power!, { adress: 3 })),
      'register map "mine.json": registers.power.adress: expected no such key; check its spelling',
    ],
    [
      "no energy register",
      spoilt(({ registers }) => {
        delete registers.energy;
      }),
      'register map "mine.json": registers.energy: expected a table, found nothing',
    ],
    [
      "a range upside down",
      spoilt(({ registers }) => Object.assign(registers.voltage!, { range: [300, 80] })),
      'register map "mine.json": voltage.range: expected the lowest before the highest, found [300,80]',
    ],
    [
      "a register beyond the last address",
      spoilt(({ registers }) => Object.assign(registers.energy!, { address: 65_534, type: "float64" })),
      'register map "mine.json": energy: expected its last register at most at 65535, found 65537',
    ],
  ];
  it.each(cases)("is refused for %s, and says where", (_, value, message) => {
    expect(faultOf(value)).toBe(message);
  });

  it("is refused with all its faults at once", () => {
    const value = spoilt(({ registers }) => {
      registers.energy!.address = 343;
      registers.current!.address = 12;
    });
    expect(faultOf(value).split("\n")).toHaveLength(2);
  });

  it("that is no file, no JSON or no name we know says so", () => {
    expect(() => openRegisterMap("/nowhere/map.json")).toThrow(
      '"/nowhere/map.json": expected a readable file, found ENOENT',
    );
    expect(() => openRegisterMap("sdm121")).toThrow("expected sdm120, sdm230, sdm630, sdm72d, pzem-004t");
  });
});

describe("a value in registers", () => {
  const layouts = (Object.keys(TYPE_WORDS) as (keyof typeof TYPE_WORDS)[]).flatMap((type) =>
    (["high-first", "low-first"] as const).flatMap((wordOrder) =>
      (["high-first", "low-first"] as const).map((byteOrder) => ({ type, wordOrder, byteOrder })),
    ),
  );

  it("comes back from its words as it went in, for every type and order", () => {
    fc.assert(
      fc.property(fc.constantFrom(...layouts), fc.integer({ min: 0, max: 32_767 }), (layout, value) => {
        expect(decodeWords(layout, encodeWords(layout, value))).toBe(value);
      }),
    );
  });

  it("lies where the data sheets' examples have it", () => {
    // SDM: 230.2 V are the bytes 43 66 33 34.
    const sdm = { type: "float32", wordOrder: "high-first", byteOrder: "high-first" } as const;
    expect(decodeWords(sdm, [0x4366, 0x3334])).toBeCloseTo(230.2, 4);
    // PZEM: 123456 Wh, low word first.
    const pzem = { type: "uint32", wordOrder: "low-first", byteOrder: "high-first" } as const;
    expect(decodeWords(pzem, [0xe240, 0x0001])).toBe(123_456);
  });
});

describe("the JSON schema of maps", () => {
  it("names every key that the loader takes", () => {
    const schema = mapSchema() as { readonly properties: Record<string, unknown> };
    expect(Object.keys(schema.properties).sort()).toEqual(Object.keys(openRegisterMap("sdm120")).sort());
  });
});
