/**
 * The dashboard: one page that draws the gateway's live feed.
 *
 * Promise: it only reads. Every light is one address (`#/light/<device>`), every action has a key: `/` to
 * search, arrows and Enter in the list, Escape to close.
 */
import type { Answer } from "../http/answers.ts";
import { CONDITIONS, type Condition } from "../telemetry/labels.ts";
import type { FleetSummary } from "../telemetry/shapes.ts";
import { showCluster } from "./cluster-panel.ts";
import { find, make } from "./element.ts";
import { money, power, price, TokenUnits } from "./format.ts";
import { openCharts } from "./history-charts.ts";
import { openLightPage } from "./light-page.ts";
import { LightList } from "./list.ts";
import { openStore, type Store } from "./live-view.ts";
import { LightMap } from "./map/map.ts";
import { openSellers } from "./sellers.ts";

let units = new TokenUnits({ tokens: [], unit: "mWh" });
let condition: Condition | null = null;

const { store, open, follow } = openStore({
  changed: () => draw(),
  frames: (frames) => page.heard(frames),
});
const go = (device: string | null) => {
  location.hash = device === null ? "#/" : `#/light/${device}`;
};
const list = new LightList(store, (index) => units.at(index), go);
const map = new LightMap(store, go);
const charts = openCharts(() => units.at(0));
const page = openLightPage(
  (light) => units.of(light),
  () => close(),
);

function draw(): void {
  const link = find("link");
  link.textContent = store.isLive ? "live" : "not connected, trying again";
  link.classList.toggle("live", store.isLive);
  drawFigures(store);
  drawLegend(store);
  list.changed();
  map.draw();
  if (store.summary !== null) charts.grow(store.summary);
}

function drawFigures({ summary }: Store): void {
  if (summary === null) return;
  const { lights } = summary;
  const all = CONDITIONS.reduce((sum, name) => sum + lights[name], 0);
  const rate = summary.paymentsPerSecond;
  const figures: readonly (readonly [string, string, string, string])[] = [
    ["Lit", lights.lit.toLocaleString("en"), `of ${all.toLocaleString("en")}`, ""],
    ["Starved", lights.starved.toLocaleString("en"), "", lights.starved > 0 ? "bad" : ""],
    ["Lost", lights.lost.toLocaleString("en"), "", lights.lost > 0 ? "off" : ""],
    ["Power", ...power(summary.powerMilliwatts), ""],
    ...summary.tokens.flatMap(moneyFigures),
    ["Payments", rate.toLocaleString("en", { maximumFractionDigits: rate < 10 ? 1 : 0 }), "/s", ""],
  ];
  find("figures").replaceChildren(
    ...figures.map(([name, value, unit, kind]) =>
      make(
        "dl",
        { class: `figure ${kind}` },
        make("dt", {}, name),
        make("dd", {}, value, " ", make("small", {}, unit)),
      ),
    ),
  );
}

/** Price and spending of each token by itself: amounts of two make no sum. */
function moneyFigures(
  { pricePerMillionUnits, spentAtomic }: FleetSummary["tokens"][number],
  index: number,
): readonly (readonly [string, string, string, string])[] {
  const token = units.at(index);
  const where = token.network === "" ? "" : ` on ${token.network}`;
  return [
    [`Price${where}`, ...price(pricePerMillionUnits, token), ""],
    [`Spent${where}`, money(spentAtomic, token), "since start", ""],
  ];
}

function drawLegend({ summary }: Store): void {
  const legend = find("legend");
  if (legend.children.length === 0) {
    for (const name of CONDITIONS) {
      const button = make(
        "button",
        { type: "button", "aria-pressed": "false" },
        make("i", { class: `dot ${name}`, "aria-hidden": "true" }),
        make("span", {}, name),
      );
      button.addEventListener("click", () => {
        condition = condition === name ? null : name;
        list.show(condition);
        map.show(condition);
        drawLegend(store);
      });
      legend.append(make("li", {}, button));
    }
  }
  for (const [i, name] of CONDITIONS.entries()) {
    const button = legend.children[i]!.firstElementChild!;
    button.setAttribute("aria-pressed", String(condition === name));
    button.lastElementChild!.textContent = `${name} ${summary?.lights[name].toLocaleString("en") ?? ""}`;
  }
}

function turn(): void {
  const device = /^#\/light\/([0-9a-f]{40})$/.exec(location.hash)?.[1] ?? null;
  page.show(device);
  list.select(device);
  map.select(device);
  follow(device);
}

/** Back to the list, where the light was opened from. */
function close(): void {
  if (location.hash.length <= 2) return;
  go(null);
  find("list").focus({ preventScroll: true });
}

function wear(theme: string): void {
  document.documentElement.dataset.theme = theme;
  charts.build();
  map.draw();
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
}

find("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  localStorage.setItem("theme", theme);
  wear(theme);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
  else if (event.key === "/" && !isTyping(event.target)) {
    event.preventDefault();
    find("search").focus();
  }
});
addEventListener("hashchange", turn);

const isLight = matchMedia("(prefers-color-scheme: light)").matches;
wear(localStorage.getItem("theme") ?? (isLight ? "light" : "dark"));
open();
turn();
void showCluster();

const fleet = await fetch("/api/v1/fleet");
if (fleet.ok) {
  units = new TokenUnits((await fleet.json()) as Answer<"Fleet">);
}
openSellers((seller) => units.of(seller));
await charts.load();
draw();
