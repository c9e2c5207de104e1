/**
 * A meter that this package does not know, by a register map of one's own: my-meter.json. The meter itself is a Modbus
 * slave of the simulator; a real one is reached by `serial = "/dev/ttyUSB0"` in the place of `tcp`.
 *
 *     npx tsx test/examples/custom-meter.ts
 */
import { fileURLToPath } from "node:url";
import { type Reading, systemClock } from "watt402/device";
import { openMeter, openRegisterMap, probeMeter } from "watt402/hardware";
import { listenAsMeter, MeterImage } from "watt402/simulator";

const MAP = fileURLToPath(new URL("my-meter.json", import.meta.url));
const SLAVE = 3;
const SHOWN_MILLIWATT_HOURS = 12_340_000;

const image = new MeterImage(openRegisterMap(MAP), SHOWN_MILLIWATT_HOURS, () => performance.now());
image.draw(60_000);
const server = await listenAsMeter("tcp", 0, new Map([[SLAVE, image]]));
try {
  // The table `[meter.driver]` of a device.toml, and what a host gives to every driver.
  const table = { kind: "modbus", map: MAP, tcp: `127.0.0.1:${server.port}`, slave: SLAVE };
  const surroundings = {
    clock: systemClock(),
    powerMaxMilliwatts: 1_000_000,
    stateDirectory: null,
    sysfsRoot: "/sys",
    simulatedLamp: null,
  };

  // What `watt402-device doctor` asks.
  const { name, location: place, found, trouble } = await probeMeter(table, surroundings);
  console.log(`${name}, ${place}: ${trouble ?? found.join(", ")}`);

  // What a machine's host is given as `meter`.
  const meter = openMeter(table, surroundings);
  const reading = await new Promise<Reading | null>((resolve) => meter.read(resolve));
  await meter.close();
  console.log(`the machine reads ${reading?.raw} mWh at ${reading?.powerMilliwatts} mW`);
} finally {
  await server.close();
}
