/**
 * A car at a charge point: a battery that takes less as it fills.
 *
 * Promise: it never takes more than it is allowed, nor more than its battery holds; below its least power it takes none.
 */
export interface CarModel {
  readonly capacityMilliwattHours: number;
  /** Most that its charger takes, milliwatts. */
  readonly maxMilliwatts: number;
  /** Below this it pauses (IEC 61851: 6 A), milliwatts. */
  readonly minMilliwatts: number;
  /** From this state of charge on it takes less, down to a tenth when full; 0..1. */
  readonly taperFrom: number;
}

export const COMPACT_CAR: CarModel = {
  capacityMilliwattHours: 50e6,
  maxMilliwatts: 11_040_000,
  minMilliwatts: 1_380_000,
  taperFrom: 0.8,
};

export class Car {
  readonly model: CarModel;
  #storedMilliwattHours: number;

  /** @param charged when it comes, 0..1 */
  constructor(model: CarModel, charged: number) {
    this.model = model;
    this.#storedMilliwattHours = model.capacityMilliwattHours * charged;
  }

  /** 0..1 */
  charged(): number {
    return this.#storedMilliwattHours / this.model.capacityMilliwattHours;
  }

  /** What it takes now of what is offered, milliwatts. */
  powerFor(offeredMilliwatts: number): number {
    const { maxMilliwatts, minMilliwatts, taperFrom } = this.model;
    const charged = this.charged();
    if (charged >= 1 || offeredMilliwatts < minMilliwatts) return 0;
    const left = charged <= taperFrom ? 1 : (1 - charged) / (1 - taperFrom);
    return Math.min(offeredMilliwatts, maxMilliwatts * Math.max(0.1, left));
  }

  take(milliwattHours: number): void {
    this.#storedMilliwattHours = Math.min(
      this.model.capacityMilliwattHours,
      this.#storedMilliwattHours + milliwattHours,
    );
  }
}
