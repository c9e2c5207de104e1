/**
 * One quantity over the evening, as SVG that stretches to any width: lines keep their thickness, and all
 * text is HTML beside it, so that it stays readable on a phone.
 *
 * Promise: colours come from the page's style by class names; a chart states its range and unit in words
 * for those who do not see it, and its values one by one to the keyboard.
 */
import { escaped, ticks } from "./figures.ts";

interface Series {
  readonly name: string;
  /** One for each sample; null leaves a gap. */
  readonly values: readonly (number | null)[];
  readonly draw: "area" | "line" | "steps" | "bars";
}

/** A span that is shaded, or a moment that is marked, when both ends are the same. */
export interface Mark {
  readonly number: number;
  readonly name: string;
  readonly fromMinute: number;
  readonly untilMinute: number;
}

export interface TimeChart {
  /** Unique on the page; a class name for its colours. */
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly note: string;
  /** Minutes of the samples, rising. */
  readonly minutes: readonly number[];
  readonly series: readonly Series[];
  /** Shaded between two of the series, lowest and highest; null for none. */
  readonly band: { readonly low: readonly number[]; readonly high: readonly number[] } | null;
  readonly marks: readonly Mark[];
  /** Whether the marks' numbers are written above this chart. */
  readonly badges: boolean;
  /** Times below the plot. */
  readonly times: readonly { readonly minute: number; readonly text: string }[];
  /** The scale reaches at least this far, however small the values are. */
  readonly topAtLeast: number;
  /** A value with its unit. */
  readonly say: (value: number) => string;
}

const WIDTH = 1000;
const HEIGHT = 200;

export function timeChart(chart: TimeChart): string {
  const { id, title, unit, note, minutes, series, band, marks, badges, times } = chart;
  const end = Math.max(minutes.at(-1) ?? 0, 1e-9);
  const all = [
    ...series.flatMap(({ values }) => values.filter((value) => value !== null)),
    ...(band?.high ?? []),
  ];
  const grid = ticks(Math.min(0, ...all), Math.max(chart.topAtLeast, ...all));
  const [bottom, top] = [grid[0]!, grid.at(-1)!];
  const x = (minute: number) => round((WIDTH * minute) / end);
  const y = (value: number) => round(HEIGHT - (HEIGHT * (value - bottom)) / (top - bottom || 1));
  const percent = (part: number) => `${round(100 * part)}%`;

  const lines = grid.map(
    (value) => `<line class="grid" x1="0" x2="${WIDTH}" y1="${y(value)}" y2="${y(value)}"/>`,
  );
  const shades = new Set(marks.map((mark) => shadeOf(mark, x)));
  const shapes = series.map((one, index) => shapeOf(one, index, minutes, x, y, bottom));
  const between = band === null ? "" : bandOf(band, minutes, x, y);
  const yLabels = grid.map(
    (value) =>
      `<span style="bottom:${percent((value - bottom) / (top - bottom || 1))}">${chart.say(value)}</span>`,
  );
  const xLabels = times.map(
    ({ minute, text }) => `<span style="left:${percent(minute / end)}">${escaped(text)}</span>`,
  );
  const numbers = badges ? badgesOf(marks, end) : "";
  return `<figure class="chart ${id}" data-chart="${id}">
<figcaption><h3>${escaped(title)} <small>${escaped(unit)}</small></h3><p>${escaped(note)}</p>${legendOf(chart)}</figcaption>
<div class="badges" aria-hidden="true">${numbers}</div>
<div class="plot" tabindex="0" role="slider" aria-label="${escaped(`${title}, ${unit}. Arrow keys move through the evening.`)}" aria-valuemin="0" aria-valuemax="${minutes.length - 1}" aria-valuenow="0" aria-valuetext="${escaped(rangeOf(chart))}">
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true" focusable="false">
${[...shades].join("")}${lines.join("")}${between}${shapes.join("")}
<line class="cursor" x1="0" x2="0" y1="0" y2="${HEIGHT}" hidden=""/>
</svg>
<div class="ylabels" aria-hidden="true">${yLabels.join("")}</div>
</div>
<div class="xlabels" aria-hidden="true">${xLabels.join("")}</div>
<output class="readout" aria-hidden="true"></output>
</figure>`;
}

/** "From 0.9 kW to 1.9 kW." */
function rangeOf({ series, say }: TimeChart): string {
  return series
    .map(({ name, values }) => {
      const known = values.filter((value) => value !== null);
      if (known.length === 0) return `${name}: not known.`;
      return `${name}: from ${say(Math.min(...known))} to ${say(Math.max(...known))}.`;
    })
    .join(" ");
}

function legendOf({ series }: TimeChart): string {
  if (series.length < 2) return "";
  const items = series.map(({ name, draw }, index) => `<li class="s${index} ${draw}">${escaped(name)}</li>`);
  return `<ul class="legend">${items.join("")}</ul>`;
}

type Scale = (value: number) => number;

function shapeOf(
  { values, draw }: Series,
  index: number,
  minutes: readonly number[],
  x: Scale,
  y: Scale,
  bottom: number,
): string {
  if (draw === "bars") return barsOf(values, index, minutes, x, y);
  return runsOf(values)
    .map((run) => {
      const points = run.map((at) => `${x(minutes[at]!)},${y(values[at]!)}`);
      const path = draw === "steps" ? stepsOf(run, values, minutes, x, y) : `M${points.join("L")}`;
      const line = `<path class="s${index} line" d="${path}"/>`;
      if (draw !== "area") return line;
      const base = y(Math.max(0, bottom));
      const [first, last] = [x(minutes[run[0]!]!), x(minutes[run.at(-1)!]!)];
      return `<path class="s${index} fill" d="M${first},${base}L${points.join("L")}L${last},${base}Z"/>${line}`;
    })
    .join("");
}

/** Indexes of neighbours that have values. */
function runsOf(values: readonly (number | null)[]): number[][] {
  const runs: number[][] = [];
  values.forEach((value, index) => {
    if (value === null) return;
    if (index > 0 && values[index - 1] !== null && runs.length > 0) runs.at(-1)!.push(index);
    else runs.push([index]);
  });
  return runs;
}

function stepsOf(
  run: readonly number[],
  values: readonly (number | null)[],
  minutes: readonly number[],
  x: Scale,
  y: Scale,
): string {
  return run
    .map((at, nth) =>
      nth === 0 ? `M${x(minutes[at]!)},${y(values[at]!)}` : `H${x(minutes[at]!)}V${y(values[at]!)}`,
    )
    .join("");
}

/** A bar covers the time since the sample before. */
function barsOf(
  values: readonly (number | null)[],
  index: number,
  minutes: readonly number[],
  x: Scale,
  y: Scale,
): string {
  const zero = y(0);
  const boxes = values.flatMap((value, at) => {
    if (value === null || at === 0) return [];
    const [left, right] = [x(minutes[at - 1]!), x(minutes[at]!)];
    return [`M${left},${zero}V${y(value)}H${right}V${zero}Z`];
  });
  return `<path class="s${index} fill bars" d="${boxes.join("")}"/>`;
}

function bandOf(
  { low, high }: NonNullable<TimeChart["band"]>,
  minutes: readonly number[],
  x: Scale,
  y: Scale,
): string {
  const up = high.map((value, at) => `${x(minutes[at]!)},${y(value)}`);
  const back = low.map((value, at) => `${x(minutes[at]!)},${y(value)}`).reverse();
  return `<path class="band" d="M${[...up, ...back].join("L")}Z"/>`;
}

/** Stages of the same span are one shade. */
function shadeOf({ fromMinute, untilMinute }: Mark, x: Scale): string {
  const width = x(untilMinute) - x(fromMinute);
  if (width <= 0) {
    const at = x(fromMinute);
    return `<line class="moment" x1="${at}" x2="${at}" y1="0" y2="${HEIGHT}"/>`;
  }
  return `<rect class="span" x="${x(fromMinute)}" width="${round(width)}" y="0" height="${HEIGHT}"/>`;
}

/** Closer than this, badges stand side by side: hundredths of the width. */
const BADGE_ROOM = 12;

function badgesOf(marks: readonly Mark[], end: number): string {
  const groups: { left: number; numbers: number[] }[] = [];
  for (const { number, fromMinute, untilMinute } of marks) {
    const left = (100 * (fromMinute + Math.min(untilMinute, end))) / 2 / end;
    const near = groups.find((group) => Math.abs(group.left - left) < BADGE_ROOM);
    if (near) near.numbers.push(number);
    else groups.push({ left, numbers: [number] });
  }
  return groups
    .map(({ left, numbers }) => {
      const badges = numbers.map((number) => `<span class="badge">${number}</span>`);
      return `<div style="left:${round(left)}%">${badges.join("")}</div>`;
    })
    .join("");
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
