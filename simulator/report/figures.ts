/**
 * Numbers as people read them, each with its unit; and text that is safe inside HTML.
 */

/** Text from anywhere, a street's name from a stranger's file included, as HTML text or attribute. */
export function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/** Between a number and its unit: never the end of a line. */
const NO_BREAK = "\u00a0";

/** 12345.6 as "12,346": at most `digits` behind the point, groups of three before it. */
export function decimal(value: number, digits = 0): string {
  return new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
}

/** Atomic units of a dollar token, to the last one: "$1.234567". */
export function dollars(atomic: number): string {
  return `$${(atomic / 1e6).toLocaleString("en", { minimumFractionDigits: 6, maximumFractionDigits: 6 })}`;
}

/** The same for a headline: from a hundred dollars on, cents are enough. */
export function roundDollars(atomic: number): string {
  if (atomic < 100e6) return dollars(atomic);
  return `$${(atomic / 1e6).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

const SCALES = [
  { factor: 1e9, prefix: "M" },
  { factor: 1e6, prefix: "k" },
  { factor: 1e3, prefix: "" },
  { factor: 1, prefix: "m" },
];

/** Milliwatts or milliwatt-hours in the prefix that suits: "1.68 kWh". */
export function inUnits(milli: number, unit: "W" | "Wh"): string {
  if (milli === 0) return `0${NO_BREAK}${unit}`;
  const { factor, prefix } = SCALES.find((scale) => Math.abs(milli) >= scale.factor) ?? SCALES.at(-1)!;
  const value = milli / factor;
  return `${decimal(value, Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0)}${NO_BREAK}${prefix}${unit}`;
}

/** Seconds as "42 s", "4 min 47 s" or "3 h 5 min"; "0 s" for none. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${decimal(seconds, seconds < 10 ? 1 : 0)}${NO_BREAK}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60)
    return `${minutes}${NO_BREAK}min${seconds % 60 >= 1 ? ` ${Math.floor(seconds % 60)}${NO_BREAK}s` : ""}`;
  return `${decimal(Math.floor(minutes / 60))}${NO_BREAK}h${minutes % 60 > 0 ? ` ${minutes % 60}${NO_BREAK}min` : ""}`;
}

/** A clock for one time zone: Unix seconds to "21:05". */
export function clockIn(timeZone: string): (seconds: number) => string {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit" });
  return (seconds) => format.format(seconds * 1000);
}

/** Unix seconds to "15 January 2026" in a time zone. */
export function dateIn(timeZone: string, seconds: number): string {
  const options = { timeZone, day: "numeric", month: "long", year: "numeric" } as const;
  return new Intl.DateTimeFormat("en-GB", options).format(seconds * 1000);
}

/** Round values from 0 (or below) to above the largest, three to five of them. */
export function ticks(least: number, most: number): number[] {
  const span = Math.max(most - least, Number.EPSILON);
  const rough = span / 4;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * magnitude).find((one) => one >= rough)!;
  const first = Math.floor(least / step);
  const count = Math.ceil(most / step - 1e-9) - first;
  return Array.from({ length: Math.max(1, count) + 1 }, (_, index) => (first + index) * step);
}
