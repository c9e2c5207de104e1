/**
 * The list of lights: ten thousand rows, as many elements as fit the window.
 *
 * Promise: sorted and filtered anew at most once a second, drawn at once; the same with keyboard as by hand.
 */
import { CONDITIONS, type Condition } from "../telemetry/labels.ts";
import { find, make } from "./element.ts";
import { daysLeft, money, rate, type Units } from "./format.ts";
import type { Light, Store } from "./live-view.ts";

const ROW_PIXELS = 52;
const SPARE_ROWS = 6;
const SORT_MS = 1_000;

type Order = "worst" | "days" | "name";

export class LightList {
  readonly #store: Store;
  readonly #units: (tokenIndex: number) => Units;
  readonly #opens: (device: string) => void;
  readonly #box = find("list");
  readonly #search = find<HTMLInputElement>("search");
  readonly #order = find<HTMLSelectElement>("order");
  /** As high as all rows, so that the box scrolls; holds those that are seen. */
  readonly #sheet = make("div", { role: "presentation" });
  readonly #pool: HTMLElement[] = [];
  #shown: Light[] = [];
  #condition: Condition | null = null;
  #selected: string | null = null;
  #sortedMs = Number.NEGATIVE_INFINITY;
  #timer = 0;

  constructor(store: Store, units: (tokenIndex: number) => Units, opens: (device: string) => void) {
    this.#store = store;
    this.#units = units;
    this.#opens = opens;
    this.#box.append(this.#sheet);
    this.#box.addEventListener("scroll", () => this.#draw(), { passive: true });
    this.#search.addEventListener("input", () => this.#refresh());
    this.#order.addEventListener("change", () => this.#refresh());
    new ResizeObserver(() => this.#draw()).observe(this.#box);
    this.#box.addEventListener("keydown", (event) => this.#press(event));
  }

  changed(): void {
    const waitMs = this.#sortedMs + SORT_MS - performance.now();
    if (waitMs <= 0) this.#sort();
    else if (this.#timer === 0) this.#timer = window.setTimeout(() => this.#refresh(), waitMs);
    this.#draw();
  }

  show(condition: Condition | null): void {
    this.#condition = condition;
    this.#box.scrollTop = 0;
    this.#refresh();
  }

  select(device: string | null): void {
    this.#selected = device;
    this.#draw();
  }

  #refresh(): void {
    this.#sort();
    this.#draw();
  }

  #sort(): void {
    this.#sortedMs = performance.now();
    clearTimeout(this.#timer);
    this.#timer = 0;
    const text = this.#search.value.trim().toLowerCase();
    this.#shown = this.#store.lights.filter(
      (light) =>
        (this.#condition === null || light.condition === this.#condition) &&
        (text === "" || light.name.toLowerCase().includes(text) || light.device.includes(text)),
    );
    this.#shown.sort(comparison(this.#order.value as Order));
  }

  #draw(): void {
    const { length } = this.#shown;
    this.#sheet.style.height = `${length * ROW_PIXELS}px`;
    const first = Math.max(0, Math.floor(this.#box.scrollTop / ROW_PIXELS) - SPARE_ROWS);
    const count = Math.min(length - first, Math.ceil(this.#box.clientHeight / ROW_PIXELS) + 2 * SPARE_ROWS);
    for (let i = 0; i < Math.max(count, this.#pool.length); i++) {
      const row = this.#pool[i] ?? this.#newRow();
      const light = i < count ? this.#shown[first + i] : undefined;
      row.hidden = light === undefined;
      if (light !== undefined) this.#fill(row, light, first + i);
    }
    const chosen = this.#pool.find((row) => !row.hidden && row.dataset.device === this.#selected);
    this.#box.setAttribute("aria-activedescendant", chosen?.id ?? "");
    this.#box.setAttribute("data-count", String(length));
    this.#sheet.classList.toggle("empty", length === 0);
    if (length === 0) {
      const isSilent = this.#store.lights.length === 0;
      this.#sheet.textContent = isSilent ? "No light has been heard yet." : "No light fits.";
      this.#pool.length = 0;
    }
  }

  #newRow(): HTMLElement {
    if (this.#pool.length === 0) this.#sheet.textContent = "";
    const row = make(
      "div",
      { class: "row", role: "option", id: `row-${this.#pool.length}` },
      make("i", { class: "dot", "aria-hidden": "true" }),
      make("div", {}, make("b"), make("span")),
      make("div", { class: "end" }, make("b"), make("span")),
    );
    row.addEventListener("click", () => this.#opens(row.dataset.device!));
    this.#pool.push(row);
    this.#sheet.append(row);
    return row;
  }

  #fill(row: HTMLElement, light: Light, position: number): void {
    const [dot, left, right] = row.children as unknown as [HTMLElement, HTMLElement, HTMLElement];
    row.dataset.device = light.device;
    row.style.top = `${position * ROW_PIXELS}px`;
    row.setAttribute("aria-selected", String(light.device === this.#selected));
    row.setAttribute("aria-posinset", String(position + 1));
    row.setAttribute("aria-setsize", String(this.#shown.length));
    dot.className = `dot ${light.condition}`;
    const refusal = light.refusal === null ? "" : ` · ${light.refusal}`;
    write(left, light.name, `${light.condition}${refusal}`);
    left.lastElementChild!.className = light.condition === "starved" ? "warn" : "";
    const balance = money(light.promised - light.charged, this.#units(light.tokenIndex));
    write(
      right,
      rate(light.powerMilliwatts, light.unit).join(" "),
      light.daysLeft === null ? balance : daysLeft(light.daysLeft),
    );
  }

  #press(event: KeyboardEvent): void {
    const page = Math.floor(this.#box.clientHeight / ROW_PIXELS);
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.#shown.length,
      End: this.#shown.length,
    };
    const by = steps[event.key];
    if (by !== undefined) this.#move(by);
    else if (event.key === "Enter" && this.#selected !== null) this.#opens(this.#selected);
    else return;
    event.preventDefault();
  }

  #move(by: number): void {
    if (this.#shown.length === 0) return;
    const now = this.#shown.findIndex(({ device }) => device === this.#selected);
    const next = Math.min(this.#shown.length - 1, Math.max(0, now + by));
    this.#selected = this.#shown[next]!.device;
    const box = this.#box;
    const top = next * ROW_PIXELS;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + ROW_PIXELS > box.scrollTop + box.clientHeight) {
      box.scrollTop = top + ROW_PIXELS - box.clientHeight;
    }
    this.#draw();
  }
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
