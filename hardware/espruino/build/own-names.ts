/**
 * Which names of members are the program's own, so that a board may have shorter ones for them.
 *
 * Promise: a name stays when anything outside knows it, anywhere in the program: JavaScript's library, the
 * firmware, JSON that is read or written, a member looked up by a string. That is read from the types, by
 * TypeScript's own checker, and not from a list.
 */
import { fileURLToPath } from "node:url";
import ts from "typescript";

const TREE = fileURLToPath(new URL("../../..", import.meta.url));

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts"],
  types: [],
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  allowImportingTsExtensions: true,
  resolvePackageJsonImports: true,
  noEmit: true,
  strict: true,
  skipLibCheck: true,
};

/** @param files the program's, paths; what they import is read too */
export function ownNames(files: readonly string[]): ReadonlySet<string> {
  const program = ts.createProgram(files, OPTIONS);
  const names = new Names(program);
  for (const source of program.getSourceFiles()) if (names.isOurs(source)) names.read(source);
  return names.own();
}

class Names {
  readonly #checker: ts.TypeChecker;
  readonly #found = new Set<string>();
  readonly #kept = new Set<string>();
  readonly #shown = new Set<ts.Type>();

  constructor(program: ts.Program) {
    this.#checker = program.getTypeChecker();
  }

  isOurs(source: ts.SourceFile): boolean {
    return source.fileName.startsWith(TREE) && !source.fileName.includes("/node_modules/");
  }

  own(): ReadonlySet<string> {
    return new Set([...this.#found].filter((name) => !this.#kept.has(name)).sort());
  }

  read(node: ts.Node): void {
    if (ts.isStringLiteralLike(node)) this.#kept.add(node.text);
    if (ts.isPropertyAccessExpression(node))
      this.#use(node.name, this.#checker.getSymbolAtLocation(node.name));
    if (ts.isObjectLiteralExpression(node)) this.#literal(node);
    if (ts.isObjectBindingPattern(node)) this.#binding(node);
    if (ts.isTypeElement(node) || ts.isClassElement(node)) this.#member(node);
    if (ts.isAsExpression(node)) this.#assertion(node);
    if (isAmbient(node)) this.#show(this.#checker.getTypeAtLocation(node));
    if (ts.isExpression(node)) this.#given(node);
    ts.forEachChild(node, (child) => this.read(child));
  }

  /** A name that is used: kept when it was not declared by us. */
  #use(name: ts.Node, symbol: ts.Symbol | undefined): void {
    const text = name.getText();
    this.#found.add(text);
    const declarations = symbol?.declarations ?? [];
    if (declarations.length === 0 || declarations.some((one) => !this.isOurs(one.getSourceFile()))) {
      this.#kept.add(text);
    }
  }

  #literal(node: ts.ObjectLiteralExpression): void {
    for (const property of node.properties) {
      if (!ts.isSpreadAssignment(property)) this.#found.add(property.name.getText());
    }
  }

  /** What is given to somebody who takes anything, or any names, is looked at by names: JSON.stringify, the firmware. */
  #given(node: ts.Expression): void {
    const wanted = this.#checker.getContextualType(node);
    if (wanted === undefined) return;
    const takesAnything = (one: ts.Type) =>
      (one.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.NonPrimitive)) !== 0 ||
      this.#checker.getIndexInfoOfType(one, ts.IndexKind.String) !== undefined;
    if ((wanted.isUnion() ? wanted.types : [wanted]).some(takesAnything)) {
      this.#show(this.#checker.getTypeAtLocation(node));
    }
  }

  #binding(node: ts.ObjectBindingPattern): void {
    const type = this.#checker.getTypeAtLocation(node);
    for (const { propertyName, name, dotDotDotToken } of node.elements) {
      if (dotDotDotToken !== undefined) continue;
      const key = propertyName ?? name;
      this.#use(key, this.#checker.getPropertyOfType(type, key.getText()));
    }
  }

  #member(node: ts.TypeElement | ts.ClassElement): void {
    if (node.name !== undefined && ts.isIdentifier(node.name)) this.#found.add(node.name.text);
  }

  /** What is unknown until somebody says what it is comes from outside. */
  #assertion(node: ts.AsExpression): void {
    const before = this.#checker.getTypeAtLocation(node.expression);
    if (before.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown)) {
      this.#show(this.#checker.getTypeAtLocation(node));
    }
  }

  /** Keeps every name that can be reached from a type that is known outside. */
  #show(type: ts.Type): void {
    if (this.#shown.has(type)) return;
    this.#shown.add(type);
    if (type.isUnionOrIntersection()) for (const one of type.types) this.#show(one);
    if (isReference(type)) for (const one of this.#checker.getTypeArguments(type)) this.#show(one);
    const declared = type.symbol?.declarations ?? [];
    if (declared.some((one) => !this.isOurs(one.getSourceFile()))) return;
    for (const signature of [...type.getCallSignatures(), ...type.getConstructSignatures()]) {
      this.#show(signature.getReturnType());
      for (const parameter of signature.getParameters()) this.#show(this.#checker.getTypeOfSymbol(parameter));
    }
    for (const property of type.getProperties()) {
      const declarations = property.declarations ?? [];
      if (!declarations.some((one) => this.isOurs(one.getSourceFile()))) continue;
      this.#kept.add(property.name);
      this.#show(this.#checker.getTypeOfSymbol(property));
    }
  }
}

function isReference(type: ts.Type): type is ts.TypeReference {
  const flags = (type as ts.ObjectType).objectFlags ?? 0;
  return (type.flags & ts.TypeFlags.Object) !== 0 && (flags & ts.ObjectFlags.Reference) !== 0;
}

/** `declare const name: Type`, `declare function name(...)`. */
function isAmbient(node: ts.Node): node is ts.FunctionDeclaration | ts.VariableDeclaration {
  if (ts.isFunctionDeclaration(node)) return node.body === undefined;
  if (!ts.isVariableDeclaration(node) || !ts.isVariableStatement(node.parent.parent)) return false;
  return (node.parent.parent.modifiers ?? []).some(({ kind }) => kind === ts.SyntaxKind.DeclareKeyword);
}
