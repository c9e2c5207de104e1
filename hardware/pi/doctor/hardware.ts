/** The doctor's looks at meter and lamp. Promise: no light changes, nothing is counted. */
import type { Clock } from "#core/ports";
import type { DeviceConfig } from "#node/config/device-config";
import { checkCharger } from "../../charger/open-charger.ts";
import { probeLamp } from "../../lamps/open-lamp.ts";
import { simulatedLamp } from "../../lamps/simulated-lamp.ts";
import { probeMeter } from "../../meters/open-meter.ts";
import { chargerTable, lampContext, meterContext } from "../meter-and-lamp.ts";
import { type Check, doubtful, well, wrong } from "./check.ts";

export async function checkLamp(config: DeviceConfig, clock: Clock): Promise<Check> {
  try {
    const charger = chargerTable(config);
    if (charger !== null) {
      const { identity, host, port, range } = checkCharger(charger, config.wantedUnits);
      return well(
        "lamp",
        `charge point ${identity}, at most ${range.maxMilliwatts / 1000} W, is to connect to ${host}:${port}`,
      );
    }
    const { name, found, trouble, afterDeath } = await probeLamp(
      config.lampDriver,
      lampContext(config, clock),
    );
    if (trouble !== null) return wrong("lamp", trouble);
    const text = `${name}: ${found.join("; ")}; when the runtime dies it ${afterDeath}`;
    const losesItsLight = config.lampDriver?.kind === "gpio" && config.settings.policy.unpaid.kind !== "off";
    return losesItsLight
      ? doubtful(
          "lamp",
          `${text}; expected a lamp that can stay lit, as policy.unpaid asks, found a line that is released; ` +
            'use kind = "led"',
        )
      : well("lamp", text);
  } catch (error) {
    return wrong("lamp", (error as Error).message);
  }
}

export async function checkMeter(config: DeviceConfig, clock: Clock): Promise<Check> {
  if (config.charger !== null)
    return well("meter", "the charge point's own, seen by `status` once it is connected");
  const lamp = isSimulated(config.lampDriver) ? simulatedLamp(config.settings.ratedMilliwatts, clock) : null;
  try {
    const probe = await probeMeter(config.meterDriver, meterContext(config, clock, lamp));
    if (probe.trouble !== null) return wrong("meter", probe.trouble);
    return well("meter", `${probe.name}, ${probe.location}: ${probe.found.join(", ")}`);
  } catch (error) {
    return wrong("meter", (error as Error).message);
  }
}

function isSimulated(table: DeviceConfig["lampDriver"]): boolean {
  return table === null || table.kind === "simulated";
}
