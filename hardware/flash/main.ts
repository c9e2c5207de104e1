/**
 * `watt402-flash`: puts the runtime onto boards.
 *
 * Promise: every error is a line that says what was expected and found, and ends with 1.
 */
import { Command } from "commander";

interface BoardCommand {
  readonly description: string;
  readonly open: () => Promise<Command>;
}

/** Each is loaded when its name is given: bundlers and serial ports take seconds of CPU to load. */
const COMMANDS: Readonly<Record<string, BoardCommand>> = {
  pi: {
    description: "write a Raspberry Pi OS card's boot partition: network, light, package",
    open: async () => (await import("./pi-command.ts")).piCommand(),
  },
  espruino: {
    description: "put the light onto a board that runs Espruino: its program, key, policy and first night",
    open: async () => (await import("./board/espruino-command.ts")).espruinoCommand(),
  },
  package: {
    description: "build the Debian package of watt402-device; the same tree gives the same bytes",
    open: async () => (await import("./package-command.ts")).packageCommand(),
  },
};

export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command("watt402-flash").description(
    "Puts lights onto boards: cards for the Raspberry Pi and the package on them, boards that run Espruino",
  );
  for (const [name, { description, open }] of Object.entries(COMMANDS)) {
    const command = argv.includes(name) ? await open() : new Command(name);
    program.addCommand(command.description(description));
  }
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    for (const line of text.split("\n")) process.stderr.write(`watt402-flash: ${line}\n`);
    process.exitCode = 1;
  }
}
