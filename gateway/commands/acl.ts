/**
 * `watt402-gateway acl`: the rules of who may speak, for a broker that somebody else runs.
 *
 * Promise: writes what it says and nothing else; a file that is there is only written over when it is one
 * of ours.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Argument, Command } from "commander";
import { type AclFiles, type AclOptions, emqxFiles, mosquittoFiles } from "../broker/acl-files.ts";
import type { LoadedConfig } from "../config-layers.ts";

const GATEWAY_USER = "gateway";

/** Every file of ours says so in its first line. */
const OURS = "Written by watt402-gateway acl";

export function aclCommand(load: () => LoadedConfig): Command {
  return new Command("acl")
    .description("write the access rules for a broker that somebody else runs")
    .addArgument(new Argument("<broker>", "which one").choices(["mosquitto", "emqx"]))
    .option("--out <folder>", "write the files there; without it they are printed")
    .action((broker: "mosquitto" | "emqx", { out }: { out?: string }) => {
      const { config } = load();
      const options: AclOptions = {
        gatewayUser: (config.broker.kind === "external" ? config.broker.username : undefined) ?? GATEWAY_USER,
        discoveryPrefix: config.homeAssistant.enabled ? config.homeAssistant.prefix : null,
      };
      const files = broker === "mosquitto" ? mosquittoFiles(options, out) : emqxFiles(options);
      if (out === undefined) print(files);
      else write(files, out);
    });
}

function print(files: AclFiles): void {
  for (const [name, text] of Object.entries(files)) process.stdout.write(`==> ${name}\n${text}\n`);
}

function write(files: AclFiles, folder: string): void {
  const paths = Object.entries(files).map(([name, text]) => ({ path: join(folder, name), text }));
  for (const { path } of paths) {
    if (existsSync(path) && !readFileSync(path, "utf8").slice(0, 100).includes(OURS)) {
      throw new Error(`--out: ${path}: expected no file, or one of ours, found another`);
    }
  }
  mkdirSync(folder, { recursive: true });
  for (const { path, text } of paths) {
    writeFileSync(path, text);
    process.stdout.write(`wrote ${path}\n`);
  }
}
