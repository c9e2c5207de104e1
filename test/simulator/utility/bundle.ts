// The utility's process as one file, so that a test that starts it many times waits for the utility and not
// for a compiler.

import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Writes the bundle into `directory` and returns its path. Native parts stay where they are installed. */
export async function bundleUtility(directory: string): Promise<string> {
  await symlink(join(ROOT, "node_modules"), join(directory, "node_modules"), "dir");
  const outfile = join(directory, "utility-process.mjs");
  await build({
    absWorkingDir: ROOT,
    entryPoints: [join(ROOT, "test/simulator/utility/utility-process.ts")],
    outfile,
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
  return outfile;
}
