/** Every trap of the board's language that we know has a sample here, and the lint finds it. */
import { describe, expect, it } from "vitest";
import { toEs5 } from "#hardware/espruino/build/es5";
import { faultLine, lintForBoard } from "#hardware/espruino/build/lint";

const reported = (text: string) => lintForBoard(text, "a.js").map(faultLine);

/** A sample, and what its error must name. */
const TRAPS: readonly (readonly [sample: string, named: string])[] = [
  ["var { a } = b;", "object destructuring"],
  ["var [a] = b;", "array destructuring"],
  ["function f(a = 1) { return a; }", "a default value"],
  ["function f(...a) { return a; }", "a rest parameter"],
  ["f(...a);", "spread"],
  ["new F(...a);", "spread"],
  ["var a = [...b];", "spread"],
  ["function* f() { yield 1; }", "yield"],
  ["function* f() {}", "a generator"],
  ["async function f() { await 1; }", "await"],
  ["var a = async function () {};", "an async function"],
  ["a: for (;;) break a;", "a label"],
  ["f`x`;", "a tagged template"],
  ["var a = `x`;", "a template string"],
  ["a?.b;", "?."],
  ["a ** b;", "the operator **"],
  ["a **= b;", "the operator **="],
  ["a ??= b;", "the operator ??="],
  ["a ||= b;", "the operator ||="],
  ["a &&= b;", "the operator &&="],
  ["var a = { [b]: 1 };", "a computed key"],
  ["class A extends B {}", "extends"],
  ["class A extends Error {}", "extends"],
  ["class A { #b; c() { return this.#b; } }", "a #private member"],
  ["class A { b; }", "a class field"],
  ["function A() { return new.target; }", "new.target"],
  ["import('a');", "import()"],
  ["let a = 1;", "let"],
  ["for (const a of b) c.push(function () { return a; });", "const"],
  ["new A(); class A {}", "function A used before its text"],
  ["var a = function () { return () => 1; };", "an arrow function"],
  ["1n;", "a BigInt literal"],
  ["/a{2}/;", "a regular expression with {n}"],
  ["/(?:a)/;", "a regular expression with (?"],
  ["/a(?=b)/;", "a regular expression with (?"],
  ["/ab?/;", "a regular expression with ?"],
  ["/(a|b)?/;", "a regular expression with ?"],
  ["/(ab)+/;", "a repeated group"],
  ["/(ab)*/;", "a repeated group"],
  ["Math.imul(1, 2);", ".imul"],
  ["Math.clz32(1);", ".clz32"],
  ["Math.trunc(1);", ".trunc"],
  ["Math.fround(1);", ".fround"],
  ["Math.hypot(1, 2);", ".hypot"],
  ["Math.log2(1);", ".log2"],
  ["Array.from(a);", "Array.from"],
  ["Array.of(a);", "Array.of"],
  ["Array.prototype.slice.call(a);", "Array.prototype"],
  ["Number.isInteger(1);", ".isInteger"],
  ["Number.isSafeInteger(1);", ".isSafeInteger"],
  ["Number.MAX_SAFE_INTEGER;", ".MAX_SAFE_INTEGER"],
  ["Uint8Array.BYTES_PER_ELEMENT;", ".BYTES_PER_ELEMENT"],
  ["a.buffer.slice(1);", "buffer.slice"],
  ["a.at(-1);", ".at()"],
  ["a.flat();", ".flat()"],
  ["a.flatMap(b);", ".flatMap()"],
  ["a.finally(b);", ".finally()"],
  ["Promise.race(a);", ".race()"],
  ["a.copyWithin(0, 1);", ".copyWithin"],
  ["a.codePointAt(0);", ".codePointAt"],
  ["a.length = 0;", "writing .length"],
  ["a.length--;", "writing .length"],
  ["Object.freeze(a);", ".freeze"],
  ["process.exit(1);", "process.exit"],
  ["process.nextTick(a);", "process.nextTick"],
  ["JSON.parse(a, b);", "JSON.parse with a reviver"],
  ["new Map();", "Map"],
  ["new Set();", "Set"],
  ["new WeakMap();", "WeakMap"],
  ["new WeakSet();", "WeakSet"],
  ["Symbol.iterator;", "Symbol"],
  ["new Proxy(a, b);", "Proxy"],
  ["BigInt(1);", "BigInt"],
  ["new BigUint64Array(1);", "BigUint64Array"],
  ["Buffer.alloc(1);", "Buffer"],
  ["new TextEncoder();", "TextEncoder"],
  ["new TextDecoder();", "TextDecoder"],
  ["queueMicrotask(a);", "queueMicrotask"],
  ["switch (a) { default: b(); case 1: c(); }", "default before a case"],
  ["for (var a in b) { delete b[a]; }", "delete inside for..in"],
  ["f(); function f() {}", "function f used before its text"],
  ["if (a) { var b = 1; } c(b);", "var b used before or outside"],
  ["if (a) var b = 1; c(b);", "var b used before or outside"],
  ["while (a) { var b = 1; } c(b);", "var b used before or outside"],
  ["for (a in b) { var c = 1; } d(c);", "var c used before or outside"],
  ["switch (a) { case 1: var b = 1; break; case 2: c(b); }", "var b used before or outside"],
  ["c(b); var b = 1;", "var b used before or outside"],
  ["(function () { if (a) { var b = 1; } return b; })();", "var b used before or outside"],
  ["(function () { b = 2; if (a) { var b = 1; } })();", "var b used before or outside"],
  ["var __extends = 1;", "__extends"],
  ["__spreadArray([], a, true);", "__spreadArray"],
  ["__awaiter(a);", "__awaiter"],
  ["__generator(a);", "__generator"],
];

describe("the lint for the board's language", () => {
  it.each(TRAPS)("finds the trap in %s", (sample, named) => {
    const found = reported(`go();\n${sample}`).filter((line) => line.includes(` ${named}`));
    expect(found).not.toEqual([]);
    // File, line and a way out; the column is the construct's own.
    for (const line of found) expect(line).toMatch(/^a\.js:2:\d+: .+ fails on Espruino; \S+ .+$/);
  });

  it.each([
    ["function f() { return g(); } function g() { return 1; } f();"],
    ["for (var i = 0; i < 2; i++) a(i); for (var i = 0; i < 3; i++) b(i);"],
    ["(function () { for (var sum = 0, i = 0; i < 2; i++) sum += i; return sum; })();"],
    ["(function () { var b; if (a) { b = 1; } return b; })();"],
    ["switch (a) { case 1: b(); break; default: c(); }"],
    ["var a = { at: 1, flat: 2 }; a.at; a.flat; a.length; clock.at(1, b);"],
    ["/[a-z?{]+|^b$|\\?|\\{2/; JSON.parse(a); b.slice(1); typeof Promise;"],
    ["for (var a in b) c(b[a]); Object.keys(b).forEach(function (key) { delete b[key]; });"],
    ["const a = 1; export const b = 2;"],
    ["class A { constructor(b) { this.b = b; } c() { return this.b; } } new A(1).c();"],
    ["(function (constructor) { return constructor.toString(); })(Object);"],
  ])("lets %s pass", (sample) => {
    expect(reported(sample)).toEqual([]);
  });

  it("sees through the compiler: what it lowers into another trap is found, what it lowers well is not", () => {
    expect(reported(toEs5("const a = [...b, 1];")).join()).toContain("__spreadArray");
    expect(reported(toEs5("class A extends B {}")).join()).toContain("__extends");
    expect(reported(toEs5("async function f() { await a; }")).join()).toContain("__awaiter");
    expect(reported(toEs5("a.forEach((b) => { const c = new Map(); d(b, c); });"))).toHaveLength(1);
    for (const lowered of [
      "const a = { ...b, c: 1 };",
      "const { a, ...b } = c; d(a, b);",
      "const f = (a = 1, ...b: number[]) => a ** 2 + (b[0] ?? 1);",
      "for (const a of b) setTimeout(() => c(a), 1);",
      "class A { private b = 1; get c() { return this.b; } static d() { return new A(); } }",
      "a?.b?.(c); d ??= `x$" + "{e}`;",
    ]) {
      expect(reported(toEs5(lowered))).toEqual([]);
    }
  });
});
