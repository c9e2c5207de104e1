/**
 * Which lights of a city are in which group of a scenario.
 *
 * Promise: the same city and seed give the same groups; no light is in two; a group has as many lights as
 * it asks for, or an error says how many were left.
 */
import { Watt402Error } from "#payment/watt402-error";
import type { City } from "../city/city.ts";
import { seededRandom } from "../city/random.ts";
import type { Group } from "./actions.ts";

/** Group of each light that is in one, by the light's name. */
export function membersOf(groups: readonly Group[], city: City): ReadonlyMap<string, string> {
  const members = new Map<string, string>();
  const draw = seededRandom(city.seed ^ 0x5ca1ab1e);
  const shuffled = city.lights
    .map((light) => ({ light, order: draw() }))
    .sort((left, right) => left.order - right.order)
    .map(({ light }) => light);
  for (const { name, pick } of groups) {
    const free = shuffled.filter((light) => !members.has(light.name));
    const fitting = pick.kind === "street" ? free.filter(({ street }) => street === pick.street) : free;
    const wanted = wantedOf(pick, city.lights.length, fitting.length);
    if (fitting.length < wanted || wanted === 0) {
      throw new Watt402Error(
        "file-invalid",
        `group "${name}": expected ${Math.max(1, wanted)} lights${pick.kind === "street" ? ` on ${pick.street}` : ""}, ` +
          `found ${fitting.length} of ${city.lights.length} not in a group before; use more lights or smaller groups`,
      );
    }
    for (const light of fitting.slice(0, wanted)) members.set(light.name, name);
  }
  return members;
}

function wantedOf(pick: Group["pick"], all: number, fitting: number): number {
  switch (pick.kind) {
    case "share":
      return Math.max(1, Math.round(pick.share * all));
    case "count":
      return pick.count;
    case "street":
      return fitting;
  }
}
