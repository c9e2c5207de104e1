/**
 * The list of lights: ten thousand rows, as many elements as fit the window.
 *
 * Promise: sorted and filtered anew at most once a second, drawn at once; the same with keyboard as by hand.
 */
import { CONDITIONS, type Condition } from "../telemetry/labels.ts";
import { find, make } from "./element.ts";
import { daysLeft, money, power, type Units } from "./format.ts";
import type { Light, Store } from "./store.ts";

const ROW_PIXELS = 52;
const SPARE_ROWS = 6;
const SORT_MS = 1_000;

type Order = "worst" | "days" | "name";

export function openList(store: Store, units: () => Units, opens: (device: string) => void) {
  const box = find("list");
  const search = find<HTMLInputElement>("search");
  const order = find<HTMLSelectElement>("order");
  const ground = make("div", { role: "presentation" });
  box.append(ground);
  const pool: HTMLElement[] = [];
  let shown: Light[] = [];
  let condition: Condition | null = null;
  let selected: string | null = null;
  let sortedMs = Number.NEGATIVE_INFINITY;
  let timer = 0;

  function sort(): void {
    sortedMs = performance.now();
    clearTimeout(timer);
    timer = 0;
    const text = search.value.trim().toLowerCase();
    shown = store.lights.filter(
      (light) =>
        (condition === null || light.condition === condition) &&
        (text === "" || light.name.toLowerCase().includes(text) || light.device.includes(text)),
    );
    shown.sort(comparison(order.value as Order));
  }

  function draw(): void {
    ground.style.height = `${shown.length * ROW_PIXELS}px`;
    const first = Math.max(0, Math.floor(box.scrollTop / ROW_PIXELS) - SPARE_ROWS);
    const count = Math.min(shown.length - first, Math.ceil(box.clientHeight / ROW_PIXELS) + 2 * SPARE_ROWS);
    for (let i = 0; i < Math.max(count, pool.length); i++) {
      const row = pool[i] ?? newRow();
      const light = i < count ? shown[first + i] : undefined;
      row.hidden = light === undefined;
      if (light !== undefined) fill(row, light, first + i);
    }
    const chosen = pool.find((row) => !row.hidden && row.dataset.device === selected);
    box.setAttribute("aria-activedescendant", chosen?.id ?? "");
    box.setAttribute("data-count", String(shown.length));
    ground.classList.toggle("empty", shown.length === 0);
    if (shown.length === 0) {
      ground.textContent = store.lights.length === 0 ? "No light has been heard yet." : "No light fits.";
      pool.length = 0;
    }
  }

  function newRow(): HTMLElement {
    if (pool.length === 0) ground.textContent = "";
    const id = `row-${pool.length}`;
    const row = make(
      "div",
      { class: "row", role: "option", id },
      make("i", { class: "dot", "aria-hidden": "true" }),
      make("div", {}, make("b"), make("span")),
      make("div", { class: "end" }, make("b"), make("span")),
    );
    row.addEventListener("click", () => opens(row.dataset.device!));
    pool.push(row);
    ground.append(row);
    return row;
  }

  function fill(row: HTMLElement, light: Light, position: number): void {
    const [dot, left, right] = row.children as unknown as [HTMLElement, HTMLElement, HTMLElement];
    row.dataset.device = light.device;
    row.style.top = `${position * ROW_PIXELS}px`;
    row.setAttribute("aria-selected", String(light.device === selected));
    row.setAttribute("aria-posinset", String(position + 1));
    row.setAttribute("aria-setsize", String(shown.length));
    dot!.className = `dot ${light.condition}`;
    const [value, unit] = power(light.powerMilliwatts);
    write(
      left!,
      light.name,
      light.refusal === null ? light.condition : `${light.condition} · ${light.refusal}`,
    );
    left!.lastElementChild!.className = light.condition === "starved" ? "warn" : "";
    const balance = light.promised - light.charged;
    write(
      right!,
      `${value} ${unit}`,
      light.daysLeft === null ? money(balance, units()) : daysLeft(light.daysLeft),
    );
  }

  function move(by: number): void {
    if (shown.length === 0) return;
    const now = shown.findIndex(({ device }) => device === selected);
    const next = Math.min(shown.length - 1, Math.max(0, now + by));
    selected = shown[next]!.device;
    const top = next * ROW_PIXELS;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW_PIXELS > box.scrollTop + box.clientHeight) {
      box.scrollTop = top + ROW_PIXELS - box.clientHeight;
    }
    draw();
  }

  function refresh(): void {
    sort();
    draw();
  }

  box.addEventListener("scroll", draw, { passive: true });
  search.addEventListener("input", refresh);
  order.addEventListener("change", refresh);
  new ResizeObserver(draw).observe(box);
  box.addEventListener("keydown", (event) => {
    const page = Math.floor(box.clientHeight / ROW_PIXELS);
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -shown.length,
      End: shown.length,
    };
    const by = steps[event.key];
    if (by !== undefined) move(by);
    else if (event.key === "Enter" && selected !== null) opens(selected);
    else return;
    event.preventDefault();
  });

  return {
    changed() {
      const waitMs = sortedMs + SORT_MS - performance.now();
      if (waitMs <= 0) sort();
      else if (timer === 0) timer = window.setTimeout(refresh, waitMs);
      draw();
    },
    show(wanted: Condition | null) {
      condition = wanted;
      box.scrollTop = 0;
      refresh();
    },
    select(device: string | null) {
      selected = device;
      draw();
    },
    refresh,
  };
}

function write(box: HTMLElement, first: string, second: string): void {
  const [top, below] = box.children as unknown as [HTMLElement, HTMLElement];
  if (top.textContent !== first) top.textContent = first;
  if (below.textContent !== second) below.textContent = second;
}

function comparison(order: Order): (left: Light, right: Light) => number {
  const byName = (left: Light, right: Light) =>
    left.name < right.name ? -1 : left.name > right.name ? 1 : 0;
  if (order === "name") return byName;
  if (order === "days") {
    const days = ({ daysLeft: left }: Light) => left ?? Number.MAX_VALUE;
    return (left, right) => days(left) - days(right) || byName(left, right);
  }
  const rank = ({ condition }: Light) => CONDITIONS.indexOf(condition);
  return (left, right) => rank(left) - rank(right) || byName(left, right);
}
