/**
 * `watt402-device` as one JavaScript file, with the data files it reads and the licences it is under.
 *
 * Promise: every module keeps the `import.meta.url` it has in the source tree, rooted where the bundle
 * lies, so that a data file is found beside the bundle under the same relative path.
 */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { parseJson } from "#protocol/nesting";

/** The source tree: what this file lies in, two floors up. */
export const TREE = fileURLToPath(new URL("../..", import.meta.url));

/** The oldest Node that Raspberry Pi OS Trixie has. */
const TARGET = "node20";

/**
 * First lines of the bundle: the root of `import.meta.url`, and what CommonJS packages expect. Their
 * folder is one below the bundle's, so that serialport finds `prebuilds` beside the bundle.
 */
const BANNER = [
  "#!/usr/bin/node",
  'import { createRequire as watt402CreateRequire } from "node:module";',
  'import { fileURLToPath as watt402Path } from "node:url";',
  "const require = watt402CreateRequire(import.meta.url);",
  "const watt402Root = import.meta.url;",
  'const __dirname = watt402Path(new URL("./packages", import.meta.url));',
  'const __filename = __dirname + "/index.js";',
].join("\n");

export interface Bundle {
  readonly code: Uint8Array;
  /** Every package inside, sorted by name, with the text of its licence. */
  readonly licences: readonly { readonly name: string; readonly text: string }[];
}

/** Bundles `hardware/pi/main.ts`. Rejects when a module cannot be resolved, or a licence is missing. */
export async function bundleDevice(): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: TREE,
    entryPoints: ["hardware/pi/main.ts"],
    bundle: true,
    platform: "node",
    format: "esm",
    target: TARGET,
    charset: "utf8",
    legalComments: "none",
    banner: { js: BANNER },
    outfile: "watt402-device.mjs",
    write: false,
    metafile: true,
    logLevel: "silent",
    plugins: [sourceTreeUrls],
  });
  return { code: outputFiles[0]!.contents, licences: licencesOf(Object.keys(metafile.inputs)) };
}

/** `import.meta.url` of our own modules, as it is in the tree. */
const sourceTreeUrls: Plugin = {
  name: "source-tree-urls",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const file = relative(TREE, path).replaceAll("\\", "/");
      const url = `new URL(${JSON.stringify(file)}, watt402Root).href`;
      return { contents: readFileSync(path, "utf8").replaceAll("import.meta.url", url), loader: "ts" };
    });
  },
};

function licencesOf(inputs: readonly string[]): Bundle["licences"] {
  const folders = new Set(
    inputs.flatMap((input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []),
  );
  const found = [...folders].map((folder) => {
    const { name, version, license } = parseJson(
      readFileSync(join(TREE, folder, "package.json"), "utf8"),
    ) as { readonly name: string; readonly version: string; readonly license?: string };
    return { name: `${name} ${version} (${license ?? "see below"})`, text: licenceIn(join(TREE, folder)) };
  });
  return found.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function licenceIn(folder: string): string {
  const file = readdirSync(folder)
    .sort()
    .find((name) => /^(licen[cs]e|copying)/i.test(name));
  return file === undefined ? "" : readFileSync(join(folder, file), "utf8").trim();
}

/** Absolute path of the source tree's file `file`. */
export function inTree(file: string): string {
  return join(TREE, file);
}

/** Folder of serialport's binaries. */
export function serialportBinaries(): string {
  return join(dirname(inTree("package.json")), "node_modules/@serialport/bindings-cpp/prebuilds");
}
