/**
 * A lamp on a DALI bus.
 *
 * Promise: after each level, and between levels, the gear is asked whether it and its lamp are well. Gear keeps its level when
 * this process dies; when the bus loses its power it goes to the system failure level stored in it.
 */

import { Watt402Error } from "#payment/watt402-error";
import type { LampContext, LampDriver } from "../lamp-driver.ts";
import { codeOf } from "../pwm/sysfs.ts";
import type { DaliSettings } from "../settings.ts";
import {
  arcLevel,
  commandFrame,
  gearTrouble,
  hasForgotten,
  LAST_ADDRESS,
  levelFrame,
  QUERY_ACTUAL_LEVEL,
  QUERY_POWER_ON_LEVEL,
  QUERY_STATUS,
  QUERY_SYSTEM_FAILURE_LEVEL,
  storedLevel,
} from "./dali-gear.ts";
import { type DaliBus, HAT_BAUD, openDaliHat, type SerialLines } from "./dali-hat.ts";
import { openSerialLines } from "./serial-lines.ts";

/** @param openLines opens the port; a test gives another */
export function openDali(
  { serial, address, dimming }: DaliSettings,
  { clock }: LampContext,
  openLines: (path: string, baudRate: number) => Promise<SerialLines> = openSerialLines,
): LampDriver {
  const name = `DALI ${address < 0 ? "broadcast" : `address ${address}`} on ${serial}`;
  let port: { readonly lines: SerialLines; readonly bus: DaliBus } | null = null;
  let takeLost: (trouble: string) => void = () => {};

  const bus = async (): Promise<DaliBus> => {
    if (port !== null) return port.bus;
    let lines: SerialLines;
    try {
      lines = await openLines(serial, HAT_BAUD);
    } catch (error) {
      throw new Watt402Error(
        "unreachable",
        `${name}: expected to open the serial port, found ${codeOf(error)}; check lamp.driver.serial, ` +
          "that enable_uart=1 is in config.txt, and that this user is in the group dialout",
      );
    }
    port = { lines, bus: openDaliHat(name, lines, clock) };
    lines.onGone((found) => {
      port = null;
      takeLost(`${name}: expected the serial port to stay, found: ${found}; check the HAT`);
    });
    return port.bus;
  };

  const ask = async (opcode: number): Promise<number> => {
    const answer = await (await bus()).send(commandFrame(address, opcode));
    if (answer !== null) return answer;
    throw new Watt402Error(
      "unreachable",
      `${name}: expected an answer of the control gear, found none; check its mains, the bus wires and lamp.driver.address`,
    );
  };
  const expectWell = async (): Promise<void> => {
    // Several gears answer a broadcast at once, and no answer can be read.
    if (address < 0) return;
    checkGear(await ask(QUERY_STATUS));
  };
  const checkGear = (status: number): void => {
    const trouble = gearTrouble(status);
    if (trouble !== null)
      throw new Watt402Error("unreachable", `${name}: expected gear and lamp to be well, found ${trouble}`);
  };

  return {
    name,
    afterDeath: "keeps its level; without bus power it goes to the system failure level stored in the gear",
    apply: async (levelPercent) => {
      await (await bus()).send(levelFrame(address, arcLevel(levelPercent, dimming)));
      await expectWell();
    },
    check: async () => {
      if (address < 0) {
        await (await bus()).send(commandFrame(LAST_ADDRESS, QUERY_STATUS));
        return;
      }
      const status = await ask(QUERY_STATUS);
      checkGear(status);
      if (!hasForgotten(status)) return;
      throw new Watt402Error(
        "unreachable",
        `${name}: expected the gear to keep its level, found that its mains was away; the level is set anew`,
      );
    },
    probe: async () => {
      await bus();
      if (address < 0) return ["the HAT is there; gear is not asked when all of it is addressed at once"];
      await expectWell();
      return [
        `now ${storedLevel(await ask(QUERY_ACTUAL_LEVEL))}`,
        `without bus power: ${storedLevel(await ask(QUERY_SYSTEM_FAILURE_LEVEL))}`,
        `when its mains comes back: ${storedLevel(await ask(QUERY_POWER_ON_LEVEL))}`,
      ];
    },
    onLost: (take) => {
      takeLost = take;
    },
    close: async () => {
      const before = port;
      port = null;
      await before?.lines.close();
    },
  };
}
