// Debian's RabbitMQ as a process of the test: a node, ports and folders of its own, on loopback.

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../purchase/agreement.ts";
import {
  accountOf,
  certificatesFor,
  fileIn,
  GATEWAY_PASSWORD,
  type GuardedBroker,
  lineOf,
  probeLogin,
  running,
  writeRules,
} from "../guarded-broker.ts";
import { newAuthority } from "./authority.ts";

/** Debian's wrapper would change to the package's own account. */
const SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server";

export const hasRabbitmq = existsSync(SERVER);

const START_MS = 90_000;

/**
 * @param byCertificate devices that log in by a certificate; the others have passwords
 * @param probe a device of no light, for the gateway's own test of what devices may read
 */
export async function guardedRabbitmq(
  byCertificate: readonly string[],
  byPassword: readonly string[],
  probe: string,
): Promise<GuardedBroker> {
  const authority = await newAuthority("clients");
  const folder = mkdtempSync(join(tmpdir(), "watt402-rabbitmq-"));
  const server = await authority.issue("localhost");
  copyFileSync(server.certFile, join(folder, "broker.crt"));
  copyFileSync(server.keyFile, join(folder, "broker.key"));
  copyFileSync(authority.certFile, join(folder, "clients-ca.crt"));
  const [port, distPort, epmdPort] = [await freePort(), await freePort(), await freePort()];
  const url = `mqtts://localhost:${port}`;
  const passwordFile = fileIn(folder, "gateway.password", GATEWAY_PASSWORD);
  const section = { kind: "external", url, caFile: authority.certFile, username: "gateway", passwordFile };
  const devices = fileIn(
    folder,
    "devices.txt",
    [
      ...byCertificate.map((device) => lineOf(device, false)),
      ...[...byPassword, probe].map((device) => lineOf(device, true)),
    ].join(""),
  );
  await writeRules(folder, section, "rabbitmq", "--devices", devices);
  const conf = readFileSync(join(folder, "watt402.conf"), "utf8").replace(
    "mqtt.listeners.ssl.default = 8883",
    `mqtt.listeners.ssl.default = 127.0.0.1:${port}`,
  );
  const file = fileIn(folder, "rabbitmq.conf", `${conf}log.console = true\nlog.file = false\n`);
  writeFileSync(join(folder, "enabled_plugins"), "[rabbitmq_mqtt].\n");
  mkdirSync(join(folder, "home"));
  // A mapper of its own in the foreground, for the one that Erlang starts by itself would outlive the test.
  const mapper = spawn("epmd", ["-port", String(epmdPort), "-address", "127.0.0.1"], { stdio: "ignore" });
  const env = {
    PATH: process.env.PATH!,
    LANG: "C.UTF-8",
    HOME: join(folder, "home"),
    RABBITMQ_NODENAME: `watt402-${port}@localhost`,
    RABBITMQ_BASE: folder,
    RABBITMQ_MNESIA_BASE: join(folder, "data"),
    RABBITMQ_LOG_BASE: join(folder, "log"),
    RABBITMQ_CONFIG_FILE: file,
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
    RABBITMQ_CONF_ENV_FILE: "/dev/null",
    RABBITMQ_PID_FILE: join(folder, "pid"),
    RABBITMQ_DIST_PORT: String(distPort),
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: "127.0.0.1",
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-kernel inet_dist_use_interface {127,0,0,1}",
  };
  async function endMapper(): Promise<void> {
    const exited = once(mapper, "exit");
    mapper.kill("SIGTERM");
    await exited;
  }
  const isReady = (said: string) => said.includes("Server startup complete");
  const broker = await running(folder, SERVER, [], isReady, { limitMs: START_MS, env }).catch(
    async (error) => {
      await endMapper();
      throw error;
    },
  );
  const certificates = await certificatesFor(authority, byCertificate);
  return {
    deviceUrl: url,
    section: { ...section, probe: probeLogin(folder, probe, certificates) },
    account: (device) => accountOf(device, authority, certificates),
    said: broker.said,
    async end() {
      // The script waits for the node, which ends in order by itself.
      const exited = once(broker.child, "exit");
      process.kill(Number(readFileSync(join(folder, "pid"), "utf8")), "SIGTERM");
      await exited;
      await broker.end();
      await endMapper();
      await authority.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
