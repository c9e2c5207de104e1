/**
 * What one OCPP MeterValue says of energy and power, whatever form a charge point gives it.
 *
 * Promise: energy is the import register in whole milliwatt-hours and power in whole milliwatts, from Wh or kWh, with
 * any multiplier, as one total or as the sum of the phases; a value that is no finite number within a counter's range,
 * a signed one, and one of another measurand are left out.
 */
import { isCounter } from "#core/units";

/** One SampledValue of OCPP 1.6 (value as text, unit) or of 2.x (value as number, unitOfMeasure). */
export interface SampledValue {
  readonly value: string | number;
  readonly measurand?: string;
  readonly phase?: string;
  readonly location?: string;
  readonly format?: string;
  readonly unit?: string;
  readonly unitOfMeasure?: { readonly unit?: string; readonly multiplier?: number };
}

/** One MeterValue: its register and power; null where it shows none. */
export interface MeterValue {
  readonly energyMilliwattHours: number | null;
  readonly powerMilliwatts: number | null;
}

const ENERGY = "Energy.Active.Import.Register";
const POWER = "Power.Active.Import";

/** Thousandths in one of each unit. */
const THOUSANDTHS: Readonly<Record<string, number>> = { Wh: 1000, kWh: 1e6, W: 1000, kW: 1e6 };

/** Values of one MeterValue that are looked at; the rest is left out. */
const VALUES_MAX = 128;

export function readMeterValue(values: readonly SampledValue[]): MeterValue {
  const seen = values.slice(0, VALUES_MAX);
  return {
    energyMilliwattHours: quantityOf(seen, ENERGY, "Wh"),
    powerMilliwatts: quantityOf(seen, POWER, "W"),
  };
}

function quantityOf(values: readonly SampledValue[], measurand: string, unit: string): number | null {
  const all = values.filter(
    (value) => (value.measurand ?? ENERGY) === measurand && value.format !== "SignedData",
  );
  const atOutlet = all.filter(({ location }) => location === undefined || location === "Outlet");
  const known = atOutlet.length > 0 ? atOutlet : all;
  const total = known.find(({ phase }) => phase === undefined);
  if (total !== undefined) return thousandthsOf(total, unit);
  const phases = ["L1", "L2", "L3"].flatMap(
    (line) => known.find(({ phase }) => phase === line || phase === `${line}-N`) ?? [],
  );
  if (phases.length === 0) return null;
  let sum = 0;
  for (const phase of phases) {
    const value = thousandthsOf(phase, unit);
    if (value === null) return null;
    sum += value;
  }
  return sum;
}

function thousandthsOf(sampled: SampledValue, unit: string): number | null {
  const given = sampled.unit ?? sampled.unitOfMeasure?.unit ?? unit;
  const scale = THOUSANDTHS[given];
  if (scale === undefined) return null;
  const text = String(sampled.value).trim();
  if (text === "") return null;
  const multiplier = 10 ** (sampled.unitOfMeasure?.multiplier ?? 0);
  const value = Math.round(Number(text) * scale * multiplier);
  return isCounter(Math.max(0, value)) ? Math.max(0, value) : null;
}
