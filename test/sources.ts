/** The project's files as the tidy test reads them: their names, their imports, and what stands in their syntax trees. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const FLOORS = ["device", "gateway", "hardware", "simulator"];

/** What promises are waited for by; with a second argument `then` takes the rejection, as `catch` does. */
const WAITS = /\.(then|finally)\(/;

const NOTE_CALL = /(^|[.#])(note|everyNote)$/;
const LOG_CALL = /(^|\.)log(ger)?\.(info|warn|error|fatal|debug)$/;

/** A log that limits or marks another, and what a process reports as survived, in fixed words both. */
const PASSED_ON = ["text of level, text, fields", "what of what, error"];

function filesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder)).flatMap((name) => {
    const path = join(folder, name);
    if (name === "node_modules" || name === "artifacts") return [];
    return statSync(join(ROOT, path)).isDirectory() ? filesUnder(path) : [path];
  });
}

export const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
export const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, "$1");

export const everything = [...FLOORS, "test"].flatMap(filesUnder);
export const sources = everything.filter((path) => /\.m?ts$/.test(path) && !path.startsWith("test/"));
export const tests = everything.filter((path) => path.endsWith(".ts") && path.startsWith("test/"));

/** What a file imports: `device/core/x.ts` for our own, `node:fs` as it is, else the package's name. */
export function importsOf(path: string): string[] {
  const text = withoutComments(read(path));
  const found = text.matchAll(/(?:^|[^.\w])(?:from|import)\s*\(?\s*["']([^"']+)["']/g);
  return [...found].map(([, name]) => {
    if (name!.startsWith(".")) return relative(ROOT, join(ROOT, dirname(path), name!));
    const [, room, rest] = /^#(\w+)\/(.+)$/.exec(name!) ?? [];
    if (room === undefined) return name!;
    return `${FLOORS.includes(room) ? room : `device/${room}`}/${rest}.ts`;
  });
}

export const isOurs = (name: string) => FLOORS.some((floor) => name.startsWith(`${floor}/`));

export function breaking(
  paths: readonly string[],
  rule: RegExp,
  text = (path: string) => read(path),
): string[] {
  return paths.flatMap((path) => {
    const found = rule.exec(text(path));
    return found ? [`${path}: ${found[0].trim()}`] : [];
  });
}

/** Statements that end a chain of promises by `then` or `finally`: a rejection goes through both unhandled. */
export function endlessChains(path: string, text: string): string[] {
  if (!WAITS.test(text)) return [];
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest);
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isExpressionStatement(node) && ts.isCallExpression(node.expression)) {
      const { expression, arguments: given } = node.expression;
      const name = ts.isPropertyAccessExpression(expression) ? expression.name.text : "";
      if (name === "finally" || (name === "then" && given.length < 2)) {
        found.push(`${path}: ${node.getText(source).slice(0, 80)}`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Texts of log lines that are not fixed: what varies belongs into a field, where it is bounded and limited. */
export function varyingTexts(path: string, source: string): string[] {
  const file = ts.createSourceFile(path, source, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const look = (node: ts.Node): void => {
    const text = ts.isCallExpression(node) ? logTextOf(node) : undefined;
    if (text !== undefined && !isFixed(text)) {
      const { line } = file.getLineAndCharacterOfPosition(text.getStart());
      found.push(`${path}:${line + 1}: ${text.getText()}`);
    }
    ts.forEachChild(node, look);
  };
  look(file);
  return found;
}

function logTextOf({ expression, arguments: given }: ts.CallExpression): ts.Expression | undefined {
  const called = expression.getText();
  // What reports a part's trouble by name has a level neither first nor at all: it is no log.
  if (NOTE_CALL.test(called) && !called.includes("troubles.")) return given[1];
  if (!LOG_CALL.test(called)) return undefined;
  return given.length > 1 ? given[1] : given[0];
}

/** A literal, one of several, a row of a table of literals, or what a log was given to pass on. */
function isFixed(text: ts.Expression): boolean {
  if (ts.isStringLiteral(text) || ts.isNoSubstitutionTemplateLiteral(text)) return true;
  if (ts.isConditionalExpression(text)) return isFixed(text.whenTrue) && isFixed(text.whenFalse);
  if (ts.isElementAccessExpression(text)) return /^[A-Z_]+$/.test(text.expression.getText());
  let around: ts.Node = text;
  while (!ts.isFunctionLike(around) && around.parent !== undefined) around = around.parent;
  const given = ts.isFunctionLike(around) ? around.parameters.map(({ name }) => name.getText()) : [];
  return PASSED_ON.includes(`${text.getText()} of ${given.join(", ")}`);
}

/** Functions longer than so many lines; one that returns others counts whole. Callbacks of describe are lists of tests. */
export function longFunctions(path: string, linesMax: number): string[] {
  const file = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const look = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && !isListOfTests(node)) {
      const [from, to] = [node.getStart(), node.end].map((at) => file.getLineAndCharacterOfPosition(at).line);
      const name =
        node.name?.getText() ?? (ts.isVariableDeclaration(node.parent) ? node.parent.name.getText() : "");
      const lines = to! - from! + 1;
      if (lines > linesMax) found.push(`${path}: ${name || "a callback"} has ${lines} lines`);
    }
    ts.forEachChild(node, look);
  };
  look(file);
  return found;
}

function isListOfTests({ parent }: ts.Node): boolean {
  return ts.isCallExpression(parent) && /^describe\b/.test(parent.expression.getText());
}
