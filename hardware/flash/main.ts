/**
 * `watt402-flash`: puts the runtime onto boards.
 *
 * Promise: every error is a line that says what was expected and found, and ends with 1.
 */
import { Command } from "commander";
import { espruinoCommand } from "./espruino-command.ts";
import { packageCommand } from "./package-command.ts";
import { piCommand } from "./pi-command.ts";

export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command("watt402-flash")
    .description(
      "Puts lights onto boards: cards for the Raspberry Pi and the package on them, boards that run Espruino",
    )
    .addCommand(piCommand())
    .addCommand(espruinoCommand())
    .addCommand(packageCommand());
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    for (const line of text.split("\n")) process.stderr.write(`watt402-flash: ${line}\n`);
    process.exitCode = 1;
  }
}
