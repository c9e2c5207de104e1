/**
 * Reads a script as Espruino would misread it.
 *
 * Promise: whatever of the language is known to fail there, at once or silently, is found, with file, line
 * and what to write instead. It reads ES5 as compiled and bundles as joined: a compiler can lower a
 * construct into another trap, and a minifier can hide one.
 */
import { getLineInfo, type Node, parse } from "acorn";
import { fullAncestor } from "acorn-walk";
import { MEMBERS, METHODS, NAMES, OPERATORS, OWN_MEMBERS, SYNTAX } from "./lint-rules.ts";

export interface Fault {
  readonly construct: string;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  readonly instead: string;
}

const BLOCK = /^(Program|BlockStatement|IfStatement|For\w*Statement|WhileStatement|SwitchCase|Function\w+)$/;

type Tree = Node & { readonly [member: string]: unknown };
type Say = (construct: string, instead: string) => void;

interface Use {
  readonly name: string;
  readonly at: number;
  readonly within: readonly Tree[];
}

interface Declaration extends Use {
  readonly kind: "var" | "function";
  readonly end: number;
}

/** As a person reads it: `device/core/machine.ts:12:7: spread fails on Espruino; use .slice(), .concat() or .apply()`. */
export function faultLine({ file, line, column, construct, instead }: Fault): string {
  return `${file}:${line}:${column}: ${construct} fails on Espruino; ${instead}`;
}

/** Every place where the text uses what the board lacks or gets wrong. @param file named in the faults */
export function lintForBoard(text: string, file: string): Fault[] {
  const faults = new Map<string, Fault>();
  const uses: Use[] = [];
  const declarations: Declaration[] = [];
  const note = (construct: string, instead: string, at: number) => {
    const { line, column } = getLineInfo(text, at);
    faults.set(`${construct} ${at}`, { construct, file, line, column: column + 1, instead });
  };
  const tree = parse(text, { ecmaVersion: "latest", sourceType: "module" });

  fullAncestor(tree, (found, _state, ancestors) => {
    const node = found as Tree;
    const path = ancestors as unknown as readonly Tree[];
    const say: Say = (construct, instead) => note(construct, instead, node.start);
    checkSyntax(node, path[path.length - 2], say);
    if (node.type === "Literal") checkLiteral(node, say);
    if (node.type === "MemberExpression") checkMember(node, path[path.length - 2], say);
    if (node.type === "SwitchStatement") checkSwitch(node, say);
    if (node.type === "CallExpression") checkCall(node, say);
    if (node.operator === "delete" && path.some(({ type }) => type === "ForInStatement")) {
      say("delete inside for..in", "go through Object.keys");
    }
    const within = path.slice(0, -1);
    if (node.type === "Identifier") {
      const name = String(node.name);
      uses.push({ name, at: node.start, within });
      const instead = Object.hasOwn(NAMES, name) ? NAMES[name] : undefined;
      if (instead !== undefined) say(name, instead);
    }
    const declared = { at: node.start, end: node.end, within };
    if (node.type === "FunctionDeclaration") declarations.push({ ...declared, ...named(node, "function") });
    if (node.type === "ClassDeclaration") declarations.push({ ...declared, ...named(node, "function") });
    if (node.type === "VariableDeclarator") declarations.push({ ...declared, ...named(node, "var") });
  });

  for (const { use, construct, instead } of hoisted(uses, declarations)) {
    note(construct, instead, use.at);
  }
  return [...faults.values()].sort((one, other) => one.line - other.line || one.column - other.column);
}

function named(node: Tree, kind: Declaration["kind"]): { name: string; kind: Declaration["kind"] } {
  return { name: String((node.id as Tree).name), kind };
}

function checkSyntax(node: Tree, parent: Tree | undefined, say: Say): void {
  const syntax = SYNTAX[node.type];
  if (syntax !== undefined) say(...syntax);
  if (node.superClass) say("extends", "hold the other object as a member");
  if (node.async === true) say("an async function", "pass a callback");
  if (node.generator === true) say("a generator", "keep the place in a variable and return");
  // At the top a constant is no loop's.
  const isTop = node.kind === "const" && /^(Program|Export\w+)$/.test(parent?.type ?? "");
  if (node.type === "VariableDeclaration" && node.kind !== "var" && !isTop) {
    say(`${node.kind}, of which all closures of a loop see the last value,`, "compile to ES5 first");
  }
  if (node.type === "Property" && node.computed === true) {
    say("a computed key", "assign the member afterwards");
  }
  const instead = OPERATORS[String(node.operator)];
  if (instead !== undefined) say(`the operator ${node.operator}`, instead);
}

function checkLiteral(node: Tree, say: Say): void {
  if (typeof node.bigint === "string") say("a BigInt literal", "use numbers below 2^53, or limbs");
  const pattern = (node.regex as { pattern: string } | undefined)?.pattern;
  if (pattern === undefined) return;
  const bare = pattern.replace(/\\./g, "_").replace(/\[[^\]]*\]/g, "_");
  if (/\{\d/.test(bare)) say("a regular expression with {n}", "repeat the atom, or parse by hand");
  if (/\(\?/.test(bare)) say("a regular expression with (?", "use a plain group, or parse by hand");
  if (/[^(]\?/.test(bare)) say("a regular expression with ?", "use an alternative, or parse by hand");
  if (/\)[+*]/.test(bare)) say("a regular expression with a repeated group", "parse by hand");
}

function checkMember(node: Tree, parent: Tree | undefined, say: Say): void {
  if (node.computed === true) return;
  const property = node.property as Tree;
  if (property.type === "PrivateIdentifier") {
    say("a #private member", "use a variable of the enclosing function");
  }
  const name = String(property.name);
  const object = node.object as Tree;
  const owner = String(object.type === "MemberExpression" ? (object.property as Tree).name : object.name);
  const called = parent?.type === "CallExpression" && parent.callee === node;
  const own = Object.hasOwn(OWN_MEMBERS, owner) ? OWN_MEMBERS[owner]![name] : undefined;
  if (own !== undefined) say(`${owner}.${name}`, own);
  if (Object.hasOwn(MEMBERS, name)) say(`.${name}`, MEMBERS[name]!);
  // A list's method takes one index; a clock's, of the same name, takes more.
  const given = called ? (parent?.arguments as readonly Tree[]) : [];
  const isClock = name === "at" && given.length > 1;
  if (called && !isClock && Object.hasOwn(METHODS, name)) say(`.${name}()`, METHODS[name]!);
  const written =
    (parent?.type === "AssignmentExpression" && parent.left === node) || parent?.type === "UpdateExpression";
  if (name === "length" && written) say("writing .length", "make a new array, or use .splice");
}

function checkCall(node: Tree, say: Say): void {
  const callee = node.callee as Tree;
  if (callee.type !== "MemberExpression" || (callee.object as Tree).name !== "JSON") return;
  if ((callee.property as Tree).name === "parse" && (node.arguments as readonly Tree[]).length > 1) {
    say("JSON.parse with a reviver", "walk the result");
  }
}

function checkSwitch(node: Tree, say: Say): void {
  const cases = node.cases as readonly Tree[];
  const position = cases.findIndex((one) => one.test === null);
  if (position >= 0 && position < cases.length - 1) say("default before a case", "put default last");
}

/** Nothing is hoisted on a board: a function is known after its text, a var after it and in its block only. */
function hoisted(
  uses: readonly Use[],
  declarations: readonly Declaration[],
): { use: Use; construct: string; instead: string }[] {
  const byName = new Map<string, Declaration[]>();
  for (const one of declarations) byName.set(one.name, [...(byName.get(one.name) ?? []), one]);
  return uses.flatMap((use) => {
    const scope = scopeOf(use.within);
    const own = (byName.get(use.name) ?? []).filter((one) => scopeOf(one.within) === scope);
    if (own.length === 0 || own.some(({ at, end }) => at <= use.at && use.at <= end)) return [];
    const functions = own.filter(({ kind }) => kind === "function");
    if (functions.length > 0 && functions.every(({ at }) => use.at < at)) {
      return [{ use, construct: `function ${use.name} used before its text`, instead: "move it up" }];
    }
    const variables = own.filter(({ kind }) => kind === "var");
    const known = variables.some((one) => one.at < use.at && use.within.includes(blockOf(one.within)));
    if (variables.length === 0 || known) return [];
    const construct = `var ${use.name} used before or outside the block that declares it`;
    return [{ use, construct, instead: "declare it at the top of the function" }];
  });
}

function scopeOf(within: readonly Tree[]): Tree {
  return within.findLast(({ type }) => /^(Program|Function\w+)$/.test(type))!;
}

/** Where a var is known for certain: not beyond a statement that may be passed by. A for's first part is always run. */
function blockOf(within: readonly Tree[]): Tree {
  const at = within.findLastIndex(
    (node, place) =>
      BLOCK.test(node.type) && !(node.type === "ForStatement" && node.init === within[place + 1]),
  );
  return within[at]!;
}
