/**
 * The board's bundle: TypeScript to ES5 file by file, joined and made small, linted on the way.
 *
 * Promise: one script that needs nothing but the firmware's modules; the same sources give the same bytes.
 * TypeScript's own compiler lowers the language, because esbuild cannot to ES5; esbuild then resolves our
 * `#room/file` imports and joins. What the compiler leaves that a board gets wrong is in `faults`.
 */
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import ts from "typescript";
import { type Fault, lintForBoard } from "./lint.ts";

const TREE = fileURLToPath(new URL("../..", import.meta.url));

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

/**
 * @param entry a module's text, as `import "#hardware/espruino/main";`
 * @param globalName the variable that takes the entry's exports; none for a program
 */
export async function bundleForBoard(entry: string, globalName?: string): Promise<BoardBundle> {
  const files = new Map<string, string>();
  const readable = await join(entry, globalName, false, files);
  const code = await join(entry, globalName, true, new Map());
  const faults = [...files].flatMap(([file, es5]) => lintForBoard(es5, file));
  return {
    code,
    readable,
    files,
    faults: [
      ...faults,
      ...lintForBoard(readable, "the bundle"),
      ...lintForBoard(code, "the minified bundle"),
    ],
  };
}

/** One file's text as ES5; types are erased, not checked. */
export function toEs5(source: string): string {
  return ts.transpileModule(source, {
    compilerOptions: {
      target: ts.ScriptTarget.ES5,
      module: ts.ModuleKind.ES2015,
      verbatimModuleSyntax: true,
      ignoreDeprecations: "5.0",
    },
  }).outputText;
}

async function join(
  entry: string,
  globalName: string | undefined,
  minify: boolean,
  files: Map<string, string>,
): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: toEs5(entry), resolveDir: TREE, sourcefile: "the entry" },
    bundle: true,
    write: false,
    format: "iife",
    ...(globalName === undefined ? {} : { globalName }),
    platform: "node",
    target: "es5",
    charset: "ascii",
    external: FIRMWARE_MODULES,
    minify,
    logLevel: "silent",
    plugins: [compiledToEs5(files)],
  });
  return outputFiles[0]!.text;
}

function compiledToEs5(files: Map<string, string>): Plugin {
  return {
    name: "typescript-to-es5",
    setup: ({ onLoad }) => {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const contents = toEs5(readFileSync(path, "utf8"));
        files.set(relative(TREE, path).replaceAll("\\", "/"), contents);
        return { contents, loader: "js" };
      });
    },
  };
}
