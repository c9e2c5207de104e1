/** The house rules that a compiler cannot hold. Each is a row of a table here, or one short test. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  breaking,
  endlessChains,
  everything,
  importsOf,
  isOurs,
  longFunctions,
  ROOT,
  read,
  sources,
  tests,
  varyingTexts,
  withoutComments,
} from "./sources.ts";

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
    from: /^device\/market\//,
    may: ["device/core/", "device/protocol/", "device/payment/", "device/market/", "@noble/", "package"],
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
      "device/market/",
      "device/host/",
      "device/node/",
      "package",
      "node:",
    ],
  },
  {
    from: /^gateway\/purchase\//,
    may: ["device/core/", "device/protocol/", "device/payment/", "device/market/", "gateway/purchase/"],
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
    charging: [],
    city: [],
    hardware: [],
    seller: ["chain"],
    profiles: ["charging", "city", "seller"],
    scenario: ["city", "profiles", "seller"],
    services: ["chain", "profiles", "seller"],
    fleet: ["chain", "charging", "city", "hardware", "profiles", "scenario", "seller", "services"],
    report: ["fleet", "scenario"],
    world: ["charging", "city", "fleet", "hardware", "profiles", "report", "scenario", "seller"],
  },
  "simulator/world": {
    engine: [],
    surroundings: ["engine"],
    actors: ["engine", "surroundings"],
    invariants: ["actors", "engine", "surroundings"],
    fast: ["engine", "surroundings"],
    market: ["actors", "surroundings"],
    run: ["actors", "engine", "fast", "invariants", "market", "surroundings"],
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

const LINES_MAX = 400;
const FUNCTION_LINES_MAX = 100;
/** Arithmetic for boards: ES5 has no private members, so a closure is the class, and state is its variables. */
const CLOSURES = /^device\/espruino\/signer\//;
/** Ports and settings of a room, a command by its own name, and a part of the simulated world by that of the real one. */
const CALLED_ALIKE = /(^|\/)(main|index|ports|settings)\.ts$|\/commands\/|^simulator\/world\/actors\//;
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
const UNBOUNDED_JSON = /\bJSON\.parse\(/;
/** The reader itself, and the one that boards have: what they hear, their own gateway sealed. */
const READERS = /^device\/protocol\/(nesting|shape)\.ts$/;

/** Programs whose logs have fields; calls of their logs, and which argument of each is the text. */
const LOGGING = /^(gateway|hardware\/pi|device\/node)\//;
const LOGS = /\b(note|everyNote|log(ger)?\.\w+)\(/;

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
    expect(importsOf("test/tidy.test.ts")).toEqual(["node:fs", "node:path", "vitest", "test/sources.ts"]);
    expect(importsOf("device/payment/offer/offer-check.ts")).toContain("device/core/events.ts");
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

  it("keeps functions short enough to be read at once", () => {
    const written = [...sources, ...tests].filter((path) => !CLOSURES.test(path));
    expect(written.flatMap((path) => longFunctions(path, FUNCTION_LINES_MAX))).toEqual([]);
  });

  it("calls one thing by one name: no two files of different rooms are called alike", () => {
    const paths = new Map<string, string[]>();
    for (const path of sources.filter((name) => !CALLED_ALIKE.test(name))) {
      const name = path.split("/").at(-1)!;
      paths.set(name, [...(paths.get(name) ?? []), path]);
    }
    expect([...paths.values()].filter((alike) => alike.length > 1)).toEqual([]);
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

  it("handles every rejection: work without an awaiting caller is handed to detach", () => {
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

  it("names in CONTRIBUTING every package it depends on", () => {
    const { dependencies } = JSON.parse(read("package.json")) as { dependencies: Record<string, string> };
    const [, section] = /^## What it is built on\n([\s\S]*)/m.exec(read(".github/CONTRIBUTING.md")) ?? [];
    const rows = section!.split("\n").filter((line) => line.startsWith("| `"));
    const reported = rows.flatMap((row) =>
      [...row.split("|")[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!),
    );
    expect(reported.sort()).toEqual(Object.keys(dependencies).sort());
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
