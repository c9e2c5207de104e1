/**
 * The board's bundle: TypeScript to ES5 file by file, joined and made small, linted on the way.
 *
 * Promise: one script that needs nothing but the firmware's modules; the same sources give the same bytes.
 * TypeScript's own compiler lowers the language, because esbuild cannot to ES5; esbuild then resolves our
 * `#room/file` imports and joins. What the compiler leaves that a board gets wrong is in `faults`.
 */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { toEs5 } from "./es5.ts";
import { type Fault, lintForBoard } from "./lint.ts";
import { ownNames } from "./own-names.ts";
import { tokenised } from "./tokens.ts";

const TREE = fileURLToPath(new URL("../../..", import.meta.url));

/** What the firmware answers to `require`; everything else is bundled. */
const FIRMWARE_MODULES = [
  "Storage",
  "Flash",
  "net",
  "crypto",
  "Wifi",
  "ESP8266WiFi_0v25",
  "timer",
  "neopixel",
];

/** What the compiler calls to copy an object: the firmware's own, by a name that can be made short. */
const ASSIGN = "export var __assign = Object.assign;";

/** Everything that a program may be joined from is imported by one of these. */
const PROGRAM_FILES = ["main", "board-meters", "board-lamps", "console-text"].map(
  (name) => `hardware/espruino/${name}.ts`,
);

export interface BoardBundle {
  /** Minified, ASCII. */
  readonly code: string;
  /** The same before minification: what a person reads when the board names a line. */
  readonly readable: string;
  /** Our files in the order of joining, by path in the source tree, as ES5. */
  readonly files: ReadonlyMap<string, string>;
  /** Empty when it may be flashed. */
  readonly faults: readonly Fault[];
}

export interface BoardProgram extends BoardBundle {
  /** What a board keeps: the code in the firmware's tokens, a byte a character. */
  readonly image: string;
}

/**
 * Parts of the light for callers by name.
 * @param entry a module's text, as `export * from "#hardware/espruino/main";`
 * @param globalName the variable that takes the entry's exports
 */
export async function bundleForBoard(entry: string, globalName: string): Promise<BoardBundle> {
  // The bundler's own way to hand exports on closes over a loop's variable, which a board gets wrong.
  const parts = { contents: toEs5(entry), resolveDir: TREE, loader: "js" } as const;
  const handOn: Plugin = {
    name: "parts-by-name",
    setup: ({ onLoad, onResolve }) => {
      onResolve({ filter: /^the parts$/ }, ({ path }) => ({ path, namespace: "parts" }));
      onLoad({ filter: /./, namespace: "parts" }, () => parts);
    },
  };
  return bundled(
    `import * as all from "the parts"; ${globalName} = all;`,
    { format: "iife", banner: { js: `var ${globalName};` } },
    [handOn],
  );
}

/**
 * The program that is flashed. No module imports it, so that names of members that only it knows are short, and it
 * is at the top level: a function around everything would cost each of its functions one to three variables.
 * @param entry a module's text
 */
export async function programForBoard(entry: string): Promise<BoardProgram> {
  shortNames ??= namesOf([...ownNames(PROGRAM_FILES.map((file) => join(TREE, file)))]);
  const program = await bundled(entry, { format: "esm", mangleProps: shortNames });
  return { ...program, image: tokenised(program.code) };
}

/** The same whatever was ordered, and some seconds' work. */
let shortNames: RegExp | undefined;

function namesOf(names: readonly string[]): RegExp {
  return new RegExp(`^(?:${names.join("|")})$`);
}

async function bundled(entry: string, options: BuildOptions, more: Plugin[] = []): Promise<BoardBundle> {
  const files = new Map<string, string>();
  const textOf = async (minify: boolean) => {
    const { outputFiles } = await build({
      stdin: { contents: toEs5(entry), resolveDir: TREE, sourcefile: "the entry" },
      bundle: true,
      write: false,
      platform: "node",
      target: "es5",
      supported: { class: true, "const-and-let": true, "for-of": true, "object-extensions": true },
      charset: "ascii",
      external: FIRMWARE_MODULES,
      logLevel: "silent",
      plugins: [...more, compiledToEs5(files)],
      minify,
      ...options,
    });
    return outputFiles![0]!.text;
  };
  const readable = await textOf(false);
  const code = await textOf(true);
  return {
    code,
    readable,
    files,
    faults: [
      ...[...files].flatMap(([file, es5]) => lintForBoard(es5, file)),
      ...lintForBoard(readable, "the bundle"),
      ...lintForBoard(code, "the minified bundle"),
    ],
  };
}

function compiledToEs5(files: Map<string, string>): Plugin {
  return {
    name: "typescript-to-es5",
    setup: ({ onLoad, onResolve }) => {
      onResolve({ filter: /^firmware:assign$/ }, ({ path }) => ({ path, namespace: "firmware" }));
      onLoad({ filter: /./, namespace: "firmware" }, () => ({ contents: ASSIGN }));
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const file = relative(TREE, path).replaceAll("\\", "/");
        const contents = files.get(file) ?? toEs5(readFileSync(path, "utf8"));
        files.set(file, contents);
        return { contents, loader: "js" };
      });
    },
  };
}
