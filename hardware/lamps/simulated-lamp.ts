/**
 * A lamp that is not there: it draws what its rating and level say, and knows how much it drew.
 *
 * Promise: its energy is the exact integral of its power over the clock's time.
 */
import type { Clock, Lamp } from "#core/ports";
import { energyMilliwattHours } from "#core/units";

export interface SimulatedLamp extends Lamp {
  powerMilliwatts(): number;
  /** Since it was made, not rounded. */
  energyMilliwattHours(): number;
}

/** @param ratedMilliwatts power at full light */
export function simulatedLamp(ratedMilliwatts: number, clock: Clock): SimulatedLamp {
  let levelPercent = 0;
  let drawn = 0;
  let sinceMs = clock.nowMs();
  const power = () => (ratedMilliwatts * levelPercent) / 100;
  const integrate = () => {
    const nowMs = clock.nowMs();
    drawn += energyMilliwattHours(power(), nowMs - sinceMs);
    sinceMs = nowMs;
    return drawn;
  };
  return {
    set: (level) => {
      integrate();
      levelPercent = level;
    },
    powerMilliwatts: power,
    energyMilliwattHours: integrate,
  };
}
