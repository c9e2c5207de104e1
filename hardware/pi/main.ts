/**
 * `watt402-device`: runs one light on Linux, or a Raspberry Pi, and looks after it.
 *
 * Promise: every error is one clear line and ends with 1, never a stack trace; a command changes nothing
 * that its name does not say.
 */
import { Command } from "commander";
import { type DeviceConfig, loadConfig } from "#node/config/device-config";
import { addressCommand } from "./commands/address.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { backupCommand, encryptCommand, restoreCommand, rotateCommand } from "./commands/key.ts";
import { policyInWords } from "./commands/policy.ts";
import { openCommand } from "./commands/run.ts";
import { safeCommand } from "./commands/safe.ts";
import { statusCommand } from "./commands/status.ts";
import { deviceFirmware } from "./firmware.ts";
import { checkLight } from "./light.ts";
import { runLight } from "./run.ts";

interface KeyFiles {
  readonly out: string;
  readonly from: string;
  readonly passphraseFile: string;
}

const program = new Command("watt402-device")
  .description("A light that meters what it burns and pays for it")
  .version(deviceFirmware())
  .requiredOption("--config <file>", "TOML configuration, see device.sample.toml", "/etc/watt402/device.toml")
  .option("--check", "check the configuration and end")
  .action(() => {
    const { config: file, check } = program.opts<{ readonly config: string; readonly check?: boolean }>();
    const config = loadConfig(file);
    checkLight(config);
    if (check) console.log(`${file}: no fault found`);
    else runLight(config, complain);
  });

program
  .command("run")
  .description("run a command that pays for the CPU time it uses; it is held while there is no credit")
  .argument("<command...>", "the command and its arguments, behind --")
  .action((argv: readonly string[]) => {
    const config = loadConfig(program.opts<{ readonly config: string }>().config);
    openCommand(config, argv).then((own) => runLight(config, complain, own), fail);
  });
program
  .command("doctor")
  .description("look at clock, disk, key, lamp, meter, broker, gateway and channel, and say what to mend")
  .option("--json", "print one JSON document")
  .action(({ json }: { readonly json?: true }) => finish((config) => doctorCommand(config, json ?? false)));
program
  .command("status")
  .description("print what the running light is doing")
  .option("--json", "print one JSON document")
  .action(({ json }: { readonly json?: true }) => finish((config) => statusCommand(config, json ?? false)));
program
  .command("address")
  .description("print the device's address, making its key first when there is none")
  .option("--qr", "add a QR code also where the output is no terminal")
  .action(({ qr }: { readonly qr?: true }) =>
    finish((config) => addressCommand(config, qr ?? process.stdout.isTTY)),
  );
program
  .command("policy")
  .description("explain in words what the light will sign and what it refuses")
  .action(() =>
    finish(async (config) => {
      console.log(policyInWords(config));
      return 0;
    }),
  );
program
  .command("safe")
  .description("bring the lamp to its safe level while no device runs")
  .action(() => finish(safeCommand));

const key = program.command("key").description("back up, restore, encrypt or rotate the light's key");
key
  .command("backup")
  .description("write the key to a new file, encrypted")
  .requiredOption("--out <file>", "the backup")
  .requiredOption("--passphrase-file <file>", "what to encrypt it under; mode 0600")
  .action(({ out, passphraseFile }: KeyFiles) =>
    finish(async (config) => backupCommand(config, out, passphraseFile)),
  );
key
  .command("restore")
  .description("put a backup in the place of a key that is gone")
  .requiredOption("--from <file>", "the backup")
  .requiredOption("--passphrase-file <file>", "what it is encrypted under; mode 0600")
  .action(({ from, passphraseFile }: KeyFiles) =>
    finish((config) => restoreCommand(config, from, passphraseFile)),
  );
key
  .command("encrypt")
  .description("encrypt a plain key where it lies, under the device's passphrase")
  .action(() => finish(encryptCommand));
key
  .command("rotate")
  .description("make a new key, and with it a new address; the old one is kept")
  .option("--abandon", "even when a payment was not answered yet")
  .action(({ abandon }: { readonly abandon?: true }) =>
    finish((config) => rotateCommand(config, abandon ?? false)),
  );

try {
  program.parse();
} catch (error) {
  fail(error);
}

/** Runs a command that ends by itself. */
function finish(act: (config: DeviceConfig) => Promise<number>): void {
  const { config } = program.opts<{ readonly config: string }>();
  act(loadConfig(config)).then((code) => process.exit(code), fail);
}

function fail(error: unknown): never {
  complain(error);
  process.exit(1);
}

function complain(error: unknown): void {
  console.error(`watt402-device: ${error instanceof Error ? error.message : String(error)}`);
}
