/**
 * What a simulated charge point's meter shows of the energy that was really delivered.
 *
 * Promise: exact, but for what goes wrong with it on request; a meter that stands, errs or is silent is right again once it
 * is mended, one that began at 0 again stays so.
 */
import type { ShownMeter } from "./station-voice.ts";

/** Reports in a row that show a lower register, and how much lower. */
const BACKWARDS_REPORTS = 4;
const BACKWARDS_MILLIWATT_HOURS = 500_000;

export class StationMeter {
  readonly #perTransaction: boolean;
  /** Delivered when its register was 0, milliwatt-hours. */
  #countsFrom: number;
  #backwards = 0;
  #extra = 0;
  #silent = false;
  #stuck: number | null = null;
  /** Times that its register began at 0 anew. */
  restarts = 0;

  /** @param initial what it shows at first, milliwatt-hours @param perTransaction it begins at 0 with each of them */
  constructor(initial: number, perTransaction: boolean) {
    this.#countsFrom = -initial;
    this.#perTransaction = perTransaction;
  }

  /** A transaction begins. */
  begin(delivered: number): void {
    if (this.#perTransaction) this.reset(delivered);
  }

  /** What it shows now. */
  shown(delivered: number, powerMilliwatts: number, atSeconds: number): ShownMeter {
    if (this.#stuck !== null) return { energyMilliwattHours: this.#stuck, powerMilliwatts, atSeconds };
    const lower = this.#backwards > 0 ? BACKWARDS_MILLIWATT_HOURS : 0;
    const energy = delivered - this.#countsFrom + this.#extra - lower;
    return { energyMilliwattHours: Math.max(0, energy), powerMilliwatts, atSeconds };
  }

  /** True when it is to be reported now. */
  reports(): boolean {
    if (this.#backwards > 0) this.#backwards--;
    return !this.#silent;
  }

  // ---- what goes wrong ----

  /** Only where it is seen to fall: what it hides while it stands, or shows of 0, comes back as a leap that nothing explains. */
  goBackwards(delivered: number): void {
    if (this.#stuck !== null || delivered - this.#countsFrom < 2 * BACKWARDS_MILLIWATT_HOURS) return;
    this.#backwards = BACKWARDS_REPORTS;
  }

  /** Its register stands where it is, whatever flows; the power is shown. */
  stick({ energyMilliwattHours }: ShownMeter): void {
    this.#stuck = energyMilliwattHours;
  }

  silence(): void {
    this.#silent = true;
  }

  /** Shows more than it counted. */
  exceed(milliwattHours: number): void {
    this.#extra = milliwattHours;
  }

  /** Its register begins at 0 again. */
  reset(delivered: number): void {
    this.#countsFrom = delivered;
    this.restarts++;
  }

  get isRight(): boolean {
    return this.#stuck === null && this.#extra === 0 && this.#backwards === 0;
  }

  get isSilent(): boolean {
    return this.#silent;
  }

  mend(): void {
    this.#stuck = null;
    this.#extra = 0;
    this.#silent = false;
  }
}
