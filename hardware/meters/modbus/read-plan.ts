/**
 * Which requests bring all registers of a map: few, and none larger than the meter answers.
 *
 * Promise: every register lies whole in one request, so no value is torn between two moments.
 */
import { type MapRegister, type RegisterMap, registersOf, TYPE_WORDS } from "./register-map.ts";

export interface ReadRequest {
  readonly area: MapRegister["area"];
  readonly address: number;
  /** Registers. */
  readonly count: number;
}

export function planReads(map: RegisterMap): ReadRequest[] {
  const placed = registersOf(map)
    .map(({ register }) => register)
    .sort((left, right) => left.area.localeCompare(right.area) || left.address - right.address);
  const plan: ReadRequest[] = [];
  for (const { area, address, type } of placed) {
    const end = address + TYPE_WORDS[type];
    const last = plan.at(-1);
    const joins =
      last?.area === area &&
      address - (last.address + last.count) <= map.gapMax &&
      end - last.address <= map.readMax;
    if (joins) plan[plan.length - 1] = { ...last, count: end - last.address };
    else plan.push({ area, address, count: end - address });
  }
  return plan;
}
