/** What the oracle keeps of one light: what it saw it do, never what it says. */
import type { Light } from "../actors/device.ts";
import { PricesHeard } from "./prices-heard.ts";

export interface Observations {
  readonly light: Light;
  register: number;
  /** Rungs published, by channel tag and amount, with their signatures. */
  readonly rungs: Map<string, string>;
  readonly highestRung: Map<number, number>;
  /** Units sold to it, over all channels, each rung once. */
  soldUnits: number;
  largestSaleUnits: number;
  signedByDay: Map<number, number>;
  readonly prices: PricesHeard;
  darkSinceMs: number | null;
  channelIds: Set<string>;
}

export function newObservations(light: Light): Observations {
  return {
    light,
    register: 0,
    rungs: new Map(),
    highestRung: new Map(),
    soldUnits: 0,
    largestSaleUnits: 0,
    signedByDay: new Map(),
    prices: new PricesHeard(light.site.settings.policy.priceCeiling),
    darkSinceMs: null,
    channelIds: new Set(),
  };
}
