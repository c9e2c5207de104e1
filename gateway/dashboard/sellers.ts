/**
 * The sellers, the most wanted first: name, price, how many lights buy there, and why one does not sell.
 *
 * Promise: asked for every few seconds while the page is seen; while the gateway is away the last answer stays.
 */
import type { Answer } from "../http/answers.ts";
import { find, make } from "./element.ts";
import { price, type Units } from "./format.ts";

const REFRESH_MS = 5_000;

type Row = Answer<"Sellers">["sellers"][number];

export function openSellers(units: (seller: Row) => Units): void {
  const list = find("sellers");

  async function load(): Promise<void> {
    if (document.hidden) return;
    try {
      const response = await fetch("/api/v1/sellers");
      if (!response.ok) return;
      const { sellers } = (await response.json()) as Answer<"Sellers">;
      list.replaceChildren(...sellers.map((seller) => row(seller, units(seller))));
    } catch {
      // The page says by itself that the gateway is away.
    }
  }

  void load();
  setInterval(() => void load(), REFRESH_MS);
}

function row(
  { name, url, standing, reason, unit, pricePerMillionUnits, lights }: Row,
  units: Units,
): HTMLElement {
  const asked =
    pricePerMillionUnits === null
      ? "no price yet"
      : price(pricePerMillionUnits, { ...units, unit: unit ?? units.unit }).join("");
  const why = standing === "good" ? "" : ` · ${standing}: ${reason}`;
  const detail = `${asked} · ${lights.toLocaleString("en")} ${lights === 1 ? "light" : "lights"}${why}`;
  return make(
    "li",
    { class: standing, title: url },
    make("b", {}, name),
    " ",
    make("small", { class: "detail" }, detail),
  );
}
