/**
 * `watt402-gateway acl`: the rules of who may speak, for a broker that somebody else runs.
 *
 * Promise: writes what it says and nothing else; a file that is there is only written over when it is one
 * of ours.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Argument, Command } from "commander";
import { readText } from "#node/config/text-file";
import { Watt402Error } from "#payment/watt402-error";
import { type AclFiles, type AclOptions, emqxFiles, mosquittoFiles } from "../broker/external/acl-files.ts";
import { type BrokerUser, rabbitmqFiles } from "../broker/external/rabbitmq-files.ts";
import type { LoadedConfig } from "../config/layers.ts";
import { readLogin } from "../config/login-files.ts";

const BROKERS = ["mosquitto", "rabbitmq", "emqx"] as const;

const GATEWAY_USER = "gateway";

/** Every file of ours says so in its first line. */
const OURS = "Written by watt402-gateway acl";

interface Options {
  readonly out?: string;
  readonly passwords?: true;
  readonly devices?: string;
}

export function aclCommand(load: () => LoadedConfig): Command {
  return new Command("acl")
    .addArgument(new Argument("<broker>", "which one").choices(BROKERS))
    .option("--out <folder>", "write the files there; without it they are printed")
    .option("--passwords", "mosquitto: devices and gateways log in by passwords instead of certificates")
    .option(
      "--devices <file>",
      "rabbitmq: one device a line, its address and, where it has one, its password; without it enrolment.allowFile",
    )
    .action((broker: (typeof BROKERS)[number], options: Options) => {
      const files = filesFor(broker, load().config, options);
      if (options.out === undefined) print(files);
      else write(files, options.out);
    });
}

function filesFor(
  broker: (typeof BROKERS)[number],
  config: LoadedConfig["config"],
  { out, passwords, devices }: Options,
): AclFiles {
  if (passwords && broker !== "mosquitto")
    throw new Watt402Error("config-invalid", "--passwords: expected it beside mosquitto alone");
  if (devices !== undefined && broker !== "rabbitmq") {
    throw new Watt402Error(
      "config-invalid",
      "--devices: expected it beside rabbitmq alone: other brokers know devices by patterns",
    );
  }
  const external = config.broker.kind === "external" ? config.broker : null;
  const options: AclOptions = {
    gatewayUser: external?.username ?? GATEWAY_USER,
    discoveryPrefix: config.homeAssistant.enabled ? config.homeAssistant.prefix : null,
    ...(out === undefined ? {} : { folder: resolve(out) }),
  };
  if (broker === "mosquitto") return mosquittoFiles(options, passwords === true);
  if (broker === "emqx") return emqxFiles(options);
  const list = devices ?? config.enrolment.allowFile;
  if (list === undefined) {
    throw new Watt402Error(
      "config-invalid",
      "--devices: expected a file of devices, or enrolment.allowFile, as RabbitMQ has rules by user",
    );
  }
  const { password = null } = external === null ? {} : readLogin("broker", external);
  return rabbitmqFiles(options, devicesIn(list), password === null ? null : String(password));
}

/** A million devices, a line each. */
const DEVICES_BYTES_MAX = 128 * 1024 * 1024;

/** Throws one line. */
function devicesIn(file: string): readonly BrokerUser[] {
  const text = readText(file, `--devices: ${file}`, DEVICES_BYTES_MAX);
  return text.split("\n").flatMap((line, index) => {
    const said = line.replace(/(^|\s)#.*$/, "").trim();
    if (said === "") return [];
    const [, name, password = null] = /^(?:0x)?([0-9a-fA-F]{40})(?:[\s,]+(\S+))?$/.exec(said) ?? [];
    if (name !== undefined) return [{ name: name.toLowerCase(), password }];
    // The value there may be a password.
    throw new Watt402Error(
      "file-invalid",
      `--devices: ${file}: line ${index + 1}: expected an address, 40 hex digits, and a password or nothing`,
    );
  });
}

function print(files: AclFiles): void {
  for (const [name, text] of Object.entries(files)) process.stdout.write(`==> ${name}\n${text}\n`);
}

function write(files: AclFiles, folder: string): void {
  const paths = Object.entries(files).map(([name, text]) => ({ path: join(folder, name), text }));
  for (const { path } of paths) {
    if (existsSync(path) && !readFileSync(path, "utf8").slice(0, 100).includes(OURS)) {
      throw new Watt402Error(
        "file-inaccessible",
        `--out: ${path}: expected no file, or one of ours, found another`,
      );
    }
  }
  mkdirSync(folder, { recursive: true });
  for (const { path, text } of paths) {
    // One may contain hashes of passwords.
    writeFileSync(path, text, path.endsWith(".json") ? { mode: 0o600 } : {});
    process.stdout.write(`wrote ${path}\n`);
  }
}
