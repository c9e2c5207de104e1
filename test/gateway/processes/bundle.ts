// A program of the tests as one file, so that starting it many times waits for no compiler.

import { existsSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** Programs of threads, found beside the program that starts them. */
const THREADS = ["gateway/ledger/sqlite/sqlite-writer-thread.ts"];

/** Writes the bundle into `directory` and returns its path. Native parts stay where they are installed. */
export async function bundleOf(entry: string, directory: string): Promise<string> {
  const modules = join(directory, "node_modules");
  if (!existsSync(modules)) symlinkSync(join(ROOT, "node_modules"), modules, "dir");
  await build({
    absWorkingDir: ROOT,
    entryPoints: [entry, ...THREADS],
    outdir: directory,
    entryNames: "[name]",
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["libsql", "@foundry-rs/*"],
    banner: {
      js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
    },
    logLevel: "error",
  });
  return join(directory, `${basename(entry, ".ts")}.mjs`);
}
