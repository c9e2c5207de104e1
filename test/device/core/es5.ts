/**
 * The device's files as an Espruino board gets them: TypeScript to ES5 file by file, bundled, and a lint
 * that knows what such a board lacks or does silently wrong.
 *
 * Promise: a rule here rejects its own failing sample (espruino.test.ts), so none can go blind.
 */
import { readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";
import { type Node, parse } from "acorn";
import { fullAncestor } from "acorn-walk";
import { build } from "esbuild";
import ts from "typescript";

const DEVICE = new URL("../../../device/", import.meta.url).pathname;

/** Bundled as `var Device = {...}`; every ES5 file on the way is handed to `seen`. */
export async function bundleForEspruino(
  entries: readonly string[],
  seen: (file: string, es5: string) => void,
): Promise<string> {
  const built = await build({
    stdin: {
      contents: entries.map((entry) => `export * from "./${entry}";`).join("\n"),
      resolveDir: DEVICE,
    },
    bundle: true,
    write: false,
    format: "iife",
    globalName: "Device",
    platform: "neutral",
    target: "es5",
    plugins: [
      {
        name: "typescript-to-es5",
        setup(pipeline) {
          pipeline.onLoad({ filter: /\.ts$/ }, ({ path }) => {
            const contents = toEs5(readFileSync(path, "utf8"));
            seen(path.slice(DEVICE.length), contents);
            return { contents, loader: "js" };
          });
        },
      },
    ],
  });
  return built.outputFiles[0]!.text;
}

export function toEs5(source: string): string {
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: {
      target: ts.ScriptTarget.ES5,
      module: ts.ModuleKind.ES2015,
      verbatimModuleSyntax: true,
    },
  });
  return outputText;
}

/** Runs a bundle where nothing exists that a board lacks; returns a way to call its functions by JSON. */
export function runWithout(bundle: string): (call: string, ...args: unknown[]) => unknown {
  const context = createContext(Object.create(null));
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

export interface Fault {
  readonly rule: string;
  readonly at: number;
}

type Tree = Node & { readonly [member: string]: unknown };

const FORBIDDEN_NODES =
  /^(ObjectPattern|ArrayPattern|AssignmentPattern|RestElement|SpreadElement|YieldExpression|AwaitExpression|LabeledStatement|TaggedTemplateExpression|TemplateLiteral|ChainExpression|MetaProperty|PrivateIdentifier|PropertyDefinition|ArrowFunctionExpression|Class\w+|ImportExpression)$/;
const FORBIDDEN_NAMES =
  /^(Map|Set|WeakMap|WeakSet|Symbol|Proxy|BigInt|Buffer|TextEncoder|TextDecoder|queueMicrotask|Promise|require|process|setTimeout|setInterval|__extends|__spreadArray|__awaiter|__generator)$/;
const FORBIDDEN_MEMBERS =
  /^(MAX_SAFE_INTEGER|BYTES_PER_ELEMENT|isInteger|isSafeInteger|freeze|trunc|imul|clz32|fround|hypot|log2|codePointAt|race)$/;
const FORBIDDEN_CALLS = /^(at|flat|flatMap|finally)$/;
const FORBIDDEN_REGEX = /\{\d|\(\?|[^\\]\?|\)[+*]/;

/** Every place where the text uses what Espruino lacks or gets wrong. */
export function lintForEspruino(es5: string): Fault[] {
  const faults: Fault[] = [];
  const tree = parse(es5, { ecmaVersion: "latest", sourceType: "module" });
  const identifiers: { name: string; at: number; within: readonly Tree[] }[] = [];
  const declarations: {
    name: string;
    kind: "var" | "function";
    at: number;
    end: number;
    within: readonly Tree[];
  }[] = [];

  fullAncestor(tree, (found, _state, ancestors) => {
    const node = found as Tree;
    const path = ancestors as unknown as Tree[];
    const parent = path[path.length - 2];
    const say = (rule: string) => faults.push({ rule, at: node.start });
    if (FORBIDDEN_NODES.test(node.type)) say(node.type);
    if (node.async || node.generator) say("async or generator");
    if (node.type === "VariableDeclaration" && node.kind !== "var") say(`${node.kind}`);
    if (node.computed && node.type === "Property") say("computed key");
    if (node.type === "Property" && node.kind !== "init") return;
    if (node.operator === "**" || /^(\?\?|\|\||&&|\*\*)=$/.test(String(node.operator)))
      say(`${node.operator}`);
    if (node.type === "Literal") checkLiteral(node, say);
    if (node.type === "MemberExpression") checkMember(node, parent, say);
    if (node.type === "SwitchStatement") checkSwitch(node, say);
    if (node.operator === "delete" && path.some((one) => one.type === "ForInStatement"))
      say("delete in for..in");
    const within = path.slice(0, -1);
    if (node.type === "Identifier") identifiers.push({ name: String(node.name), at: node.start, within });
    if (node.type === "FunctionDeclaration") {
      const name = String((node.id as Tree).name);
      declarations.push({ name, kind: "function", at: node.start, end: node.end, within });
    }
    if (node.type === "VariableDeclarator") {
      const name = String((node.id as Tree).name);
      declarations.push({ name, kind: "var", at: node.start, end: node.end, within });
    }
  });

  for (const { name, at } of identifiers) {
    if (FORBIDDEN_NAMES.test(name)) faults.push({ rule: `name ${name}`, at });
  }
  for (const { rule, at } of hoistingFaults(identifiers, declarations)) faults.push({ rule, at });
  return faults;
}

function checkLiteral(node: Tree, say: (rule: string) => void): void {
  if (typeof node.bigint === "string") say("BigInt literal");
  const regex = node.regex as { pattern: string } | undefined;
  if (regex && FORBIDDEN_REGEX.test(regex.pattern)) say("regular expression");
}

function checkMember(node: Tree, parent: Tree | undefined, say: (rule: string) => void): void {
  if (node.computed) return;
  const name = String((node.property as Tree).name);
  const object = node.object as Tree;
  if (FORBIDDEN_MEMBERS.test(name)) say(`.${name}`);
  if (FORBIDDEN_CALLS.test(name) && parent?.type === "CallExpression" && parent.callee === node)
    say(`.${name}(`);
  if (object.name === "Array" && /^(from|of|prototype)$/.test(name)) say(`Array.${name}`);
  if (object.name === "process" && name === "nextTick") say("process.nextTick");
  const assigned = parent?.type === "AssignmentExpression" && parent.left === node;
  if (name === "length" && assigned) say(".length =");
  const inner = object.type === "MemberExpression" ? (object.property as Tree).name : null;
  if (name === "slice" && inner === "buffer") say(".buffer.slice");
}

function checkSwitch(node: Tree, say: (rule: string) => void): void {
  const cases = node.cases as Tree[];
  const position = cases.findIndex((one) => one.test === null);
  if (position >= 0 && position < cases.length - 1) say("default not last");
}

/** No hoisting on a board: a function is known after its text, a var after it and inside its block only. */
function hoistingFaults(
  uses: readonly { name: string; at: number; within: readonly Tree[] }[],
  declarations: readonly { name: string; kind: string; at: number; end: number; within: readonly Tree[] }[],
): Fault[] {
  const faults: Fault[] = [];
  for (const { name, at, within } of uses) {
    const own = declarations.filter((one) => one.name === name && scopeOf(within) === scopeOf(one.within));
    if (own.length === 0 || own.some((one) => one.at <= at && at <= one.end)) continue;
    const functions = own.filter((one) => one.kind === "function");
    if (functions.length > 0 && functions.every((one) => at < one.at)) {
      faults.push({ rule: `function ${name} before its text`, at });
    }
    const variables = own.filter((one) => one.kind === "var");
    const known = variables.some((one) => one.at < at && within.includes(blockOf(one.within)));
    if (variables.length > 0 && !known) faults.push({ rule: `var ${name} outside its block`, at });
  }
  return faults;
}

function scopeOf(within: readonly Tree[]): Tree {
  return within.findLast((node) => /^(Program|Function\w+)$/.test(node.type))!;
}

function blockOf(within: readonly Tree[]): Tree {
  return within.findLast((node) => /^(Program|BlockStatement|For\w*Statement|Function\w+)$/.test(node.type))!;
}
