// Brokers of others, set up by nothing but our generated files and what their operator adds: certificates and passwords.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aclCommand } from "#gateway/commands/acl";
import { checkConfig } from "#gateway/config/config";
import type { TlsFiles } from "#node/broker-socket";
import type { PasswordLogin } from "#node/mqtt-link";
import { until } from "../fixtures.ts";
import { freePort } from "../purchase/agreement.ts";
import { type Authority, type Issued, newAuthority } from "./external/authority.ts";

/** How one device gets in. */
export interface DeviceAccount {
  readonly tls: TlsFiles;
  readonly login?: PasswordLogin | "certificate";
}

export interface GuardedBroker {
  readonly deviceUrl: string;
  /** The gateway's section [broker], with the account in `probe` of its own. */
  readonly section: Readonly<Record<string, unknown>>;
  account(device: string): DeviceAccount;
  /** What the broker said on its standard error and output. */
  said(): string;
  end(): Promise<void>;
}

export const GATEWAY_PASSWORD = "gate-4711";
const passwordOf = (device: string) => `lamp-${device.slice(0, 12)}`;

/** A program's own folder, its words, and an end by its process id. */
export interface Running {
  readonly folder: string;
  readonly child: ChildProcess;
  said(): string;
  end(): Promise<void>;
}

export async function running(
  folder: string,
  command: string,
  args: readonly string[],
  isReady: (said: string) => boolean,
  { limitMs = 20_000, env = process.env }: { limitMs?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<Running> {
  let said = "";
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on("data", (chunk) => {
      said += chunk;
    });
  }
  await until(
    () => isReady(said) || child.exitCode !== null,
    limitMs,
    () => `${command}, found ${said.slice(-2_000)}`,
  );
  if (child.exitCode !== null) throw new Error(`${command} ended: ${said.slice(-2_000)}`);
  return {
    folder,
    child,
    said: () => said,
    async end() {
      if (child.exitCode === null) {
        const exited = once(child, "exit");
        child.kill("SIGTERM");
        await exited;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Runs `watt402-gateway acl` as an operator does who configured nothing but the broker. */
export async function writeRules(folder: string, broker: object, ...args: string[]): Promise<void> {
  const seller = { url: "http://127.0.0.1:9", network: "eip155:31337", asset: `0x${"5e".repeat(20)}` };
  const config = checkConfig(
    {
      gateway: { key: "k", data: "d" },
      treasury: { key: "t" },
      chain: { rpc: "http://127.0.0.1:9" },
      seller,
      broker,
    },
    "test",
  );
  const command = aclCommand(() => ({ config, source: "test", assumed: [] }));
  await command.parseAsync([...args, "--out", folder], { from: "user" });
}

export function fileIn(folder: string, name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

/** @param probe a device of no light, for the gateway's own test of what devices may read */
export async function guardedMosquitto(
  devices: readonly string[],
  probe: string,
  byPasswords: boolean,
): Promise<GuardedBroker> {
  const [ofDevices, ofGateways] = [await newAuthority("devices"), await newAuthority("gateways")];
  const folder = mkdtempSync(join(tmpdir(), "watt402-guarded-"));
  const server = await ofDevices.issue("localhost");
  copyFileSync(server.certFile, join(folder, "broker.crt"));
  copyFileSync(server.keyFile, join(folder, "broker.key"));
  copyFileSync(ofDevices.certFile, join(folder, "devices-ca.crt"));
  copyFileSync(ofGateways.certFile, join(folder, "gateways-ca.crt"));
  const names = [...devices, probe];
  await writeRules(folder, { kind: "embedded" }, "mosquitto", ...(byPasswords ? ["--passwords"] : []));
  if (byPasswords) {
    const written = (name: string, users: readonly (readonly [string, string])[]) => {
      const file = fileIn(folder, name, users.map(([user, password]) => `${user}:${password}\n`).join(""));
      const { status, stderr } = spawnSync("mosquitto_passwd", ["-U", file], { encoding: "utf8" });
      if (status !== 0) throw new Error(`mosquitto_passwd: ${stderr}`);
    };
    written(
      "devices.passwords",
      names.map((name) => [name, passwordOf(name)] as const),
    );
    written("gateways.passwords", [["gateway", GATEWAY_PASSWORD]]);
  }
  const [devicePort, gatewayPort] = [await freePort(), await freePort()];
  const conf = readFileSync(join(folder, "watt402.conf"), "utf8")
    .replace("listener 8883", `listener ${devicePort} 127.0.0.1`)
    .replace("listener 8884", `listener ${gatewayPort} 127.0.0.1`);
  const user = process.getuid?.() === 0 ? "user root\n" : "";
  const file = fileIn(folder, "mosquitto.conf", `${user}${conf}`);
  const broker = await running(folder, "mosquitto", ["-c", file], (said) => said.includes("running"));
  const certificates = await certificatesFor(ofDevices, byPasswords ? [] : names);
  const gateway = byPasswords ? null : await ofGateways.issue("gateway");
  const deviceUrl = `mqtts://localhost:${devicePort}`;
  return {
    deviceUrl,
    section: {
      kind: "external",
      url: `mqtts://localhost:${gatewayPort}`,
      caFile: ofDevices.certFile,
      ...(gateway === null
        ? { username: "gateway", passwordFile: fileIn(folder, "gateway.password", GATEWAY_PASSWORD) }
        : { certFile: gateway.certFile, keyFile: gateway.keyFile }),
      probe: { url: deviceUrl, ...probeLogin(folder, probe, certificates) },
    },
    account: (device) => accountOf(device, ofDevices, certificates),
    said: broker.said,
    async end() {
      await broker.end();
      await Promise.all([ofDevices.remove(), ofGateways.remove()]);
    },
  };
}

export async function certificatesFor(
  authority: Authority,
  names: readonly string[],
): Promise<ReadonlyMap<string, Issued>> {
  return new Map(await Promise.all(names.map(async (name) => [name, await authority.issue(name)] as const)));
}

export function accountOf(
  device: string,
  { cert: ca }: Authority,
  certificates: ReadonlyMap<string, Issued>,
): DeviceAccount {
  const own = certificates.get(device);
  if (own !== undefined) return { tls: { ca, cert: own.cert, key: own.key }, login: "certificate" };
  return { tls: { ca }, login: { username: null, password: passwordOf(device) } };
}

export function probeLogin(
  folder: string,
  probe: string,
  certificates: ReadonlyMap<string, Issued>,
): Readonly<Record<string, string>> {
  const own = certificates.get(probe);
  if (own !== undefined) return { certFile: own.certFile, keyFile: own.keyFile };
  return { username: probe, passwordFile: fileIn(folder, "probe.password", passwordOf(probe)) };
}

export const lineOf = (device: string, hasPassword: boolean) =>
  hasPassword ? `${device} ${passwordOf(device)}\n` : `0x${device}\n`;
