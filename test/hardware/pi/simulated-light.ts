/**
 * A pole for one device: a folder with its configuration, a tree that stands for /sys with a relay in it,
 * and a Modbus meter that counts what the relay lets through: on TCP, and wherever else its slaves are served.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRegisterMap } from "#hardware/meters/modbus/map-table";
import { MeterImage } from "#simulator/hardware/meter-image";
import { listenAsMeter } from "#simulator/hardware/modbus-slave";
import { makeTree, type Tree } from "../lamps/tree.ts";

/** Small steps, so that no change of the lamp between two looks of the device is missed. */
const FOLLOW_MS = 10;

export interface Pole {
  readonly folder: string;
  readonly config: string;
  readonly tree: Tree;
  readonly meterPort: number;
  /** The bus: slave 1 is the meter, until a test says otherwise. */
  readonly slaves: Map<number, MeterImage>;
  readonly meter: MeterImage;
  lit(): boolean;
  /** Energy that went through the lamp, mWh. */
  energyMilliwattHours(): number;
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

/**
 * @param loadWatts what the lamp draws while its relay is closed
 * @param map the meter's register map
 */
export async function raisePole(loadWatts: number, map = "sdm120"): Promise<Pole> {
  const folder = mkdtempSync(join(tmpdir(), "pole-"));
  const tree = makeTree();
  tree.led("lamp", 1);
  const brightness = join(tree.root, "class/leds/lamp/brightness");
  const meter = new MeterImage(openRegisterMap(map), 0, () => performance.now());
  const slaves = new Map([[1, meter]]);
  const lit = () => readFileSync(brightness, "utf8").trim() !== "0";
  const follow = () => meter.draw(existsSync(brightness) && lit() ? loadWatts * 1000 : 0);
  const following = setInterval(follow, FOLLOW_MS);
  const server = await listenAsMeter("tcp", 0, slaves);
  const config = join(folder, "device.toml");
  return {
    folder,
    config,
    tree,
    meterPort: server.port,
    slaves,
    meter,
    lit,
    energyMilliwattHours: () => {
      follow();
      return meter.energyMilliwattHours();
    },
    configure: (options: PoleOptions) =>
      writeFileSync(config, configOf(folder, tree.root, server.port, loadWatts, options)),
    remove: async () => {
      clearInterval(following);
      await server.close();
      tree.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
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
reading_ms = 1000
retry_first_ms = 200
retry_max_ms = 1000
`;
}
