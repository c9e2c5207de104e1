/**
 * From the `[lamp.driver]` table of a device's configuration to the lamp that it names.
 *
 * Promise: a table with a fault in it is refused whole, each fault named by its key, before anything is
 * touched; a look at a lamp changes no light, and says what was found or what to mend.
 */
import type { Random } from "#core/ports";
import { openDali } from "./dali/dali.ts";
import { openGpioLine } from "./gpio-line.ts";
import type { LampContext, LampDriver } from "./lamp-driver.ts";
import { openLed } from "./pwm/led.ts";
import { openAnalog, openPwm } from "./pwm/pwm.ts";
import { type LampSettings, readLampSettings } from "./settings.ts";
import { type SimulatedLamp, simulatedLamp } from "./simulated-lamp.ts";
import { SteadyLamp } from "./steady-lamp.ts";

export type { LampContext } from "./lamp-driver.ts";

/** The table as TOML gave it; null means simulated. */
type LampTable = Readonly<Record<string, unknown>> | null;

export interface OpenedLamp {
  readonly lamp: SteadyLamp;
  /** For a simulated meter; null when the lamp is a real one. */
  readonly simulated: SimulatedLamp | null;
}

/** What a look at the lamp found. */
interface LampProbe {
  readonly name: string;
  /** One line each, for people. */
  readonly found: readonly string[];
  /** What is wrong and how to mend it, in one line; null when all is well. */
  readonly trouble: string | null;
  /** What the light does when the runtime dies. */
  readonly afterDeath: string;
}

/** Opens the lamp that the table names, touching nothing yet. Throws one line for each fault of the table. */
export function openLamp(table: LampTable, context: LampContext, random: Random): OpenedLamp {
  const settings = readLampSettings(table ?? { kind: "simulated" });
  const simulated =
    settings.kind === "simulated" ? simulatedLamp(context.ratedMilliwatts, context.clock) : null;
  const driver = simulated === null ? openDriver(settings, context) : aroundSimulated(simulated);
  return { lamp: new SteadyLamp(driver, context.clock, random), simulated };
}

/** Looks at the lamp without changing its light. Throws only for faults of the table. */
export async function probeLamp(table: LampTable, context: LampContext): Promise<LampProbe> {
  const settings = readLampSettings(table ?? { kind: "simulated" });
  const driver = openDriver(settings, context);
  const { name, afterDeath } = driver;
  try {
    return { name, found: await driver.probe(), trouble: null, afterDeath };
  } catch (error) {
    return { name, found: [], trouble: (error as Error).message, afterDeath };
  } finally {
    await driver.close();
  }
}

function openDriver(settings: LampSettings, context: LampContext): LampDriver {
  switch (settings.kind) {
    case "simulated":
      return aroundSimulated(simulatedLamp(context.ratedMilliwatts, context.clock));
    case "led":
      return openLed(settings, context.sysfs);
    case "gpio":
      return openGpioLine(settings);
    case "pwm":
      return openPwm(settings, context);
    case "analog":
      return openAnalog(settings, context);
    case "dali":
      return openDali(settings, context);
  }
}

function aroundSimulated(lamp: SimulatedLamp): LampDriver {
  return {
    name: "simulated lamp",
    afterDeath: "is gone with the process",
    apply: (levelPercent) => {
      lamp.set(levelPercent);
      return undefined;
    },
    probe: async () => ["no hardware"],
    close: async () => {},
  };
}
