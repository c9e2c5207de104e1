/**
 * Copies of the product with one guard taken out each, bundled from the sources as they are.
 *
 * The source text is changed while it is bundled, so the product carries no switch, a copy has its own
 * instance of every module, and a guard that is no longer where the table says fails the test.
 */
import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { Invariant } from "#simulator/world/invariants/world-violation";
import type { runFaults } from "#simulator/world/run/fault-run";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly guard: string;
  readonly instead: string;
  /** What the devices are; streetlights when absent. */
  readonly profile?: string;
  /** Any of these letters may be the first to break. */
  readonly breaks: readonly Invariant[];
  /** A world that missed it when this was written: tried first. */
  readonly seed: number;
}

export interface Workshop {
  night(mutation: Mutation): Promise<typeof runFaults>;
  close(): Promise<void>;
}

export async function openWorkshop(): Promise<Workshop> {
  const folder = await mkdtemp(join(tmpdir(), "watt402-mutants-"));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  let built = 0;
  return {
    async night({ file, guard, instead, name }) {
      const path = resolve(ROOT, file);
      const source = await readFile(path, "utf8");
      const places = source.split(guard).length - 1;
      if (places !== 1)
        throw new Error(`${name}: expected its guard once in ${file}, found it ${places} times`);
      const outfile = join(folder, `mutant-${built++}.mjs`);
      await build({
        entryPoints: [join(ROOT, "simulator/world/run/fault-run.ts")],
        outfile,
        bundle: true,
        platform: "node",
        format: "esm",
        packages: "external",
        logLevel: "error",
        plugins: [
          {
            name: "mutation",
            setup(bundler) {
              bundler.onResolve({ filter: /^#/ }, ({ path: wanted }) => {
                const [, room, rest] = /^#(\w+)\/(.+)$/.exec(wanted)!;
                const floor = ["gateway", "hardware", "simulator"].includes(room!) ? room! : `device/${room}`;
                return { path: join(ROOT, floor, `${rest}.ts`) };
              });
              bundler.onLoad({ filter: /\.ts$/ }, async ({ path: loaded }) => ({
                contents:
                  loaded === path ? source.replace(guard, () => instead) : await readFile(loaded, "utf8"),
                loader: "ts",
                resolveDir: dirname(loaded),
              }));
            },
          },
        ],
      });
      const module = (await import(pathToFileURL(outfile).href)) as { runFaults: typeof runFaults };
      return module.runFaults;
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
