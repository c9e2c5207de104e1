/**
 * The fleet over time: power, price, spending and payments, each one line.
 *
 * Promise: the past is asked for once, then grown by what the live feed sends; drawn once a second.
 */
import uPlot from "uplot";
import type { Answer } from "../http/answers.ts";
import type { FleetSummary, Sample } from "../telemetry/shapes.ts";
import { colour, find } from "./element.ts";
import { money, power, type Units } from "./format.ts";

const HEIGHT_PIXELS = 150;
const POINTS_MAX = 2_880;
const SECONDS_SPAN = 900;

interface Line {
  readonly id: string;
  readonly ink: string;
  value(sample: Sample, before: Sample | undefined): number | null;
  text(value: number, units: Units): string;
}

const LINES: readonly Line[] = [
  {
    id: "chart-power",
    ink: "lit",
    value: (sample) => sample.powerMilliwatts,
    text: (value) => power(value).join(" "),
  },
  {
    id: "chart-price",
    ink: "new",
    value: (sample) => sample.pricePerMillionUnits || null,
    text: (value, units) => money(value, units),
  },
  {
    id: "chart-spent",
    ink: "accent",
    value: (sample) => sample.spentAtomic,
    text: (value, units) => money(value, units),
  },
  {
    id: "chart-payments",
    ink: "lost",
    value: (sample, before) =>
      before && sample.atSeconds > before.atSeconds
        ? Math.max(0, (sample.payments - before.payments) / (sample.atSeconds - before.atSeconds))
        : null,
    text: (value) => value.toLocaleString("en", { maximumFractionDigits: 1 }),
  },
];

export function openCharts(units: () => Units) {
  const span = find<HTMLSelectElement>("span");
  let samples: readonly Sample[] = [];
  let plots: uPlot[] = [];

  function build(): void {
    for (const plot of plots) plot.destroy();
    plots = LINES.map((line) => chartOf(line, units));
    draw();
  }

  function draw(): void {
    const times = samples.map(({ atSeconds }) => atSeconds);
    for (const [i, line] of LINES.entries()) {
      plots[i]?.setData([times, samples.map((sample, at) => line.value(sample, samples[at - 1]))]);
    }
  }

  async function load(): Promise<void> {
    const response = await fetch(`/api/v1/history?span=${span.value}`);
    if (response.ok) samples = ((await response.json()) as Answer<"History">).samples;
    draw();
  }

  span.addEventListener("change", () => void load());
  new ResizeObserver(() => {
    for (const [i, line] of LINES.entries()) {
      const width = find(line.id).clientWidth;
      if (width > 0 && plots[i]?.width !== width) plots[i]?.setSize({ width, height: HEIGHT_PIXELS });
    }
  }).observe(find("chart-power"));

  return {
    build,
    load,
    /** Takes the summary of now as the next point. */
    grow(summary: FleetSummary) {
      const step = span.value === "minutes" ? 60 : 1;
      const last = samples.at(-1);
      if (last !== undefined && summary.atSeconds - last.atSeconds < step) return;
      const { lit, starved, lost } = summary.lights;
      const from = span.value === "minutes" ? 0 : summary.atSeconds - SECONDS_SPAN;
      samples = [...samples, { ...summary, lit, starved, lost }]
        .filter(({ atSeconds }) => atSeconds >= from)
        .slice(-POINTS_MAX);
      draw();
    },
  };
}

function chartOf(line: Line, units: () => Units): uPlot {
  const box = find(line.id);
  const ink = colour(line.ink);
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
  const font = "11px system-ui, sans-serif";
  return new uPlot(
    {
      width: Math.max(120, box.clientWidth),
      height: HEIGHT_PIXELS,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.12 : 1] } },
      axes: [
        { ...axis, font, size: 26, space: 70, values: (_plot, times) => times.map(hourMinute) },
        {
          ...axis,
          font,
          size: 62,
          space: 34,
          values: (_plot, values) => values.map((value) => line.text(value, units())),
        },
      ],
      series: [{}, { stroke: ink, width: 2, fill: `${ink}22`, points: { show: false } }],
    },
    [[], []],
    box,
  );
}

function hourMinute(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}
