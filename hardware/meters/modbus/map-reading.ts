/**
 * From the words of a map's registers to a reading, or to what is wrong with them.
 *
 * Promise: no value outside the map's range, or of more power than the supply carries, gets past; words
 * that make sense only in another order are named as that, with the line to change.
 */
import type { Reading } from "#core/events";
import { isCounter } from "#core/units";
import { powerFault } from "../physical-range.ts";
import { type MapRegister, portUnits, type Quantity, type RegisterMap, registersOf } from "./register-map.ts";
import { decodeWords } from "./words.ts";

/** The words of one register as the meter gave them. */
export type WordsOf = (register: MapRegister) => readonly number[];

type ReadingOrFault =
  | { readonly reading: Reading; readonly fault: null }
  | { readonly reading: null; readonly fault: string };

/** Floats nearer to zero than this are no measurement: they are words in the wrong order. */
const TINY = 1e-20;

export function readingOf(map: RegisterMap, wordsOf: WordsOf, powerMaxMilliwatts: number): ReadingOrFault {
  const values = new Map(
    registersOf(map).map(({ quantity, register }) => [
      quantity,
      { register, value: scaledValue(register, wordsOf) },
    ]),
  );
  for (const [quantity, { register, value }] of values) {
    if (isWithin(register, value)) continue;
    const [low, high] = register.range;
    const found = `${quantity}: expected ${low}..${high} ${register.unit}, found ${shown(value)} ${register.unit}`;
    return {
      reading: null,
      fault: `${found}; ${otherOrder(map, wordsOf) ?? "the value is refused: is the map right for this meter?"}`,
    };
  }
  const inPort = (quantity: Quantity) => {
    const found = values.get(quantity);
    return found === undefined ? undefined : found.value * portUnits(quantity, found.register.unit);
  };
  const power = inPort("power")!;
  const fault = powerFault(power, powerMaxMilliwatts);
  if (fault !== null) return { reading: null, fault };
  const raw = Math.round(inPort("energy")!);
  if (!isCounter(raw))
    return { reading: null, fault: `energy: expected a counter below 2^48 mWh, found ${raw}` };
  return {
    fault: null,
    reading: {
      raw,
      powerMilliwatts: Math.max(0, Math.round(power)),
      ...rounded("voltageMillivolts", inPort("voltage")),
      ...rounded("currentMilliamps", inPort("current")),
      ...rounded("frequencyMillihertz", inPort("frequency")),
      quality: { kind: "good" },
    },
  };
}

/** Step of a float32 counter at its present value, mWh; 0 for exact types. */
export function counterStepMilliwattHours(map: RegisterMap, raw: number): number {
  const { type, scale, unit } = map.registers.energy;
  if (type !== "float32") return 0;
  const each = scale * portUnits("energy", unit);
  return 2 ** (Math.floor(Math.log2(Math.max(1, raw / each))) - 23) * each;
}

function scaledValue(register: MapRegister, wordsOf: WordsOf): number {
  return decodeWords(register, wordsOf(register)) * register.scale;
}

function isWithin({ type, range }: MapRegister, value: number): boolean {
  if (type.startsWith("float") && value !== 0 && Math.abs(value) < TINY) return false;
  return value >= range[0] && value <= range[1];
}

/** The order in which every value of the map would be right, as a remedy. */
function otherOrder(map: RegisterMap, wordsOf: WordsOf): string | null {
  const orders = ["high-first", "low-first"] as const;
  for (const wordOrder of orders) {
    for (const byteOrder of orders) {
      const turned = registersOf(map).map(({ register }) => ({ ...register, wordOrder, byteOrder }));
      if (!turned.every((register) => isWithin(register, scaledValue(register, wordsOf)))) continue;
      return `all values are right with wordOrder "${wordOrder}" and byteOrder "${byteOrder}": set these in the register map`;
    }
  }
  return null;
}

function shown(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function rounded<Name extends string>(name: Name, value: number | undefined): { [key in Name]?: number } {
  if (value === undefined) return {};
  return { [name]: Math.max(0, Math.round(value)) } as { [key in Name]?: number };
}
