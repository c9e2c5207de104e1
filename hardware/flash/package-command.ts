/** `watt402-flash package`: builds the Debian package alone. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { ARCHITECTURES, type Architecture, buildPackage } from "../package/debian.ts";

interface Options {
  readonly out: string;
  readonly architecture: Architecture;
}

export function packageCommand(): Command {
  return new Command("package")
    .requiredOption("--out <dir>", "folder to write it to")
    .addOption(
      new Option("--architecture <name>", "all boards in one package, or 64 bit ARM alone")
        .choices(ARCHITECTURES)
        .default("all"),
    )
    .action(async ({ out, architecture }: Options) => {
      const { fileName, content } = await buildPackage(architecture, process.env);
      mkdirSync(out, { recursive: true });
      const file = join(out, fileName);
      writeFileSync(file, content);
      process.stdout.write(`${file}\n`);
    });
}
