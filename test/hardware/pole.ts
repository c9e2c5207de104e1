/**
 * A pole for one device: a folder with its configuration, a tree that stands for /sys with a relay in it,
 * and a Modbus meter on TCP that counts what the relay lets through.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeTree, type Tree } from "./lamps/tree.ts";

/** SDM120 input registers, float32 big-endian: volts, watts, hertz, import and total kWh. */
const VOLTS = 0x0000;
const AMPERES = 0x0006;
const WATTS = 0x000c;
const VOLT_AMPERES = 0x0012;
const POWER_FACTOR = 0x001e;
const HERTZ = 0x0046;
const IMPORT_KWH = 0x0048;
const TOTAL_KWH = 0x0156;

export interface Pole {
  readonly folder: string;
  readonly config: string;
  readonly tree: Tree;
  readonly meterPort: number;
  lit(): boolean;
  /** Energy that went through the lamp, mWh. */
  energyMilliwattHours(): number;
  /** While false the meter answers nobody. */
  answering: boolean;
  /** Writes the configuration; `sections` replaces or adds whole tables' lines. */
  configure(options: PoleOptions): void;
  remove(): Promise<void>;
}

export interface PoleOptions {
  readonly brokerUrl: string;
  readonly gatewayPublicKey: string;
  readonly network: string;
  readonly asset: string;
  readonly payees?: readonly string[];
  readonly wantedUnits: number;
  readonly device?: string;
  readonly policy?: string;
  readonly meter?: string;
  readonly lamp?: string;
}

/** @param loadWatts what the lamp draws while its relay is closed */
export async function raisePole(loadWatts: number): Promise<Pole> {
  const folder = mkdtempSync(join(tmpdir(), "pole-"));
  const tree = makeTree();
  tree.led("lamp", 1);
  let energy = 0;
  let since = performance.now();
  const lit = () => readFileSync(join(tree.root, "class/leds/lamp/brightness"), "utf8").trim() !== "0";
  const count = () => {
    const now = performance.now();
    if (lit()) energy += (loadWatts * (now - since)) / 3600;
    since = now;
    return energy;
  };
  // Small steps, so that no change of the lamp between two looks of the device is missed.
  const counting = setInterval(count, 10);
  const image = () => {
    const watts = lit() ? loadWatts : 0;
    const kilowattHours = count() / 1_000_000;
    return new Map([
      [VOLTS, 230],
      [AMPERES, watts / 230],
      [WATTS, watts],
      [VOLT_AMPERES, watts],
      [POWER_FACTOR, 1],
      [HERTZ, 50],
      [IMPORT_KWH, kilowattHours],
      [TOTAL_KWH, kilowattHours],
    ]);
  };
  const pole = { answering: true };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.on("data", (request) => {
      if (pole.answering) socket.write(answerTo(request, image()));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const meterPort = (server.address() as AddressInfo).port;
  const config = join(folder, "device.toml");
  return Object.assign(pole, {
    folder,
    config,
    tree,
    meterPort,
    lit,
    energyMilliwattHours: count,
    configure: (options: PoleOptions) =>
      writeFileSync(config, configOf(folder, tree.root, meterPort, loadWatts, options)),
    remove: async () => {
      clearInterval(counting);
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      tree.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  });
}

/** Modbus TCP, function 4: MBAP of 7 bytes, then byte count and registers. */
function answerTo(request: Buffer, image: ReadonlyMap<number, number>): Buffer {
  const start = request.readUInt16BE(8);
  const count = request.readUInt16BE(10);
  const answer = Buffer.alloc(9 + 2 * count);
  request.copy(answer, 0, 0, 8);
  answer.writeUInt16BE(3 + 2 * count, 4);
  answer.writeUInt8(2 * count, 8);
  for (let i = 0; i + 1 < count; i += 2) answer.writeFloatBE(image.get(start + i) ?? 0, 9 + 2 * i);
  return answer;
}

function configOf(
  folder: string,
  sysfs: string,
  meterPort: number,
  loadWatts: number,
  options: PoleOptions,
): string {
  return `
[device]
key_file = "${folder}/device.key"
journal_file = "${folder}/device.journal"
sysfs_root = "${sysfs}"
${options.device ?? ""}
[gateway]
broker = "${options.brokerUrl}"
public_key = "${options.gatewayPublicKey}"
keepalive_seconds = 5
[policy]
network = "${options.network}"
asset = "${options.asset}"
payees = ${JSON.stringify(options.payees ?? [])}
price_ceiling_per_million_units = 5000000
quantum_max_atomic = 10000
daily_budget_atomic = 10000000
${options.policy ?? ""}
[meter]
wanted_units = ${options.wantedUnits}
power_max_milliwatts = ${2 * loadWatts * 1000}
[meter.driver]
${options.meter ?? `kind = "modbus"\nmap = "sdm120"\ntcp = "127.0.0.1:${meterPort}"`}
[lamp]
rated_milliwatts = ${loadWatts * 1000}
[lamp.driver]
${options.lamp ?? 'kind = "led"'}
[plan]
steps = [{ at = "00:00", level_percent = 100 }]
[timing]
tick_ms = 200
retry_first_ms = 200
retry_max_ms = 1000
`;
}
