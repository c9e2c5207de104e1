/**
 * The registers of a meter that is not there: a map of hardware/meters turned round.
 *
 * Promise: its counter is the exact integral of its power, so a driver that reads it sees what the load
 * drew; every register answers in the type, order and unit that the map says, and others as the meter
 * would: not at all.
 */

import { energyMilliwattHours } from "#core/units";
import {
  type MapRegister,
  portUnits,
  type Quantity,
  type RegisterMap,
  registersOf,
} from "#hardware/meters/modbus/register-map";
import { encodeWords } from "#hardware/meters/modbus/words";

const MAINS_MILLIVOLTS = 230_000;
const MAINS_MILLIHERTZ = 50_000;

export class MeterImage {
  readonly map: RegisterMap;
  private readonly nowMs: () => number;
  private powerMilliwatts = 0;
  private energy: number;
  private sinceMs: number;

  /** @param startMilliwattHours what the counter shows at first */
  constructor(map: RegisterMap, startMilliwattHours: number, nowMs: () => number) {
    this.map = map;
    this.nowMs = nowMs;
    this.energy = startMilliwattHours;
    this.sinceMs = nowMs();
  }

  /** From now on the load draws this. */
  draw(powerMilliwatts: number): void {
    this.energyMilliwattHours();
    this.powerMilliwatts = powerMilliwatts;
  }

  energyMilliwattHours(): number {
    const nowMs = this.nowMs();
    this.energy += energyMilliwattHours(this.powerMilliwatts, nowMs - this.sinceMs);
    this.sinceMs = nowMs;
    return this.energy;
  }

  /**
   * The words of `count` registers from `address`; null where the meter has none, or not so.
   * Registers between known ones read 0, as Eastron's do.
   */
  words(area: MapRegister["area"], address: number, count: number): number[] | null {
    const { pairsOnly, readMax } = this.map;
    if (count > readMax || (pairsOnly && (address % 2 === 1 || count % 2 === 1))) return null;
    const image = this.image(area);
    const within = [...image.keys()].some((key) => key >= address && key < address + count);
    return within ? Array.from({ length: count }, (_, index) => image.get(address + index) ?? 0) : null;
  }

  private image(area: MapRegister["area"]): Map<number, number> {
    const image = new Map<number, number>();
    for (const { quantity, register } of registersOf(this.map)) {
      if (register.area !== area) continue;
      const value = this.shown(quantity) / portUnits(quantity, register.unit) / register.scale;
      for (const [index, word] of encodeWords(register, value).entries()) {
        image.set(register.address + index, word);
      }
    }
    return image;
  }

  private shown(quantity: Quantity): number {
    switch (quantity) {
      case "energy": {
        const { rollOverAt, unit } = this.map.registers.energy;
        const wrap = rollOverAt * portUnits("energy", unit);
        const energy = this.energyMilliwattHours();
        return wrap > 0 ? energy % wrap : energy;
      }
      case "power":
        return this.powerMilliwatts;
      case "voltage":
        return MAINS_MILLIVOLTS;
      case "current":
        return Math.abs(this.powerMilliwatts / MAINS_MILLIVOLTS) * 1000;
      case "frequency":
        return MAINS_MILLIHERTZ;
    }
  }
}
