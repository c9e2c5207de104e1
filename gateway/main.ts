/**
 * `watt402-gateway`: reads a configuration, runs the gateway, says how it is doing; and the operator's
 * commands on its ledger, channels and keys.
 *
 * Promise: one clear line for every reason not to start, exit code 1; SIGTERM and SIGINT end it in order; a rejection
 * without a handler does not (node/process-guard.ts).
 */

import { writeFileSync } from "node:fs";
import { Command } from "commander";
import type { pino } from "pino";
import { stringify } from "smol-toml";
import { guardProcess } from "#node/process-guard";
import { Watt402Error } from "#payment/watt402-error";
import { readExternalFiles } from "./config/external-broker-section.ts";
import { type LoadedConfig, loadConfig, shownConfig } from "./config/layers.ts";
import { sample } from "./config/sample-config.ts";
import type { Gateway, GatewayStatus } from "./gateway.ts";
import { reasonOf } from "./purchase/faults/note-failure.ts";
import type { Logger } from "./purchase/ports.ts";

const STATUS_EVERY_MS = 10_000;
const INIT_FILE = "watt402-gateway.toml";

interface Options {
  readonly config?: string;
  readonly set: readonly string[];
  readonly check?: true;
  readonly init?: string | true;
  readonly quiet?: true;
}

export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command("watt402-gateway")
    .description("MQTT-to-HTTP payment gateway: devices pay over MQTT, sellers are paid by x402")
    .option("--config <file>", "configuration, TOML (WATT402_CONFIG); none: a first look on this machine")
    .option("--set <section.member=value>", "overrides file and environment", collect, [])
    .option("--check", "check the configuration, show what is in effect, and leave")
    .option("--init [file]", `write a commented configuration to start from (${INIT_FILE})`)
    .option("--quiet", "log warnings only")
    .addHelpText("after", ENVIRONMENT_HELP);
  const load = () => {
    const { config, set } = program.opts<Options>();
    return loadConfig({ file: config ?? null, environment: process.env, settings: set });
  };
  program.action(() => run(program.opts<Options>(), load));
  for (const [name, { description, open }] of Object.entries(COMMANDS)) {
    const command = argv.includes(name) ? (await open())(load) : new Command(name);
    program.addCommand(command.description(description));
  }
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    process.stderr.write(`watt402-gateway: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

interface OperatorCommand {
  readonly description: string;
  readonly open: () => Promise<(load: () => LoadedConfig) => Command>;
}

/** Each is loaded when its name is given: ledger, chain and sellers take seconds of a small machine's CPU to load. */
const COMMANDS: Readonly<Record<string, OperatorCommand>> = {
  ledger: {
    description: "the payments: export, statement, reconcile",
    open: async () => (await import("./commands/ledger.ts")).ledgerCommand,
  },
  channels: {
    description: "deposits of devices: list, top-up, close, withdraw",
    open: async () => (await import("./commands/channels.ts")).channelsCommand,
  },
  devices: {
    description: "who may buy: list, approve, refuse",
    open: async () => (await import("./commands/devices.ts")).devicesCommand,
  },
  verify: {
    description:
      "who broke what was signed: judge terms and receipts of use, with the chain where it is given",
    open: async () => (await import("./commands/verify.ts")).verifyCommand,
  },
  acl: {
    description: "write the access rules for a broker that somebody else runs",
    open: async () => (await import("./commands/acl.ts")).aclCommand,
  },
  keystore: {
    description: "write a key, a new one or one at hand, as an encrypted keystore (Web3 Secret Storage)",
    open: async () => (await import("./commands/keystore.ts")).keystoreCommand,
  },
  watch: {
    description: "shows the fleet of a running gateway, and its messages decoded, in this terminal",
    open: async () => (await import("./commands/watch.ts")).watchCommand,
  },
};

const ENVIRONMENT_HELP = `
Every member of the configuration can be set by a variable: seller.url by WATT402_SELLER_URL,
treasury.depositAtomic by WATT402_TREASURY_DEPOSIT_ATOMIC. Command line before environment before file.`;

function collect(setting: string, before: readonly string[]): readonly string[] {
  return [...before, setting];
}

async function run(options: Options, load: () => LoadedConfig): Promise<void> {
  if (options.init !== undefined) return writeSample(options.init === true ? INIT_FILE : options.init);
  const { config, source, assumed } = load();
  if (options.check) {
    if (config.broker.kind === "external") readExternalFiles(config.broker);
    process.stdout.write(`${stringify(shownConfig(config))}\n`);
    for (const sentence of assumed) process.stdout.write(`# ${sentence}\n`);
    process.stdout.write(`config ${source}: good\n`);
    return;
  }
  const { openLog } = await import("./log.ts");
  const log = openLog(options.quiet ? "warn" : "info");
  const note: Logger = (level, text, fields) => log[level](fields, text);
  for (const sentence of assumed)
    log.info({ assumed: sentence }, "assumed: the configuration does not say it");
  guardProcess({
    survived: (what, error) => log.error({ reason: reasonOf(error) }, what),
    end(error) {
      // What was acknowledged is in the ledger: the next start loses nothing.
      log.fatal({ reason: reasonOf(error), stack: (error as Error).stack }, "an uncaught exception");
      process.exit(1);
    },
  });
  const { startGateway } = await import("./gateway.ts");
  const gateway = await startGateway(config, note, assumed.length > 0);
  announce(gateway, log);
  await untilStopped(gateway, log);
}

function writeSample(file: string): void {
  try {
    // "wx": never over a configuration that is there.
    writeFileSync(file, sample(), { flag: "wx", mode: 0o600 });
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `--init ${file}: expected a new file, found ${(error as NodeJS.ErrnoException).code}`,
    );
  }
  process.stdout.write(
    `wrote ${file}: name your keys, seller and chain in it, then start with --config ${file}\n`,
  );
}

function announce(gateway: Gateway, log: pino.Logger): void {
  const { brokerUrl, address, publicKey, treasury, httpUrl } = gateway;
  log.info({ brokerUrl, address, publicKey, treasury, httpUrl }, "gateway takes payments");
  process.send?.({ ready: true, brokerUrl, address, publicKey, treasury, httpUrl });
}

async function untilStopped(gateway: Gateway, log: pino.Logger): Promise<void> {
  let before: GatewayStatus = gateway.status();
  const timer = setInterval(() => {
    const status = gateway.status();
    if (status.pays !== before.pays || status.devices !== before.devices) log.info(status, "status");
    before = status;
  }, STATUS_EVERY_MS);
  process.on("SIGHUP", () => gateway.reload());
  // The parent process may ask whether the gateway still runs.
  process.on("message", (message) => {
    if (typeof message === "object" && message !== null && "ask" in message) {
      process.send?.({ running: true }, () => undefined);
    }
  });
  await new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
    // The parent process is gone.
    process.once("disconnect", resolve);
  });
  clearInterval(timer);
  const last = gateway.status();
  await gateway.stop();
  log.info(last, "gateway stopped");
  if (process.connected) process.disconnect();
}
