/**
 * `watt402-gateway`: reads a configuration, runs the gateway, says how it is doing.
 *
 * Promise: one clear line for every reason not to start, exit code 1; SIGTERM and SIGINT end it in order.
 */
import { Command } from "commander";
import { pino } from "pino";
import { readConfig } from "./config.ts";
import { type Gateway, type GatewayStatus, startGateway } from "./gateway.ts";
import type { Note } from "./purchase/ports.ts";

const STATUS_EVERY_MS = 10_000;

export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command("watt402-gateway")
    .description("MQTT-to-HTTP payment gateway: devices pay over MQTT, sellers are paid by x402")
    .requiredOption("--config <file>", "configuration, TOML")
    .option("--check", "check the configuration and leave")
    .option("--quiet", "log warnings only");
  const options = program
    .parse(argv, { from: "user" })
    .opts<{ config: string; check?: true; quiet?: true }>();
  try {
    const config = readConfig(options.config);
    if (options.check) {
      process.stdout.write(`config ${options.config}: good\n`);
      return;
    }
    const log = pino({ level: options.quiet ? "warn" : "info", base: null });
    const note: Note = (level, text, fields) => log[level](fields, text);
    const gateway = await startGateway(config, note);
    announce(gateway, log);
    await untilStopped(gateway, log);
  } catch (error) {
    process.stderr.write(`watt402-gateway: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

function announce(gateway: Gateway, log: pino.Logger): void {
  const { brokerUrl, address, publicKey, treasury } = gateway;
  log.info({ brokerUrl, address, publicKey, treasury }, "gateway takes payments");
  process.send?.({ ready: true, brokerUrl, address, publicKey, treasury });
}

async function untilStopped(gateway: Gateway, log: pino.Logger): Promise<void> {
  let before: GatewayStatus = gateway.status();
  const timer = setInterval(() => {
    const status = gateway.status();
    if (status.pays !== before.pays || status.devices !== before.devices) log.info(status, "status");
    before = status;
  }, STATUS_EVERY_MS);
  await new Promise<void>((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
    // Whoever forked the gateway is gone.
    process.once("disconnect", resolve);
  });
  clearInterval(timer);
  const last = gateway.status();
  await gateway.stop();
  log.info(last, "gateway stopped");
  if (process.connected) process.disconnect();
}
