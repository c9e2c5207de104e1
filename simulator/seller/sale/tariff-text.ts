// Tariffs as people keep them: a price series in CSV, windows of a day in TOML. Every complaint names the
// line or key, what was expected and what was found.

import { z } from "zod";
import { cut, shown } from "#node/config/shown";
import { parseToml } from "#node/config/toml";
import {
  boundedPrice,
  type PricePoint,
  seriesTariff,
  type Tariff,
  TariffError,
  timeOfUseTariff,
} from "./tariff.ts";

/** Longest series read: ten years of hours. */
const MAX_SERIES_LINES = 87_700;

/** Of such a file. */
export const SERIES_BYTES_MAX = 8 * 1024 * 1024;

/**
 * A series from CSV with the header `start,price` (atomic units per million metered units) or
 * `start,eur_per_mwh` (exchange prices). `start` is ISO 8601 with a zone (`2026-11-01T00:00:00Z`), rising, in
 * steps of an hour, a quarter or whatever they are. Lines that begin with # are remarks.
 *
 * One EUR/MWh is EUR 0.001 per kWh; with `tokensPerEuro` whole tokens of 10^6 atomic units to a euro
 * (default 1) that is 1000 atomic units per kWh, so price = EUR/MWh x 1000 x tokensPerEuro. Negative
 * exchange prices become the floor: a buyer is never paid.
 */
export function tariffFromCsv(text: string, options: { readonly tokensPerEuro?: number } = {}): Tariff {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const headerIndex = Math.max(
    0,
    lines.findIndex((line) => !line.startsWith("#")),
  );
  const header = lines[headerIndex]!.trim().toLowerCase();
  const factor = factorOf(header, headerIndex + 1, options.tokensPerEuro ?? 1);
  if (lines.length > MAX_SERIES_LINES) {
    throw new TariffError(`csv: expected at most ${MAX_SERIES_LINES} lines, found ${lines.length}`);
  }
  const points: PricePoint[] = [];
  lines.forEach((line, index) => {
    if (index <= headerIndex || line.trim() === "" || line.startsWith("#")) return;
    const where = `csv line ${index + 1}`;
    const fields = line.split(",").map((field) => field.trim());
    if (fields.length !== 2) {
      throw new TariffError(
        `${where}: expected 2 fields "${header}", found ${fields.length} in ${shown(line)}`,
      );
    }
    const startSeconds = secondsOf(fields[0]!, where);
    const previous = points.at(-1);
    if (previous !== undefined && startSeconds <= previous.startSeconds) {
      throw new TariffError(
        `${where}: expected a start later than the line before, found ${shown(fields[0])}`,
      );
    }
    const price = numberOf(fields[1]!, where);
    points.push({ startSeconds, pricePerMillionUnits: boundedPrice(price * factor, where) });
  });
  if (points.length === 0)
    throw new TariffError("csv: expected at least one price under the header, found none");
  return seriesTariff(points);
}

const minuteOfDay = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, "expected a local time such as 22:00")
  .transform((time) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3)));

const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

const timeOfUse = z.strictObject({
  timeZone: z.string(),
  otherwisePricePerMillionUnits: z.number(),
  window: z.array(
    z.strictObject({
      from: minuteOfDay,
      to: minuteOfDay,
      days: z.array(z.enum(WEEKDAYS)).optional(),
      pricePerMillionUnits: z.number(),
    }),
  ),
});

/** Windows from TOML: `timeZone`, `otherwisePricePerMillionUnits`, and `[[window]]` from, to, days, pricePerMillionUnits. */
export function tariffFromToml(text: string): Tariff {
  let document: unknown;
  try {
    document = parseToml(text, "toml");
  } catch (error) {
    throw new TariffError((error as Error).message);
  }
  const read = timeOfUse.safeParse(document);
  if (!read.success) {
    const issue = read.error.issues[0]!;
    throw new TariffError(`toml ${cut(issue.path.join(".")) || "document"}: ${cut(issue.message, 200)}`);
  }
  return timeOfUseTariff({
    timeZone: read.data.timeZone,
    otherwisePricePerMillionUnits: read.data.otherwisePricePerMillionUnits,
    windows: read.data.window.map((window) => ({
      fromMinute: window.from,
      toMinute: window.to,
      ...(window.days === undefined ? {} : { weekdays: window.days.map((day) => WEEKDAYS.indexOf(day)) }),
      pricePerMillionUnits: window.pricePerMillionUnits,
    })),
  });
}

function factorOf(header: string, line: number, tokensPerEuro: number): number {
  if (header === "start,price") return 1;
  if (header === "start,eur_per_mwh") return 1000 * tokensPerEuro;
  throw new TariffError(
    `csv line ${line}: expected "start,price" or "start,eur_per_mwh", found ${shown(header)}`,
  );
}

function secondsOf(field: string, where: string): number {
  const zoned = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(field);
  const milliseconds = zoned ? Date.parse(field) : Number.NaN;
  if (Number.isNaN(milliseconds)) {
    throw new TariffError(`${where}: expected a start such as 2026-11-01T00:00:00Z, found ${shown(field)}`);
  }
  return Math.floor(milliseconds / 1000);
}

function numberOf(field: string, where: string): number {
  if (!/^-?\d+(\.\d+)?$/.test(field)) {
    throw new TariffError(`${where}: expected a price such as 200000 or -4.95, found ${shown(field)}`);
  }
  return Number(field);
}
