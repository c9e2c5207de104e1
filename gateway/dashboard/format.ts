/** Numbers as people read them: few digits, always a unit. */
import type { Answer } from "../http/answers.ts";

export interface Units {
  readonly symbol: string;
  readonly decimals: number;
  readonly unit: string;
  /** Of the token, where the fleet pays in several; else empty. */
  readonly network: string;
}

/** The tokens that a fleet pays in, by their index and by their names. */
export class TokenUnits {
  readonly #tokens: readonly (Units & { readonly asset: string; readonly chain: string })[];

  constructor({ tokens, unit }: Pick<Answer<"Fleet">, "tokens" | "unit">) {
    const network = (chain: string) => (tokens.length > 1 ? chain : "");
    this.#tokens = tokens.map(({ symbol, decimals, asset, network: chain }) => ({
      ...{ symbol, decimals, unit, asset, chain, network: network(chain) },
    }));
  }

  /** The first one's where there is no such token. */
  at(index: number): Units {
    return this.#tokens[index] ?? this.#tokens[0] ?? FIRST;
  }

  of({ network, asset }: { readonly network: string | null; readonly asset: string | null }): Units {
    const token = this.#tokens.findIndex(
      (one) => one.chain === network && one.asset.toLowerCase() === asset?.toLowerCase(),
    );
    return this.at(token);
  }
}

/** Before the gateway said what it pays in. */
const FIRST: Units = { symbol: "USDC", decimals: 6, unit: "mWh", network: "" };

function digits(value: number, most = 3): string {
  const places = Math.max(0, most - Math.max(1, Math.floor(Math.log10(Math.abs(value) || 1)) + 1));
  return value.toLocaleString("en", { maximumFractionDigits: places });
}

export function money(atomic: number, { symbol, decimals }: Units): string {
  const value = atomic / 10 ** decimals;
  const small = Math.abs(value) < 1 && value !== 0;
  // At least two places, as money is written, and more only where they say something.
  const shown = value.toFixed(small ? Math.min(decimals, 6) : 2).replace(/(\.\d\d\d*?)0+$/, "$1");
  return symbol === "USDC" ? `$${shown}` : `${shown} ${symbol}`;
}

/** Value and unit apart, for figures with a small unit. */
export function power(milliwatts: number): readonly [string, string] {
  const watts = milliwatts / 1000;
  if (watts >= 1_000_000) return [digits(watts / 1_000_000), "MW"];
  return watts >= 1_000 ? [digits(watts / 1_000), "kW"] : [digits(watts), "W"];
}

/** What a load uses at this moment: power for mWh, else units per second. @param perHour as in readings */
export function rate(perHour: number, unit: string): readonly [string, string] {
  return unit === "mWh" ? power(perHour) : [digits(perHour / 3600), `${unit}/s`];
}

export function energy(units: number, unit: string): string {
  if (unit !== "mWh") return `${units.toLocaleString("en")} ${unit}`;
  const wattHours = units / 1000;
  return wattHours >= 1000 ? `${digits(wattHours / 1000, 4)} kWh` : `${digits(wattHours)} Wh`;
}

/** Voltage, current and frequency where the meter has them, or why its look was not metered. */
export function meterShows(light: {
  readonly voltageMillivolts: number | null;
  readonly currentMilliamps: number | null;
  readonly frequencyMillihertz: number | null;
  readonly meterQuality: "good" | "suspect" | "stale" | null;
}): string {
  if (light.meterQuality === "stale") return "nothing";
  if (light.meterQuality === "suspect") return "what cannot be";
  const values = [
    [light.voltageMillivolts, "V"],
    [light.currentMilliamps, "A"],
    [light.frequencyMillihertz, "Hz"],
  ] as const;
  const known = values.flatMap(([value, unit]) =>
    value === null ? [] : [`${digits(value / 1000, 4)} ${unit}`],
  );
  return known.length === 0 ? "–" : known.join(", ");
}

/** The price of a million metered units: for mWh, of a kilowatt-hour. */
export function price(perMillion: number, units: Units): readonly [string, string] {
  return [money(perMillion, units), units.unit === "mWh" ? "/kWh" : `/10⁶ ${units.unit}`];
}

export function daysLeft(days: number | null): string {
  if (days === null) return "–";
  if (days < 1) return `${digits(days * 24, 2)} h left`;
  if (days > 999) return "years left";
  return days < 1.05 ? "1 day left" : `${digits(days, 2)} days left`;
}

export function ago(seconds: number, nowSeconds: number): string {
  if (seconds === 0) return "never";
  const since = Math.max(0, Math.round(nowSeconds - seconds));
  if (since < 60) return `${since} s ago`;
  if (since < 3600) return `${Math.floor(since / 60)} min ago`;
  return since < 172_800 ? `${Math.floor(since / 3600)} h ago` : `${Math.floor(since / 86_400)} days ago`;
}

export function clockTime(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

/** What a condition means to a person. */
export const MEANING = {
  starved: "starved: should be lit and is not paid for",
  lost: "lost: the connection broke",
  new: "heard, not yet known",
  dark: "off, as it should be",
  lit: "lit and paid",
} as const;
