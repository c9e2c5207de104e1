/**
 * Which charts an evening has, and the values behind them for the page's cursor.
 */
import { clockIn, decimal, duration, inUnits } from "./figures.ts";
import type { ReportModel, Sample } from "./report-model.ts";
import { type Mark, type TimeChart, timeChart } from "./time-chart.ts";

/** What the cursor reads out: by chart, and the clock. */
interface ChartValues {
  /** Share of the evening at each sample, 0..1. */
  readonly at: readonly number[];
  readonly clock: readonly string[];
  readonly charts: Readonly<Record<string, readonly string[]>>;
}

/** Times written below a chart, at most. */
const TIMES_MAX = 8;
const ROUND_MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440];

/** Stages, numbered as on the charts. */
export function marksOf({ stages, minutes }: ReportModel): Mark[] {
  return stages.map(({ name, startMs, durationMs }, index) => ({
    number: index + 1,
    name,
    fromMinute: startMs / 60_000,
    untilMinute: Math.min(minutes, (startMs + durationMs) / 60_000),
  }));
}

export function chartsOf(model: ReportModel): { readonly html: string; readonly values: ChartValues } {
  const { samples, timeZone, startSeconds } = model;
  const clock = clockIn(timeZone);
  const charts = definitions(model);
  const end = samples.at(-1)?.minute || 1;
  const values = charts.map((chart): [string, readonly string[]] => [chart.id, readoutsOf(chart)]);
  return {
    html: charts.map(timeChart).join("\n"),
    values: {
      at: samples.map(({ minute }) => Math.round((10_000 * minute) / end) / 10_000),
      clock: samples.map(({ minute }) => clock(startSeconds + 60 * minute)),
      charts: Object.fromEntries(values),
    },
  };
}

function definitions(model: ReportModel): TimeChart[] {
  const { samples } = model;
  const of = (value: (sample: Sample) => number) => samples.map(value);
  const shared = {
    minutes: of(({ minute }) => minute),
    marks: marksOf(model),
    badges: false,
    times: timesOf(model),
    band: null,
    topAtLeast: 1,
  };
  const lights = (value: number) => `${decimal(value, 1)} ${value === 1 ? "light" : "lights"}`;
  const price = samples.map(({ pricePerMillionUnits }) =>
    pricePerMillionUnits === null ? null : pricePerMillionUnits / 1e6,
  );
  return [
    {
      ...shared,
      badges: true,
      id: "power",
      title: "Power",
      unit: "drawn by all lamps",
      note: "Follows dusk, dimming plans and dawn; what is missing was not paid for.",
      series: [{ name: "power", values: of(({ powerMilliwatts }) => powerMilliwatts), draw: "area" }],
      say: (value) => inUnits(value, "W"),
    },
    {
      ...shared,
      topAtLeast: 1e-6,
      id: "price",
      title: "Price",
      unit: "of a kilowatt-hour",
      note: "What the seller asked. Below zero it asks its least price: a buyer is never paid.",
      series: [{ name: "price", values: price, draw: "steps" }],
      say: (value) => (value < 0.01 && value > 0 ? `$${decimal(value, 6)}` : `$${value.toFixed(2)}`),
    },
    {
      ...shared,
      id: "payments",
      title: "Payments",
      unit: "in a minute",
      note: "Purchases answered. After an outage they catch up.",
      series: [{ name: "payments", values: ratesOf(samples), draw: "bars" }],
      say: (value) => `${decimal(value, 1)}/min`,
    },
    {
      ...shared,
      id: "credit",
      title: "Credit",
      unit: "in minutes of full light",
      note: "Light already paid for: half of the lights have less than the line, eight of ten are in the band.",
      series: [
        { name: "half of the lights", values: of(({ creditMinutes }) => creditMinutes[1]), draw: "line" },
      ],
      band: {
        low: of(({ creditMinutes }) => creditMinutes[0]),
        high: of(({ creditMinutes }) => creditMinutes[2]),
      },
      say: (value) => `${decimal(value, 1)} min`,
    },
    {
      ...shared,
      // Lights come whole.
      topAtLeast: 4,
      id: "trouble",
      title: "In trouble",
      unit: "at that moment",
      note: "Starved lights should shine and have no credit; lights without connection burn what they have.",
      series: [
        { name: "starved", values: of(({ starved }) => starved), draw: "area" },
        { name: "without connection", values: of(({ offline }) => offline), draw: "line" },
      ],
      say: lights,
    },
  ];
}

/** Bars of the payments' chart, about. */
const BARS = 60;

/** Purchases a minute over the bar that each sample lies in: single samples are too short for a rate. */
function ratesOf(samples: readonly Sample[]): number[] {
  const each = Math.max(1, Math.ceil((samples.length - 1) / BARS));
  return samples.map((_, index) => {
    const bar = Math.floor(Math.max(0, index - 1) / each);
    const from = samples[bar * each];
    const until = samples[Math.min(samples.length - 1, (bar + 1) * each)];
    const minutes = (until?.minute ?? 0) - (from?.minute ?? 0);
    return minutes > 0 ? (until!.made - from!.made) / minutes : 0;
  });
}

function readoutsOf({ series, band, say, minutes }: TimeChart): string[] {
  return minutes.map((_, index) => {
    const texts = series.map(({ name, values }) => {
      const value = values[index] ?? null;
      return `${name} ${value === null ? "not known" : say(value)}`;
    });
    if (band !== null) texts.push(`eight of ten from ${say(band.low[index]!)} to ${say(band.high[index]!)}`);
    return texts.join(", ");
  });
}

/** Round clock times within the evening. */
function timesOf({ startSeconds, minutes, timeZone }: ReportModel): { minute: number; text: string }[] {
  const clock = clockIn(timeZone);
  const step = ROUND_MINUTES.find((one) => minutes / one <= TIMES_MAX) ?? 1440;
  const first = step - ((startSeconds / 60) % step);
  const times: { minute: number; text: string }[] = [];
  for (let minute = first % step; minute <= minutes; minute += step) {
    times.push({ minute, text: clock(startSeconds + 60 * minute) });
  }
  // A very short evening has its length for a scale.
  return times.length > 1
    ? times
    : [
        { minute: 0, text: clock(startSeconds) },
        { minute: minutes, text: `+${duration(minutes * 60)}` },
      ];
}
