/** The house rules that a compiler cannot hold. Each is a row of a table here, or one short test. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Which way the arrows run: files under `from` may import only what begins like one of `may`. The first row that fits holds. */
const ARROWS: readonly { from: RegExp; may: readonly string[] }[] = [
  { from: /^device\/core\//, may: ["device/core/"] },
  { from: /^device\/protocol\/x402\.ts$/, may: ["device/core/", "device/protocol/", "@x402/core/"] },
  { from: /^device\/protocol\//, may: ["device/core/", "device/protocol/"] },
  {
    from: /^device\/payment\//,
    may: ["device/core/", "device/protocol/", "device/payment/", "@noble/"],
  },
  {
    from: /^device\/host\//,
    may: ["device/core/", "device/protocol/", "device/host/"],
  },
  {
    from: /^device\/espruino\//,
    may: ["device/core/", "device/protocol/", "device/payment/", "device/host/", "device/espruino/"],
  },
  {
    from: /^device\//,
    may: [
      "device/core/",
      "device/protocol/",
      "device/payment/",
      "device/host/",
      "device/node/",
      "package",
      "node:",
    ],
  },
  {
    from: /^gateway\/purchase\//,
    may: ["device/core/", "device/protocol/", "device/payment/", "gateway/purchase/"],
  },
  {
    from: /^simulator\/seller\/(accounts\/accounts|claims\/claims|sale\/tariff)\.ts$/,
    may: [
      "device/core/",
      "device/protocol/",
      "device/payment/",
      "simulator/seller/ports.ts",
      "simulator/seller/accounts/accounts.ts",
      "simulator/seller/sale/tariff.ts",
    ],
  },
  { from: /^gateway\//, may: ["device/", "gateway/", "package", "node:"] },
  { from: /^hardware\//, may: ["device/", "hardware/", "package", "node:"] },
  { from: /^simulator\//, may: ["device/", "gateway/", "hardware/", "simulator/", "package", "node:"] },
];

/** Rooms of a floor, lowest first, with the rooms that each may know; files that stand above all rooms join them. */
const ROOMS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  gateway: {
    purchase: [],
    config: [],
    cluster: ["purchase"],
    enrolment: ["config", "purchase"],
    treasury: ["config", "purchase"],
    sellers: ["config", "purchase", "treasury"],
    broker: ["cluster", "config", "purchase"],
    ledger: ["cluster", "config", "enrolment", "purchase", "treasury"],
    telemetry: ["broker", "cluster", "config", "ledger", "purchase", "sellers"],
    http: ["broker", "cluster", "config", "enrolment", "purchase", "sellers", "telemetry"],
    dashboard: ["http", "sellers", "telemetry"],
    commands: ["broker", "config", "enrolment", "ledger", "purchase", "sellers", "telemetry", "treasury"],
  },
  simulator: {
    chain: [],
    city: [],
    hardware: [],
    seller: ["chain"],
    scenario: ["city", "seller"],
    services: ["chain", "seller"],
    fleet: ["chain", "city", "hardware", "scenario", "seller", "services"],
    report: ["fleet", "scenario"],
    world: ["city", "fleet", "hardware", "report", "scenario", "seller"],
  },
  "simulator/world": {
    engine: [],
    surroundings: ["engine"],
    actors: ["engine", "surroundings"],
    invariants: ["actors", "engine", "surroundings"],
    fast: ["engine", "surroundings"],
    run: ["actors", "engine", "fast", "invariants", "surroundings"],
  },
};

/** Things that a folder may show; the floors and the pure core more, for they are entered by their README. */
const SHOWN_MAX = 14;
const FLOOR_SHOWN_MAX = 20;
const FLOOR = /^(device|gateway|hardware|simulator|device\/core)$/;
const NOT_COUNTED = /^(README\.md|index\.ts|tsconfig\.json|.*\.sample\.toml|.*\.mjs)$/;

/** Words that the field does not know: names of files and folders that do not come back (CHANGELOG says what they were). */
const LEFT_BEHIND =
  /(^|[/-])(doors?|gatehouse|switchboard|left-word|envelope|turnstile|allowance|duty|roster|doorman|lookout|observe|reread|hearing|side-by-side|witness|brake|relay|misfortune|stagehand|chronicle|crew|told|road|breach|utility|till|paid-path)([-.]|$)/;

const FLOORS = ["device", "gateway", "hardware", "simulator"];
const LINES_MAX = 400;
const TEST_LINES_MAX = 500;
const FOLDER_OR_FILE_NAMES = /^(utils?|helpers?|common|managers?|misc|shared|I[A-Z][a-z]\w*)(\.|$)/;
const PLATFORM = /\b(Date\.now|new Date|Math\.random|process\.|setTimeout|setInterval|Buffer\b|console\.)/;
const LOOSE_TYPES = /(:\s*any\b|\bas any\b|<any\b|\bany\[\]|@ts-ignore|@ts-nocheck)/;
const UNFINISHED = /\b(TODO|FIXME|XXX|HACK)\b/;
const MACHINE_PATHS = /["'`(\s](\/work\/|\/root\/|\/home\/(?!pi\b)\w+|\/Users\/\w+|[A-Z]:\\\\)/;

/** Where a promise is let go, or what came from outside is parsed unbounded. A board has neither, a page no process. */
const NO_PROCESS = /^(gateway\/dashboard|device\/espruino|hardware\/espruino)\//;
/** A simulated world ends by whatever fails in it: a failure there is a fault found. */
const FAILS_LOUDLY = /^simulator\/world\//;
/** Types say `: void` and `=> void`; what is left of the word throws a value away, and with it a rejection. */
const LET_GO = /\bvoid (?!0\b)[\w(#]/;
const ASYNC_LISTENER =
  /\.(on|once|addListener|addEventListener)\([^()]*, async\b|\bset(Interval|Timeout|Immediate)\(async\b/;
/** What promises are waited for by; with a second argument `then` takes the rejection, as `catch` does. */
const WAITS = /\.(then|finally)\(/;
const UNBOUNDED_JSON = /\bJSON\.parse\(/;
/** The reader itself, and the one that boards have: what they hear, their own gateway sealed. */
const READERS = /^device\/protocol\/(nesting|shape)\.ts$/;

/** Programs whose logs have fields; calls of their logs, and which argument of each is the text. */
const LOGGING = /^(gateway|hardware\/pi|device\/node)\//;
const LOGS = /\b(note|everyNote|log(ger)?\.\w+)\(/;
const NOTE_CALL = /(^|[.#])(note|everyNote)$/;
const LOG_CALL = /(^|\.)log(ger)?\.(info|warn|error|fatal|debug)$/;

/** A log that limits or marks another, and what a process tells that it survived, in fixed words both. */
const PASSED_ON = ["text of level, text, fields", "what of what, error"];

function filesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder)).flatMap((name) => {
    const path = join(folder, name);
    if (name === "node_modules" || name === "artifacts") return [];
    return statSync(join(ROOT, path)).isDirectory() ? filesUnder(path) : [path];
  });
}

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const withoutComments = (source: string) => source.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, "$1");

const everything = [...FLOORS, "test"].flatMap(filesUnder);
const sources = everything.filter((path) => /\.m?ts$/.test(path) && !path.startsWith("test/"));
const tests = everything.filter((path) => path.endsWith(".ts") && path.startsWith("test/"));

/** What a file imports: `device/core/x.ts` for our own, `node:fs` as it is, else the package's name. */
function importsOf(path: string): string[] {
  const text = withoutComments(read(path));
  const found = text.matchAll(/(?:^|[^.\w])(?:from|import)\s*\(?\s*["']([^"']+)["']/g);
  return [...found].map(([, name]) => {
    if (name!.startsWith(".")) return relative(ROOT, join(ROOT, dirname(path), name!));
    const [, room, rest] = /^#(\w+)\/(.+)$/.exec(name!) ?? [];
    if (room === undefined) return name!;
    return `${FLOORS.includes(room) ? room : `device/${room}`}/${rest}.ts`;
  });
}

const isOurs = (name: string) => FLOORS.some((floor) => name.startsWith(`${floor}/`));

function breaking(paths: readonly string[], rule: RegExp, text = (path: string) => read(path)): string[] {
  return paths.flatMap((path) => {
    const found = rule.exec(text(path));
    return found ? [`${path}: ${found[0].trim()}`] : [];
  });
}

/** Statements that end a chain of promises by `then` or `finally`: a rejection goes through both and meets nobody. */
function endlessChains(path: string, text: string): string[] {
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
function varyingTexts(path: string, source: string): string[] {
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
  // What tells of a part's trouble by name has a level neither first nor at all: it is no log.
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

describe("the house", () => {
  it("lets arrows point down only", () => {
    const wrong = sources.flatMap((path) => {
      const { may } = ARROWS.find(({ from }) => from.test(path))!;
      const allowed = (name: string) =>
        may.some((prefix) => name.startsWith(prefix)) ||
        (may.includes("package") && !isOurs(name) && !name.startsWith("node:"));
      return importsOf(path).flatMap((name) => (allowed(name) ? [] : [`${path} imports ${name}`]));
    });
    expect(wrong).toEqual([]);
  });

  it("lets the rooms of a floor know only the rooms below them", () => {
    const wrong = sources.flatMap((path) =>
      Object.entries(ROOMS).flatMap(([floor, rooms]) => {
        const roomOf = (name: string) => {
          const rest = name.startsWith(`${floor}/`) ? name.slice(floor.length + 1).split("/") : [];
          return rest.length > 1 ? rest[0]! : null;
        };
        const room = roomOf(path);
        if (room === null || !(room in rooms)) return [];
        const known = importsOf(path).flatMap((name) => roomOf(name) ?? []);
        const odd = known.filter((name) => name in rooms && name !== room && !rooms[room]!.includes(name));
        return odd.map((name) => `${path} knows ${name}`);
      }),
    );
    expect(wrong).toEqual([]);
    for (const rooms of Object.values(ROOMS)) {
      const names = Object.keys(rooms);
      // A room that stands before another in the table cannot know it: so there is no circle.
      const upwards = names.flatMap((room, at) => rooms[room]!.filter((known) => names.indexOf(known) >= at));
      expect(upwards).toEqual([]);
    }
  });

  it("has no files that import each other, over any number of steps", () => {
    const imports = new Map(sources.map((path) => [path, importsOf(path).filter((name) => isOurs(name))]));
    const left = new Set(sources);
    // Whatever imports nothing that is left is in no circle.
    for (let taken = -1; taken !== 0; ) {
      const free = [...left].filter((path) => !imports.get(path)!.some((name) => left.has(name)));
      for (const path of free) left.delete(path);
      taken = free.length;
    }
    expect([...left]).toEqual([]);
  });

  it("shows in each folder no more than can be looked at at once", () => {
    const folders = new Map<string, Set<string>>();
    for (const path of everything.filter((name) => !name.startsWith("test/"))) {
      const parts = path.split("/");
      for (let depth = 1; depth < parts.length; depth += 1) {
        const folder = parts.slice(0, depth).join("/");
        const shown = folders.get(folder) ?? new Set();
        folders.set(folder, shown);
        if (!NOT_COUNTED.test(parts[depth]!)) shown.add(parts[depth]!);
      }
    }
    const full = [...folders].filter(
      ([folder, shown]) => shown.size > (FLOOR.test(folder) ? FLOOR_SHOWN_MAX : SHOWN_MAX),
    );
    expect(full.map(([folder, shown]) => `${folder} shows ${shown.size}`)).toEqual([]);
  });

  it("gives what a caller may handle a code", () => {
    // A text that says what was expected speaks to a caller; boards and the page have values and no callers.
    const speaks = /^\s*(?:.*\n)?.*\bexpected\b/;
    const wrong = sources
      .filter(
        (path) => !/^device\/(core|protocol|host|espruino)|^hardware\/espruino|dashboard|world/.test(path),
      )
      .flatMap((path) => {
        const [, ...texts] = read(path).split(/new Error\(/);
        return texts.filter((text) => speaks.test(text.split(");")[0]!)).map(() => path);
      });
    // Bugs: a library that does not compute, and nothing that a caller could do.
    const bugs = ["device/node/key/native-curve.ts", "gateway/sellers/client/public-address.ts"];
    expect(wrong.filter((path) => !bugs.includes(path))).toEqual([]);
  });

  it("calls its files by the field's words, and cites no page that is not here", () => {
    expect(sources.filter((path) => LEFT_BEHIND.test(path))).toEqual([]);
    const cited = sources.flatMap((path) =>
      [
        ...read(path).matchAll(
          /(?<![\w./-])((?:device|gateway|hardware|simulator)\/[\w./-]+\.(?:md|ts|toml|json))\b/g,
        ),
      ]
        .map(([, name]) => name!)
        .filter((name) => !existsSync(join(ROOT, name)))
        .map((name) => `${path} cites ${name}`),
    );
    expect(cited).toEqual([]);
    expect(breaking(sources, /\bDESIGN\b/)).toEqual([]);
  });

  it("reads the arrows right: this file's own imports are seen", () => {
    expect(importsOf("test/tidy.test.ts")).toEqual([
      "node:fs",
      "node:path",
      "node:url",
      "typescript",
      "vitest",
    ]);
    expect(importsOf("device/payment/offer-check.ts")).toContain("device/core/events.ts");
    expect(sources.length).toBeGreaterThan(20);
  });

  it("keeps files short enough to be read in one sitting", () => {
    const long = (paths: readonly string[], max: number) =>
      paths
        .map((path) => ({ path, lines: read(path).split("\n").length - 1 }))
        .filter(({ lines }) => lines > max);
    expect(long(sources, LINES_MAX)).toEqual([]);
    expect(long(tests, TEST_LINES_MAX)).toEqual([]);
  });

  it("brings time, chance and platform into the device through ports", () => {
    const pure = sources.filter((path) => /^device\/(core|protocol|payment)\//.test(path));
    expect(breaking(pure, PLATFORM, (path) => withoutComments(read(path)))).toEqual([]);
  });

  it("names things by what they are", () => {
    const named = everything.filter((path) =>
      path.split("/").some((part) => FOLDER_OR_FILE_NAMES.test(part)),
    );
    expect(named).toEqual([]);
    expect(breaking(sources, /export default|\benum \w+ \{|\bnamespace \w+ \{/)).toEqual([]);
  });

  it("opens every module by what it promises", () => {
    expect(sources.filter((path) => !/^(#!.*\n)?(\/\*\*|\/\/)/.test(read(path)))).toEqual([]);
  });

  it("types everything, finishes everything, and knows no machine", () => {
    const written = [...sources, ...tests].filter((path) => path !== "test/tidy.test.ts");
    expect(breaking(written, LOOSE_TYPES, (path) => withoutComments(read(path)))).toEqual([]);
    expect(breaking(written, UNFINISHED)).toEqual([]);
    expect(breaking(written, MACHINE_PATHS)).toEqual([]);
  });

  it("has no test that cannot fail, and none that is left out", () => {
    const cases = tests.filter((path) => path.endsWith(".test.ts"));
    expect(cases.filter((path) => !/\b(expect|assert)\b/.test(read(path)))).toEqual([]);
    const others = cases.filter((path) => path !== "test/tidy.test.ts");
    expect(breaking(others, /\b(it|test|describe)(\.\w+)*\.(skip|only|todo)\(/)).toEqual([]);
  });

  it("lets no rejection go: work that nobody waits for is handed to detach", () => {
    const processes = sources.filter((path) => !NO_PROCESS.test(path) && !FAILS_LOUDLY.test(path));
    const code = (path: string) => withoutComments(read(path));
    expect(breaking(processes, LET_GO, code)).toEqual([]);
    expect(breaking(processes, ASYNC_LISTENER, code)).toEqual([]);
    const caught = [
      "void look();",
      "() => void a.b()",
      'socket.on("data", async (x) => {',
      "setInterval(async () =>",
    ];
    expect(caught.filter((line) => !LET_GO.test(line) && !ASYNC_LISTENER.test(line))).toEqual([]);
    expect(processes.flatMap((path) => endlessChains(path, read(path)))).toEqual([]);
    const endless = [
      "save().then(() => tell());",
      "work\n  .catch(tell)\n  .finally(() => {\n    done();\n  });",
      "{ a.b?.().finally(end) }",
    ];
    expect(endless.filter((text) => endlessChains("x.ts", text).length !== 1)).toEqual([]);
    const ended = "save().then(tell, fail); save().then(tell).catch(fail); const a = save().then(tell);";
    expect(endlessChains("x.ts", ended)).toEqual([]);
    expect(LET_GO.test("close(): void {\n  take: (line: string) => void;")).toBe(false);
  });

  it("reads JSON by the one reader that bounds how deep it nests", () => {
    const readers = sources.filter((path) => !NO_PROCESS.test(path) && !READERS.test(path));
    expect(breaking(readers, UNBOUNDED_JSON, (path) => withoutComments(read(path)))).toEqual([]);
  });

  it("logs fixed texts: what varies, and what strangers wrote, stands in a field", () => {
    const logging = sources.filter((path) => LOGGING.test(path) && LOGS.test(read(path)));
    expect(logging.flatMap((path) => varyingTexts(path, read(path)))).toEqual([]);
    const varying = [
      `note('warn', \`the seller is \${name}\`, {});`,
      "this.#options.note('warn', 'failed: ' + reason, {});",
      `const text = \`lost \${device}\`; note('info', text, {});`,
      "log.warn({ device }, String(error));",
      "const onTrouble = (text: string) => log.warn(text);",
      "for (const sentence of assumed) log.info(sentence);",
    ];
    expect(varying.filter((line) => varyingTexts("a.ts", line).length !== 1)).toEqual([]);
    const fixed = "const f: Note = (level, text, fields) => note(level, text, fields); log.info('status');";
    expect(varyingTexts("a.ts", fixed)).toEqual([]);
  });

  it("tells in CONTRIBUTING every package it stands on", () => {
    const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
    const [, section] = /^## What it is built on\n([\s\S]*)/m.exec(read(".github/CONTRIBUTING.md")) ?? [];
    const rows = section!.split("\n").filter((line) => line.startsWith("| `"));
    const told = rows.flatMap((row) =>
      [...row.split("|")[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!),
    );
    expect(told.sort()).toEqual(Object.keys(dependencies).sort());
  });

  it("locks every platform's binaries, or a clean install would refuse the lock file", () => {
    interface Locked {
      readonly resolved?: string;
      readonly optionalDependencies?: Record<string, string>;
    }
    const { packages } = JSON.parse(read("package-lock.json")) as { packages: Record<string, Locked> };
    const named = Object.values(packages).flatMap((locked) => Object.keys(locked.optionalDependencies ?? {}));
    expect(named.filter((name) => packages[`node_modules/${name}`] === undefined)).toEqual([]);
    expect(Object.values(packages).filter((locked) => locked.resolved !== undefined)).toEqual([]);
  });
});
