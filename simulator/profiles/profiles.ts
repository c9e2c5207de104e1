/** The profiles by name, and which device of a run has which. */
import { Watt402Error } from "#payment/watt402-error";
import { COMPUTE } from "./compute.ts";
import { ROAD_DATA } from "./driving-car.ts";
import { EV_CHARGER } from "./ev-charger.ts";
import type { Profile } from "./profile.ts";
import { SESSION } from "./saas.ts";
import { STREETLIGHT } from "./streetlight.ts";

export const PROFILES: readonly Profile[] = [STREETLIGHT, EV_CHARGER, COMPUTE, SESSION, ROAD_DATA];

export const PROFILE_NAMES: readonly string[] = PROFILES.map(({ name }) => name);

/** Those that a world can play in virtual time. */
export const WORLD_PROFILE_NAMES: readonly string[] = PROFILES.filter(
  ({ load, charger }) => load !== null || charger !== undefined,
).map(({ name }) => name);

/** @param name one of PROFILE_NAMES */
export function profileNamed(name: string, known: readonly Profile[] = PROFILES): Profile {
  const found = known.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new Watt402Error(
    "value-invalid",
    `profile: expected one of ${PROFILE_NAMES.join(", ")}, found ${name}`,
  );
}

/** One profile for each unit, in their order: its goods and tariff are those of the unit's seller. Those with sellers of their own are none. */
export function soldBy(profiles: readonly Profile[]): Profile[] {
  const units = new Map<string, Profile>();
  for (const profile of profiles) {
    const isShared = profile.sellers === undefined && !units.has(profile.goods.unit);
    if (isShared) units.set(profile.goods.unit, profile);
  }
  return [...units.values()];
}
