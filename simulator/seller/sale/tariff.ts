// What energy costs, as a pure function of time. Prices are atomic token units per million metered units
// (unit mWh: per kWh), integers from FLOOR_PRICE to MAX_PRICE: below the floor a purchase would be free or
// paid out to the buyer, above the ceiling it does not fit the four bytes a grant has for it.

export const FLOOR_PRICE = 1;
export const MAX_PRICE = 2 ** 32 - 1;

/** Quanta on sale unless the seller says otherwise, atomic units, ascending. */

import { Watt402Error } from "#payment/watt402-error";
export const DEFAULT_MENU = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000] as const;
const DAY_SECONDS = 86_400;
const MINUTE_SECONDS = 60;

/** The price now and until when it certainly holds. */
export interface Quote {
  readonly pricePerMillionUnits: number;
  /** Unix seconds on the tariff's clock, exclusive, always later than the moment asked about. */
  readonly validUntilSeconds: number;
}

export interface Tariff {
  /** IANA name of the zone that it is made in; UTC when absent. */
  readonly timeZone?: string | undefined;
  /** Atomic units per million metered units at a unix second. */
  priceAt(seconds: number): number;
  /** First unix second after `seconds` at which another price may hold. */
  validUntilSeconds(seconds: number): number;
}

/** A span of local clock time, `from` inclusive to `to` exclusive, in minutes after midnight; may cross it. */
interface Window {
  readonly fromMinute: number;
  readonly toMinute: number;
  /** 0 Sunday ... 6 Saturday, of the day the minute itself lies in; all days when absent. */
  readonly weekdays?: readonly number[];
  readonly pricePerMillionUnits: number;
}

export interface PricePoint {
  readonly startSeconds: number;
  readonly pricePerMillionUnits: number;
}

export class TariffError extends Watt402Error {
  constructor(message: string) {
    super("file-invalid", `tariff: ${message}`);
  }
}

/** A price a meter can be charged: rounded to the atomic unit, lifted to the floor, refused above the ceiling. */
export function boundedPrice(price: number, where: string): number {
  if (!Number.isFinite(price)) throw new TariffError(`${where}: expected a price, found ${price}`);
  const rounded = Math.max(FLOOR_PRICE, Math.round(price));
  if (rounded > MAX_PRICE) {
    throw new TariffError(
      `${where}: expected at most ${MAX_PRICE} atomic units per million, found ${rounded}`,
    );
  }
  return rounded;
}

/** One price for ever; quoted until the end of the UTC day. */
export function flatTariff(pricePerMillionUnits: number): Tariff {
  const price = boundedPrice(pricePerMillionUnits, "flat price");
  return {
    priceAt: () => price,
    validUntilSeconds: (seconds) => (Math.floor(seconds / DAY_SECONDS) + 1) * DAY_SECONDS,
  };
}

/**
 * Local clock windows; the first that holds decides, `otherwise` the rest of the day.
 * `timeZone` is an IANA name; summer time follows from it.
 */
export function timeOfUseTariff(options: {
  readonly timeZone: string;
  readonly otherwisePricePerMillionUnits: number;
  readonly windows: readonly Window[];
}): Tariff {
  const otherwise = boundedPrice(options.otherwisePricePerMillionUnits, "price outside windows");
  const windows = options.windows.map((window, index) => {
    const where = `window ${index + 1}`;
    for (const minute of [window.fromMinute, window.toMinute]) {
      if (!Number.isInteger(minute) || minute < 0 || minute > 1440) {
        throw new TariffError(`${where}: expected minutes from 0 to 1440, found ${minute}`);
      }
    }
    return { ...window, pricePerMillionUnits: boundedPrice(window.pricePerMillionUnits, where) };
  });
  const localTime = localClock(options.timeZone);
  const priceAt = (seconds: number): number => {
    const { minute, weekday } = localTime(seconds);
    return windows.find((window) => holds(window, minute, weekday))?.pricePerMillionUnits ?? otherwise;
  };
  return {
    timeZone: options.timeZone,
    priceAt,
    validUntilSeconds: (seconds) => {
      // Clock changes make local arithmetic treacherous; stepping real minutes cannot be fooled by them.
      const price = priceAt(seconds);
      const start = Math.floor(seconds / MINUTE_SECONDS) * MINUTE_SECONDS;
      let end = start + MINUTE_SECONDS;
      while (end < start + DAY_SECONDS && priceAt(end) === price) end += MINUTE_SECONDS;
      return end;
    },
  };
}

/** A series of steps: each price holds from its start to the next; the first also before, the last also after. */
export function seriesTariff(points: readonly PricePoint[]): Tariff {
  if (points.length === 0) throw new TariffError("series: expected at least one price, found none");
  points.forEach((point, index) => {
    const before = points[index - 1];
    if (before !== undefined && point.startSeconds <= before.startSeconds) {
      throw new TariffError(
        `series: expected rising starts, entry ${index + 1} does not follow entry ${index}`,
      );
    }
  });
  const bounded = points.map((point, index) => ({
    startSeconds: point.startSeconds,
    price: boundedPrice(point.pricePerMillionUnits, `series entry ${index + 1}`),
  }));
  const indexAt = (seconds: number): number => {
    let low = 0;
    let high = bounded.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (bounded[middle]!.startSeconds <= seconds) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
  return {
    priceAt: (seconds) => bounded[Math.max(0, indexAt(seconds))]!.price,
    validUntilSeconds: (seconds) => {
      const next = bounded[Math.max(0, indexAt(seconds)) + 1];
      if (next !== undefined) return next.startSeconds;
      return (Math.floor(seconds / DAY_SECONDS) + 1) * DAY_SECONDS;
    },
  };
}

/** `tariff` asked through a memory of its last answer, so that a purchase costs no calendar arithmetic. */
export function quoting(tariff: Tariff): (seconds: number) => Quote {
  let fromSeconds = Number.POSITIVE_INFINITY;
  let last: Quote = { pricePerMillionUnits: FLOOR_PRICE, validUntilSeconds: Number.NEGATIVE_INFINITY };
  return (seconds) => {
    if (seconds < fromSeconds || seconds >= last.validUntilSeconds) {
      fromSeconds = seconds;
      last = {
        pricePerMillionUnits: tariff.priceAt(seconds),
        validUntilSeconds: tariff.validUntilSeconds(seconds),
      };
    }
    return last;
  };
}

function holds(window: Window, minute: number, weekday: number): boolean {
  if (window.weekdays !== undefined && !window.weekdays.includes(weekday)) return false;
  if (window.fromMinute <= window.toMinute) return minute >= window.fromMinute && minute < window.toMinute;
  return minute >= window.fromMinute || minute < window.toMinute;
}

function localClock(timeZone: string): (seconds: number) => { minute: number; weekday: number } {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
    });
  } catch {
    throw new TariffError(`time zone: expected an IANA name such as "Europe/Berlin", found "${timeZone}"`);
  }
  const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  return (seconds) => {
    const parts = format.formatToParts(seconds * 1000);
    const part = (type: string): string => parts.find((candidate) => candidate.type === type)?.value ?? "";
    return {
      minute: Number(part("hour")) * 60 + Number(part("minute")),
      weekday: weekdays.indexOf(part("weekday")),
    };
  };
}
