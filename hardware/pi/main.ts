/**
 * `watt402-device`: runs one light on Linux, or a Raspberry Pi.
 *
 * Promise: SIGTERM and SIGINT leave the lamp at its unpaid level and end with 0; every error is one
 * clear line and ends with 1, never a stack trace.
 */
import { Command } from "commander";
import { type DeviceConfig, loadConfig } from "#node/config";
import { openOrCreateKey } from "#node/keystore";
import { deviceLogger } from "./device-log.ts";
import { deviceFirmware } from "./firmware.ts";
import { checkLight, startLight } from "./light.ts";

/** Longest orderly stop, milliseconds; service managers kill after ten seconds and more. */
const STOP_MS = 9000;

const program = new Command("watt402-device")
  .description("A light that meters what it burns and pays for it")
  .version(deviceFirmware())
  .requiredOption("--config <file>", "TOML configuration, see device.sample.toml")
  .option("--check", "check the configuration and end")
  .action((options: { readonly config: string; readonly check?: boolean }) => {
    const config = loadConfig(options.config);
    checkLight(config);
    if (options.check) console.log(`${options.config}: no fault found`);
    else run(config);
  });

program
  .command("address")
  .description("print the device's address, making its key first when there is none")
  .action(() => {
    const { config } = program.opts<{ readonly config: string }>();
    console.log(openOrCreateKey(loadConfig(config).keyFile).key.address);
  });

/** Puts the lamp in its unpaid state when something fails unforeseen. */
let makeSafe: () => Promise<void> = async () => {};

process.on("uncaughtException", fail);
try {
  program.parse();
} catch (error) {
  fail(error);
}

function run(config: DeviceConfig): void {
  const log = deviceLogger(process.stdout.isTTY);
  const light = startLight(config, log);
  makeSafe = () => light.stop();
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, "stopping");
    limitStop();
    light.stop().then(() => process.exit(0), fail);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

function fail(error: unknown): void {
  console.error(`watt402-device: ${error instanceof Error ? error.message : String(error)}`);
  limitStop();
  makeSafe().then(
    () => process.exit(1),
    () => process.exit(1),
  );
}

function limitStop(): void {
  setTimeout(() => {
    console.error(`watt402-device: expected to stop within ${STOP_MS} ms, found a part that hangs`);
    process.exit(1);
  }, STOP_MS);
}
