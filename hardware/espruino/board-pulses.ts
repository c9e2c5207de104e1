/**
 * Energy counted in edges on a pin: a meter's S0 output, or the CF output of HLW8012 and BL0937.
 *
 * Promise: each edge is counted once; power follows from the time between two and falls while the next one
 * does not come.
 */
import type { Reading } from "#core/events";

/** Without an edge for so long there is no load worth reporting. */
const IDLE_SECONDS = 600;

const MILLIWATT_SECONDS_PER_MILLIWATT_HOUR = 3600;

export class PulseCounter {
  private readonly milliwattHours: number;
  private readonly nowMs: () => number;
  private count = 0;
  private spacingSeconds = Infinity;
  private edgeSeconds = -Infinity;
  private heardAtMs = -Infinity;

  /** @param milliwattHours energy of one pulse */
  constructor(milliwattHours: number, nowMs: () => number) {
    this.milliwattHours = milliwattHours;
    this.nowMs = nowMs;
  }

  /** @param seconds when the edge was, by the board's own clock */
  edge(seconds: number): void {
    this.count++;
    this.spacingSeconds = seconds - this.edgeSeconds;
    this.edgeSeconds = seconds;
    this.heardAtMs = this.nowMs();
  }

  reading(): Reading {
    const silentSeconds = (this.nowMs() - this.heardAtMs) / 1000;
    const spacing = Math.max(this.spacingSeconds, silentSeconds);
    const isIdle = !(spacing > 0 && spacing <= IDLE_SECONDS);
    const power = isIdle ? 0 : (this.milliwattHours * MILLIWATT_SECONDS_PER_MILLIWATT_HOUR) / spacing;
    return { raw: Math.floor(this.count * this.milliwattHours), powerMilliwatts: Math.floor(power + 0.5) };
  }
}
