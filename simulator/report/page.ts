/**
 * An evening as one HTML page that needs nothing but itself: no network, no fonts, no script to be read.
 *
 * Promise: it follows the reader's light or dark preference, fits a phone, can be read by keyboard and
 * screen reader; every number has its unit; no text of a stranger's file becomes markup.
 */
import { readFileSync } from "node:fs";
import { chartsOf, marksOf } from "./charts.ts";
import { kindOf, mapOf } from "./city-map.ts";
import { clockIn, dateIn, decimal, dollars, duration, escaped, inUnits, roundDollars } from "./figures.ts";
import type { Counter, ReportModel } from "./report-model.ts";
import { table } from "./table.ts";

const STYLE = readFileSync(new URL("page.css", import.meta.url), "utf8");
const SCRIPT = readFileSync(new URL("cursor.js", import.meta.url), "utf8");

/** Rows of a table that are shown at most; the rest is shown as a number. */
const ROWS_MAX = 12;

export function pageOf(model: ReportModel): string {
  const { title, city, timeZone, startSeconds, violations } = model;
  const charts = chartsOf(model);
  const place = `${decimal(model.lights.length)} lights, ${escaped(city)}`;
  const clock = clockIn(timeZone);
  const span = `${dateIn(timeZone, startSeconds)}, ${clock(startSeconds)} to ${clock(startSeconds + 60 * model.minutes)} (${escaped(timeZone)})`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escaped(title)} · watt402</title>
<style>${STYLE}</style>
</head>
<body>
<a class="skip" href="#evening">Skip to the evening</a>
<header>
<p class="over">watt402 simulation</p>
<h1>${escaped(title)}</h1>
<p class="story">${escaped(model.story)}</p>
<p class="where">${place} · ${span}</p>
${outcome(violations.length)}
</header>
<main>
${keyFigures(model)}
<section id="evening" aria-labelledby="h-evening"><h2 id="h-evening">The evening</h2>
${stagesOf(model, clock)}
<div class="charts">${charts.html}</div>
<p class="hint">Point at a chart, or focus one and press the arrow keys, to read its values.</p>
</section>
${mapSection(model)}
${moneySection(model)}
${cheatSection(model)}
${faultSection(model)}
${violationSection(model)}
</main>
<footer><p>Run again: <code>${escaped(model.command)}</code></p>
<p>Ran in ${duration(model.figures.wallSeconds)}; all times are simulated unless they say otherwise.</p></footer>
<script type="application/json" id="values">${JSON.stringify(charts.values).replaceAll("<", "\\u003c")}</script>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

function outcome(violations: number): string {
  if (violations === 0) {
    return `<p class="outcome good"><span aria-hidden="true">✓</span> Conserved: every counter agrees to the last atomic unit.</p>`;
  }
  return `<p class="outcome bad"><span aria-hidden="true">✕</span> Not conserved: ${decimal(violations)} broken promises, <a href="#violations">listed below</a>.</p>`;
}

function keyFigures({ figures, money, energy, samples }: ReportModel): string {
  const charged = money.find(({ name }) => name === "charged")?.amount ?? 0;
  const consumed = energy.find(({ name }) => name === "consumed")?.amount ?? 0;
  const peak = samples.reduce((most, { powerMilliwatts }) => Math.max(most, powerMilliwatts), 0);
  const tiles = [
    ["paid", roundDollars(charged), `in ${decimal(figures.payments)} payments`],
    ["burned", inUnits(consumed, "Wh"), `at most ${inUnits(peak, "W")} at once`],
    [
      "longest darkness",
      figures.longestStarvedSeconds === 0 ? "none" : duration(figures.longestStarvedSeconds),
      "of one light that should have shone",
    ],
    [
      "an answer took",
      `${decimal(figures.latencyP50Ms, 1)} ms`,
      `${figures.answersIn} time; the slowest hundredth ${decimal(figures.latencyP99Ms, 0)} ms`,
    ],
    [
      "a payment's size",
      `${decimal(figures.bytesPerPayment, 0)} bytes`,
      `up and down; ${decimal(figures.repeated)} sent again, ${decimal(figures.refused)} refused`,
    ],
  ];
  if (figures.gasPerPayment !== null) {
    tiles.push(["gas for a payment", decimal(figures.gasPerPayment, 0), "claims and settlement, shared"]);
  }
  const shown = tiles.map(
    ([name, value, note]) =>
      `<div><dt>${name}</dt><dd><strong>${value}</strong> <span>${note}</span></dd></div>`,
  );
  return `<dl class="tiles">${shown.join("")}</dl>`;
}

function stagesOf(model: ReportModel, clock: (seconds: number) => string): string {
  const marks = marksOf(model);
  if (marks.length === 0) return "";
  const items = marks.map(({ number, name, fromMinute, untilMinute }) => {
    const from = clock(model.startSeconds + 60 * fromMinute);
    const until = untilMinute > fromMinute ? `–${clock(model.startSeconds + 60 * untilMinute)}` : "";
    return `<li value="${number}"><b>${escaped(name)}</b> <span>${from}${until}</span></li>`;
  });
  return `<ol class="stages">${items.join("")}</ol>`;
}

function mapSection({ lights, minutes, feeders }: ReportModel): string {
  const suspected = new Set(feeders.filter((feeder) => feeder.suspected).map(({ name }) => name));
  const kinds = lights.map((light) => kindOf(light, minutes * 60));
  const count = (kind: string) => decimal(kinds.filter((one) => one === kind).length);
  const worst = lights
    .filter(({ starvedSeconds }) => starvedSeconds > 0)
    .toSorted((left, right) => right.starvedSeconds - left.starvedSeconds);
  const rows = worst
    .slice(0, ROWS_MAX)
    .map(({ name, street, group, starvedSeconds }) => [name, street, group ?? "", duration(starvedSeconds)]);
  const rest = worst.length > ROWS_MAX ? `<p>and ${decimal(worst.length - ROWS_MAX)} more.</p>` : "";
  const list =
    worst.length === 0
      ? ""
      : `<details><summary>Lights that missed most light (${decimal(worst.length)})</summary>
${table(["light", "street", "group", "without light"], rows, [3])}${rest}</details>`;
  return `<section aria-labelledby="h-map"><h2 id="h-map">Where the lights stand</h2>
<ul class="legend map-legend"><li class="lit">${count("lit")} shone as planned</li><li class="starved">${count("starved")} missed more than a hundredth of the evening</li><li class="cheated">${count("cheated")} cheated</li>${suspected.size > 0 ? `<li class="suspected">${decimal(suspected.size)} feeders suspected</li>` : ""}</ul>
<div class="panel">${mapOf(lights, minutes, suspected)}</div>${list}</section>`;
}

function moneySection({ money, energy }: ReportModel): string {
  return `<section aria-labelledby="h-money"><h2 id="h-money">Do the books agree?</h2>
<p>Each counter comes from another source; each is held against the one above it.</p>
<div class="two">${counters("Money", money, dollars)}${counters("Energy", energy, (amount) => inUnits(amount, "Wh"))}</div></section>`;
}

function counters(caption: string, rows: readonly Counter[], say: (amount: number) => string): string {
  const cells = rows.map(({ name, from, amount, relation }, index) => {
    const before = rows[index - 1]?.amount ?? amount;
    const holds = relation === "=" ? amount === before : amount <= before;
    const mark = relation === null ? "" : `${relation} ${holds ? "✓" : "✕"}`;
    return [name, from, say(amount), mark];
  });
  return table(["counter", "according to", "amount", "check"], cells, [2], caption);
}

function cheatSection({ cheats, feeders }: ReportModel): string {
  const suspected = feeders.filter((feeder) => feeder.suspected);
  const missing = feeders.reduce((sum, feeder) => sum + feeder.missingMilliwattHours, 0);
  const found =
    suspected.length === 0
      ? `<p>The cabinets' meters and the lights' meters differ by ${inUnits(missing, "Wh")}: no more than rounding explains on any of ${decimal(feeders.length)} feeders.</p>`
      : `<p>The cabinets' meters counted ${inUnits(missing, "Wh")} more than their lights' meters. On ${decimal(suspected.length)} of ${decimal(feeders.length)} feeders that is more than rounding explains.</p>`;
  const rows = feeders
    .slice(0, ROWS_MAX)
    .map((feeder) => [
      feeder.name,
      decimal(feeder.lights),
      inUnits(feeder.suppliedMilliwattHours, "Wh"),
      inUnits(feeder.registeredMilliwattHours, "Wh"),
      inUnits(feeder.missingMilliwattHours, "Wh"),
      `± ${inUnits(feeder.toleranceMilliwattHours, "Wh")}`,
      feeder.suspected ? "suspected" : "",
    ]);
  const heads = ["feeder", "lights", "supplied", "registered", "missing", "rounding", "outcome"];
  const shown =
    feeders.length > ROWS_MAX ? `<p>and ${decimal(feeders.length - ROWS_MAX)} more feeders.</p>` : "";
  return `<section aria-labelledby="h-feeders"><h2 id="h-feeders">What the cabinets' meters saw</h2>${found}
${cheatTable(cheats)}<details${suspected.length > 0 ? " open" : ""}><summary>Feeders, most missing first</summary>
${table(heads, rows, [1, 2, 3, 4, 5])}${shown}</details></section>`;
}

function cheatTable(cheats: ReportModel["cheats"]): string {
  if (cheats.length === 0) return "";
  const rows = cheats.map(({ cheat, lights, frames, gainedMilliwattHours }) => [
    cheat.replaceAll("-", " "),
    decimal(lights),
    decimal(frames),
    inUnits(gainedMilliwattHours, "Wh"),
  ]);
  return table(["cheat", "lights", "messages", "energy gained"], rows, [1, 2, 3]);
}

function faultSection({ faults }: ReportModel): string {
  if (faults === null) return "";
  const { fired, neverFired } = faults;
  const times = fired.reduce((sum, { count }) => sum + count, 0);
  const rows = fired
    .toSorted((left, right) => right.count - left.count)
    .map(({ kind, count }) => [kind.replaceAll("-", " "), decimal(count)]);
  const struck =
    fired.length === 0
      ? "<p>No fault struck.</p>"
      : `<p>${decimal(fired.length)} kinds of faults struck, ${decimal(times)} times in all.</p>
<details open><summary>Faults that struck, most frequent first</summary>${table(["fault", "times"], rows, [1])}</details>`;
  const names = neverFired.map((kind) => `<li>${escaped(kind.replaceAll("-", " "))}</li>`);
  const never =
    names.length === 0
      ? "<p>Every kind of fault struck.</p>"
      : `<details><summary>Faults that never struck (${decimal(names.length)})</summary><ul class="never">${names.join("")}</ul></details>`;
  return `<section aria-labelledby="h-faults"><h2 id="h-faults">What went wrong</h2>${struck}
${never}</section>`;
}

function violationSection({ violations }: ReportModel): string {
  if (violations.length === 0) return "";
  const rows = violations.map(({ invariant, light, expected, actual }) => [
    invariant,
    light,
    expected,
    actual,
  ]);
  return `<section id="violations" aria-labelledby="h-violations"><h2 id="h-violations">Broken promises</h2>
${table(["promise", "light", "expected", "found"], rows, [])}</section>`;
}
