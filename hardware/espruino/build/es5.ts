/**
 * One of our files in the language of a board: TypeScript's own lowering to ES5, and what a board has beyond it.
 *
 * Promise: types are erased, not checked; what a module computes when it is loaded has no effect beside its
 * value, so that a bundler may leave out what is unused. What Espruino has and ES5 has not stays where it
 * saves flash or memory: a class (a function around it would cost a board five variables for every method), a
 * loop over an array, a constant that a bundler writes where it is used.
 */
import ts from "typescript";

const { factory } = ts;

export function toEs5(source: string): string {
  const es5 = ts.transpileModule(source, {
    compilerOptions: {
      target: ts.ScriptTarget.ES5,
      module: ts.ModuleKind.ES2015,
      verbatimModuleSyntax: true,
      ignoreDeprecations: "5.0",
      noEmitHelpers: true,
    },
    transformers: { before: [marksPure], after: [keepsWhatBoardsHave] },
  }).outputText;
  // One for all files, in the place of the compiler's own in each.
  return es5.includes("__assign(") ? `import { __assign } from "firmware:assign";\n${es5}` : es5;
}

/** Says of each call at a module's top, behind `const name =`, that it may be left out with the name. */
const marksPure: ts.TransformerFactory<ts.SourceFile> = (context) => (file) => {
  const mark = (node: ts.Node): ts.Node => {
    if (ts.isFunctionLike(node) || ts.isClassLike(node)) return node;
    const visited = ts.visitEachChild(node, mark, context);
    if (!ts.isCallExpression(visited) && !ts.isNewExpression(visited)) return visited;
    return ts.addSyntheticLeadingComment(visited, ts.SyntaxKind.MultiLineCommentTrivia, " @__PURE__ ", false);
  };
  const statements = file.statements.map((one) =>
    ts.isVariableStatement(one) ? ts.visitEachChild(one, mark, context) : one,
  );
  return factory.updateSourceFile(file, statements);
};

/** Turns what was lowered too far back into what Espruino has. */
const keepsWhatBoardsHave: ts.TransformerFactory<ts.SourceFile> = (context) => (file) => {
  const raise = (node: ts.Node): ts.Node => {
    const visited = ts.visitEachChild(node, raise, context);
    return loopIn(visited) ?? sumIn(visited) ?? visited;
  };
  const statements = file.statements.map((one) => {
    const visited = ts.visitNode(one, raise) as ts.Statement;
    return classIn(visited) ?? constantIn(visited) ?? visited;
  });
  return factory.updateSourceFile(file, statements);
};

/** Of `var name = 1`, a number or a text at the module's top. */
function constantIn(statement: ts.Statement): ts.Statement | null {
  if (!ts.isVariableStatement(statement)) return null;
  const { declarations } = statement.declarationList;
  const isLiteral = declarations.every(
    ({ initializer }) =>
      initializer !== undefined && (ts.isNumericLiteral(initializer) || ts.isStringLiteral(initializer)),
  );
  if (!isLiteral) return null;
  return factory.updateVariableStatement(
    statement,
    statement.modifiers,
    factory.createVariableDeclarationList(declarations, ts.NodeFlags.Const),
  );
}

/** Of `for (var _i = 0, _a = list; _i < _a.length; _i++) { var one = _a[_i]; ...}`. */
function loopIn(node: ts.Node): ts.Statement | null {
  if (!ts.isForStatement(node) || !ts.isBlock(node.statement)) return null;
  const { initializer } = node;
  if (initializer === undefined || !ts.isVariableDeclarationList(initializer)) return null;
  const [index, list] = initializer.declarations;
  const [first, ...rest] = node.statement.statements;
  if (index === undefined || list?.initializer === undefined || first === undefined) return null;
  if (!ts.isVariableStatement(first)) return null;
  const [one, ...others] = first.declarationList.declarations;
  if (one?.initializer === undefined || !ts.isElementAccessExpression(one.initializer)) return null;
  const { expression, argumentExpression } = one.initializer;
  // The very nodes, as only the compiler writes them twice: no other code sees its index and list.
  if (expression !== list.name || argumentExpression !== index.name || !ts.isIdentifier(one.name))
    return null;
  const declared = factory.updateVariableDeclaration(one, one.name, undefined, undefined, undefined);
  const more =
    others.length === 0
      ? []
      : [factory.updateVariableStatement(first, undefined, factory.createVariableDeclarationList(others))];
  return factory.createForOfStatement(
    undefined,
    factory.createVariableDeclarationList([declared]),
    list.initializer,
    factory.createBlock([...more, ...rest]),
  );
}

/** Of `"a".concat(b, c)`: a template's text and values, joined as every board joins them. */
function sumIn(node: ts.Node): ts.Expression | null {
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return null;
  const { expression: text, name } = node.expression;
  const begin = withoutBrackets(text);
  const isText =
    ts.isStringLiteral(begin) || (ts.isBinaryExpression(begin) && ts.isStringLiteral(leftmost(begin)));
  if (name.text !== "concat" || !isText) return null;
  return factory.createParenthesizedExpression(
    node.arguments.reduce(
      (sum, one) => factory.createAdd(sum, factory.createParenthesizedExpression(one)),
      begin,
    ),
  );
}

function leftmost(expression: ts.Expression): ts.Expression {
  return ts.isBinaryExpression(expression) && expression.operatorToken.kind === ts.SyntaxKind.PlusToken
    ? leftmost(expression.left)
    : expression;
}

function classIn(statement: ts.Statement): ts.Statement | null {
  if (!ts.isVariableStatement(statement) || statement.declarationList.declarations.length !== 1) return null;
  const { name, initializer } = statement.declarationList.declarations[0]!;
  const call = initializer === undefined ? undefined : withoutBrackets(initializer);
  if (!ts.isIdentifier(name) || call === undefined || !ts.isCallExpression(call)) return null;
  const wrapper = withoutBrackets(call.expression);
  if (!ts.isFunctionExpression(wrapper) || call.arguments.length > 0) return null;
  const members: ts.ClassElement[] = [];
  for (const one of wrapper.body.statements) {
    if (ts.isFunctionDeclaration(one) && one.name?.text === name.text) {
      members.unshift(factory.createConstructorDeclaration(undefined, one.parameters, one.body));
    } else if (!ts.isReturnStatement(one)) {
      const method = methodIn(one, name.text);
      if (method === null) return null;
      members.push(method);
    }
  }
  return factory.createClassDeclaration(undefined, name, undefined, undefined, members);
}

/** Of `Name.prototype.method = function (...) {...}`. */
function methodIn(statement: ts.Statement, className: string): ts.ClassElement | null {
  if (!ts.isExpressionStatement(statement) || !ts.isBinaryExpression(statement.expression)) return null;
  const { left, right } = statement.expression;
  if (!ts.isFunctionExpression(right) || !ts.isPropertyAccessExpression(left)) return null;
  const owner = left.expression;
  const isOurs =
    ts.isPropertyAccessExpression(owner) &&
    owner.name.text === "prototype" &&
    ts.isIdentifier(owner.expression) &&
    owner.expression.text === className;
  if (!isOurs || !ts.isIdentifier(left.name)) return null;
  return factory.createMethodDeclaration(
    undefined,
    undefined,
    left.name,
    undefined,
    undefined,
    right.parameters,
    undefined,
    right.body,
  );
}

function withoutBrackets(expression: ts.Expression): ts.Expression {
  const inner =
    ts.isParenthesizedExpression(expression) || ts.isPartiallyEmittedExpression(expression)
      ? expression.expression
      : null;
  return inner === null ? expression : withoutBrackets(inner);
}
