/**
 * One light's own page: how it is, what it has left, its life of payments, what it says and hears now.
 *
 * Promise: asked for when it is opened and every few seconds while it is; the list of messages is bounded.
 */
import type { Answer } from "../http/answers.ts";
import type { Frame } from "../telemetry/decoded-frames.ts";
import { find, make } from "./element.ts";
import {
  ago,
  clockTime,
  daysLeft,
  energy,
  MEANING,
  meterShows,
  money,
  price,
  rate,
  type Units,
} from "./format.ts";

type Payment = Answer<"Payment">;

const REFRESH_MS = 3_000;
const PAYMENTS_SHOWN = 40;
const FRAMES_MAX = 60;

export function openLightPage(units: (light: Answer<"Light">) => Units, closes: () => void) {
  const box = find("light");
  const frames = make("ul", { class: "frames", "aria-live": "off" });
  const body = make("div");
  let device: string | null = null;
  let timer = 0;

  async function load(): Promise<void> {
    if (device === null) return;
    const asked = device;
    const light = await ask<Answer<"Light">>(`/api/v1/lights/${asked}`);
    if (asked !== device) return;
    if (light === null) {
      body.replaceChildren(make("p", { class: "note" }, "No light of this address has been heard yet."));
      return;
    }
    // The last rungs: as many as are shown, were all of one quantum.
    const after = Math.max(0, light.charged - PAYMENTS_SHOWN * Math.max(1, light.quantumAtomic));
    const page = await ask<Answer<"Payments">>(`/api/v1/lights/${asked}/payments?limit=500&after=${after}`);
    if (asked === device) body.replaceChildren(...contents(light, page?.payments ?? [], units(light)));
  }

  return {
    show(wanted: string | null) {
      clearInterval(timer);
      device = wanted;
      box.hidden = wanted === null;
      if (wanted === null) return;
      frames.replaceChildren(make("li", { class: "note" }, "listening …"));
      body.replaceChildren();
      const close = make("button", { type: "button", class: "close" }, "Close");
      close.addEventListener("click", closes);
      box.replaceChildren(close, body, make("h2", {}, "Messages, as they go by"), frames);
      close.focus({ preventScroll: true });
      box.scrollTop = 0;
      void load();
      timer = window.setInterval(() => void load(), REFRESH_MS);
    },
    heard(heard: readonly Frame[]) {
      const mine = heard.filter((frame) => frame.device === device);
      if (mine.length === 0) return;
      frames.querySelector(".note")?.remove();
      frames.prepend(...mine.map(frameLine).reverse());
      while (frames.children.length > FRAMES_MAX) frames.lastElementChild!.remove();
    },
  };
}

async function ask<T>(path: string): Promise<T | null> {
  try {
    const response = await fetch(path);
    return response.ok ? ((await response.json()) as T) : null;
  } catch {
    // The gateway is away; the page says so by itself.
    return null;
  }
}

function frameLine({ atSeconds, direction, leaf, fields }: Frame): HTMLElement {
  const text = Object.entries(fields)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
  return make(
    "li",
    {},
    `${clockTime(atSeconds)} ${direction === "up" ? "↑" : "↓"} `,
    make("b", {}, leaf),
    ` ${text}`,
  );
}

function contents(light: Answer<"Light">, payments: readonly Payment[], units: Units): HTMLElement[] {
  const now = Date.now() / 1000;
  const named = { ...units, unit: light.unit };
  const place =
    light.latitude === null ? "" : ` · ${light.latitude.toFixed(5)}, ${light.longitude!.toFixed(5)}`;
  const refusal = light.refusal === null ? "" : ` — ${light.refusal}`;
  const left = Math.max(0, light.promised - light.charged);
  const share = light.promised > 0 ? (100 * left) / light.promised : 0;
  const bar = make("i");
  bar.style.width = `${share}%`;
  return [
    make(
      "header",
      {},
      make(
        "div",
        {},
        make("h1", { tabindex: "-1" }, light.name ?? `${light.device.slice(0, 6)}…${light.device.slice(-4)}`),
        make("p", {}, `0x${light.device}${place}`),
      ),
    ),
    make(
      "p",
      { class: "state" },
      make("i", { class: `dot ${light.condition}`, "aria-hidden": "true" }),
      `${MEANING[light.condition]}${refusal}`,
    ),
    ...(light.unknownSinceSeconds === null
      ? []
      : [
          make(
            "p",
            { class: "note" },
            `Presented ${ago(light.unknownSinceSeconds, now)} and not known yet whether it was charged; it is paid at most once.`,
          ),
        ]),
    ...(light.noOffer === null ? [] : [make("p", { class: "note" }, light.noOffer)]),
    facts([
      [light.unit === "mWh" ? "Power" : "Rate", rate(light.powerMilliwatts, light.unit).join(" ")],
      ["Level, wanted", `${light.levelPercent} %, ${light.wantedPercent} %`],
      ["Meter", energy(light.register, light.unit)],
      ["Meter shows", meterShows(light)],
      ["Credit", energy(light.credit, light.unit)],
      ["Price", price(light.pricePerMillionUnits, named).join("")],
      ["Seller", light.seller ?? "–"],
      ...(units.network === "" ? [] : [["Pays in", `${units.symbol} on ${units.network}`] as const]),
      ["Paid", ago(light.paidSeconds, now)],
      ["Heard", ago(light.heardSeconds, now)],
      ["Payments, refusals", `${light.payments}, ${light.refusals}`],
      ["Model", `${light.model || "–"} ${light.firmware}`],
    ]),
    make("h2", {}, "Deposit"),
    make("div", { class: "balance", role: "img", "aria-label": `${Math.round(share)} percent left` }, bar),
    make(
      "p",
      { class: "note" },
      `${money(left, units)} of ${money(light.promised, units)} left · ${daysLeft(light.daysLeft)} · ` +
        `${light.spentPerDayAtomic === null ? "rate not known yet" : `${money(Math.round(light.spentPerDayAtomic), units)} a day`}`,
    ),
    make("h2", {}, "Last payments"),
    ...life(payments, light, units),
  ];
}

function facts(pairs: readonly (readonly [string, string])[]): HTMLElement {
  return make(
    "dl",
    {},
    ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
  );
}

function life(payments: readonly Payment[], light: Answer<"Light">, units: Units): HTMLElement[] {
  if (payments.length === 0) return [make("p", { class: "note" }, "None in the ledger yet.")];
  const head = ["Time", "Paid", "In all", "Granted in all"].map((text) => make("th", { scope: "col" }, text));
  const rows = payments
    .slice(-PAYMENTS_SHOWN)
    .reverse()
    .map((payment) =>
      make(
        "tr",
        {},
        make("td", {}, clockTime(payment.atSeconds)),
        make("td", {}, money(payment.amountAtomic, units)),
        make("td", {}, money(payment.maxClaimable, units)),
        make("td", {}, energy(payment.granted, light.unit)),
      ),
    );
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  const all = make(
    "a",
    { href: `/api/v1/lights/${light.device}/payments?limit=500` },
    "All payments from the first, as JSON",
  );
  return [table, make("p", { class: "note" }, all)];
}
