import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  readHello,
  readPayment,
  readPaymentRequired,
  readReading,
  readRequest,
  readResponse,
  readState,
} from "#protocol/messages";
import { isShallow, NESTING_MAX, parseJson } from "#protocol/nesting";
import { counter, object, readJson } from "#protocol/shape";

const deep = (depth: number, [open, close] = ["[", "]"]) => open!.repeat(depth) + close!.repeat(depth);

/** How deep a value nests, computed otherwise than by the reader. */
function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

describe("the reader of JSON", () => {
  it("takes what nests 32 deep and nothing deeper, in arrays, objects and both", () => {
    for (const json of [
      (depth: number) => deep(depth),
      (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`,
      (depth: number) => `{"a":${deep(depth - 1)}}`,
      (depth: number) => `[${"0,".repeat(9)}${deep(depth - 1)},[]]`,
    ]) {
      expect(parseJson(json(NESTING_MAX))).toEqual(JSON.parse(json(NESTING_MAX)));
      expect(() => parseJson(json(NESTING_MAX + 1))).toThrow("nested at most 32 deep, found deeper");
      expect(isShallow(json(1_000_000))).toBe(false);
    }
  });

  it("is not led astray by brackets, quotes and backslashes in strings", () => {
    const brackets = "[{".repeat(100);
    for (const text of [brackets, `\\"${brackets}`, `"${brackets}\\`, `\\\\"\\${brackets}`]) {
      expect(parseJson(JSON.stringify([text, { [text]: text }]))).toEqual([text, { [text]: text }]);
      expect(isShallow(`[${JSON.stringify(text)},${deep(NESTING_MAX)}]`)).toBe(false);
    }
    expect(isShallow(`"${"\\".repeat(1001)}`)).toBe(true);
  });

  it("says of every JSON document what counting in the parsed value says", () => {
    const values = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 40, depthSize: 40 },
        fc.string({ unit: "binary" }),
        tie("list"),
        tie("nest"),
      ),
      list: fc.array(tie("value"), { maxLength: 2 }),
      nest: fc.dictionary(fc.string(), tie("value"), { maxKeys: 2 }),
    })).value;
    fc.assert(
      fc.property(values, fc.integer({ min: 0, max: 40 }), (value, more) => {
        const json = "[".repeat(more) + JSON.stringify(value) + "]".repeat(more);
        expect(isShallow(json)).toBe(depthOf(JSON.parse(json)) <= NESTING_MAX);
      }),
      { numRuns: 500 },
    );
  });

  it("looks once at a text of a megabyte, however it is made", () => {
    for (const piece of ["[", '"', "\\", "[]", '"\\', "{}", '""', " "]) {
      const since = performance.now();
      isShallow(piece.repeat(1_000_000 / piece.length));
      expect(performance.now() - since).toBeLessThan(10_000);
    }
  });

  it.each(
    Object.entries({
      readHello,
      readState,
      readReading,
      readRequest,
      readPayment,
      readPaymentRequired,
      readResponse,
    }),
  )("%s refuses a member that nests deep, by a short text", (_name, read) => {
    for (const depth of [33, 7_600, 100_000]) {
      const { message, error } = read(`{"v":1,"id":"1","payment":${deep(depth)},"url":${deep(depth)}}`);
      expect(message).toBeNull();
      expect(error).toBe("expected JSON nested at most 32 deep, found deeper");
    }
  });

  it("names a member that nests deep or is long without showing more than a piece of it", () => {
    const check = object({ v: counter });
    for (const found of [deep(100_000), `"${"x".repeat(100_000)}"`, `[${"1,".repeat(50_000)}1]`, "{}"]) {
      const { error } = readJson(`{"v":${found}}`, check);
      expect(error).toMatch(/^message\.v: expected an integer/);
      expect(error!.length).toBeLessThan(140);
    }
  });
});
