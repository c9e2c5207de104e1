/**
 * The device's files where a board's language ends: run in a context from which everything is taken that
 * Espruino lacks.
 */
import { createContext, runInContext } from "node:vm";

/**
 * Runs a bundle where nothing exists that a board lacks; returns a way to call its functions by JSON.
 * @param firmware what the board's firmware adds, as globals
 */
export function runWithout(
  bundle: string,
  firmware: Readonly<Record<string, unknown>> = {},
): (call: string, ...args: unknown[]) => unknown {
  const context = createContext(Object.assign(Object.create(null), firmware));
  runInContext(TAKE_AWAY, context);
  runInContext(bundle, context);
  return (call, ...args) => {
    const json = runInContext(`JSON.stringify((${call}).apply(null, ${JSON.stringify(args)}))`, context);
    return json === undefined ? undefined : JSON.parse(json as string);
  };
}

const TAKE_AWAY = `
  ["BigInt", "BigInt64Array", "BigUint64Array", "Map", "Set", "WeakMap", "WeakSet", "WeakRef", "Symbol", "Proxy",
   "Reflect", "Promise", "Intl", "Atomics", "SharedArrayBuffer", "FinalizationRegistry", "WebAssembly",
   "queueMicrotask", "console", "Iterator"].forEach(function (name) { delete this[name]; }, this);
  ["isInteger", "isSafeInteger", "MAX_SAFE_INTEGER", "MIN_SAFE_INTEGER", "EPSILON"].forEach(function (name) {
    delete Number[name];
  });
  ["trunc", "imul", "clz32", "fround", "log2", "hypot"].forEach(function (name) { delete Math[name]; });
  ["from", "of"].forEach(function (name) { delete Array[name]; delete Uint8Array.__proto__[name]; });
  ["flat", "flatMap", "at", "entries", "copyWithin", "findLast", "toSorted"].forEach(function (name) {
    delete Array.prototype[name];
  });
  ["codePointAt", "at", "matchAll", "normalize"].forEach(function (name) { delete String.prototype[name]; });
  ["freeze", "isFrozen", "getOwnPropertySymbols"].forEach(function (name) { delete Object[name]; });
  delete ArrayBuffer.prototype.slice;
  delete Uint8Array.BYTES_PER_ELEMENT;
`;
