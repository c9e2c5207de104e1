/**
 * What Espruino lacks or gets wrong without a word, and what to write instead.
 *
 * Promise: every row was seen to fail on the interpreter, and its sample in the tests is found.
 */

/** Syntax by ESTree node: its name in an error, and the way out. */
export const SYNTAX: Readonly<Record<string, readonly [construct: string, instead: string]>> = {
  ObjectPattern: ["object destructuring", "read the members one by one"],
  ArrayPattern: ["array destructuring", "read the elements one by one"],
  AssignmentPattern: ["a default value", "compare with undefined"],
  RestElement: ["a rest parameter", "take an array"],
  SpreadElement: ["spread", "use .slice(), .concat() or .apply()"],
  YieldExpression: ["yield", "keep the place in a variable and return"],
  AwaitExpression: ["await", "pass a callback"],
  LabeledStatement: ["a label", "put the loops into a function and return"],
  TaggedTemplateExpression: ["a tagged template", "call the function"],
  TemplateLiteral: ["a template string left in the output", "compile to ES5 first"],
  ChainExpression: ["?.", "compare with undefined first"],
  MetaProperty: ["new.target or import.meta", "pass what is needed"],
  PropertyDefinition: ["a class field", "assign it in the constructor"],
  ArrowFunctionExpression: ["an arrow function left in the output", "compile to ES5 first"],
  ImportExpression: ["import()", "import at the top"],
};

const BY_HAND = "write it out";

/** Operators that are a syntax error there. */
export const OPERATORS: Readonly<Record<string, string>> = {
  "**": "use Math.pow or multiply",
  "**=": "use Math.pow or multiply",
  "??=": "use an if",
  "||=": "use an if",
  "&&=": "use an if",
};

/** Global names that are not there, and those of the compiler's helpers that do not work there. */
export const NAMES: Readonly<Record<string, string>> = {
  Map: "use an object or two arrays",
  Set: "use an object with true as values",
  WeakMap: "keep it in the object itself",
  WeakSet: "keep it in the object itself",
  Symbol: "use a string",
  Proxy: "use functions",
  BigInt: "use numbers below 2^53, or limbs",
  BigUint64Array: "use numbers below 2^53, or limbs",
  Buffer: "use a Uint8Array",
  TextEncoder: "use charCodeAt on ASCII",
  TextDecoder: "use String.fromCharCode on ASCII",
  queueMicrotask: "use setTimeout with 0",
  __extends: "do not extend a class: hold the other object as a member",
  __spreadArray: "use .slice(), .concat() or .apply()",
  __awaiter: "pass a callback",
  __generator: "keep the place in a variable and return",
};

/** Members that are undefined there, on any object. */
export const MEMBERS: Readonly<Record<string, string>> = {
  MAX_SAFE_INTEGER: "write 9007199254740991",
  BYTES_PER_ELEMENT: "write the number",
  isInteger: "compare with Math.floor",
  isSafeInteger: "compare with Math.floor and 9007199254740991",
  freeze: "leave it out",
  trunc: "use Math.floor, or | 0 below 2^31",
  imul: "multiply 16-bit halves",
  clz32: BY_HAND,
  fround: "use a Float32Array",
  hypot: "use Math.sqrt",
  log2: "use Math.log",
  codePointAt: "use charCodeAt",
  copyWithin: "use .set with .subarray",
  nextTick: "use setTimeout with 0",
};

/** Methods that are not there, where a member of the name may well be. */
export const METHODS: Readonly<Record<string, string>> = {
  at: "use an index",
  flat: "use .concat",
  flatMap: "use .map and .concat",
  finally: "use .then with two functions",
  race: "use a flag",
};

/** Members that fail on one object only. */
export const OWN_MEMBERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Array: { from: "use .slice or a loop", of: "write the array", prototype: "call the method on an array" },
  process: { exit: "use quit() in tests", nextTick: "use setTimeout with 0" },
  buffer: { slice: "slice the typed array" },
};
