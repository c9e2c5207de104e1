/**
 * Which device buys from which seller.
 *
 * Promise: a device keeps the seller it buys from while that one sells, unless a better one by its order, or a
 * clearly cheaper one, sells, too; a seller that was away gets one device on trial before it gets all; without
 * any that sells, nothing is changed.
 */
import type { DeviceRecord, SellerRouter } from "../purchase/ports.ts";
import type { RunningSellerClient } from "./seller-client.ts";

/** A seller and whom it sells to. */
export interface Stall {
  readonly shop: RunningSellerClient;
  /** 40 lower-case hex digits each; null: to all. */
  readonly devices: ReadonlySet<string> | null;
}

/** Another seller's price has to be lower by so many thousandths: every change takes a deposit of its own. */
const CHEAPER_PERMILLE = 50;

/** How long a seller on trial waits for its one device to pay. */
const SCOUT_MS = 60_000;

interface Scout {
  readonly device: string;
  readonly sinceMs: number;
}

/** @param stalls in the order of preference  @param nowMs monotonic */
export function openSellerRouter(
  stalls: readonly Stall[],
  choose: "order" | "cheapest",
  nowMs: () => number,
): SellerRouter {
  const scouts = new Map<string, Scout>();

  /** Those who name a device go before those who sell to all. */
  function rankedFor({ device, unit }: DeviceRecord): RunningSellerClient[] {
    const own = stalls.filter(({ devices }) => devices?.has(device));
    const all = [...own, ...stalls.filter(({ devices }) => devices === null)].map(({ shop }) => shop);
    const known = all.filter(({ standing }) => standing !== "dismissed");
    const fitting = known.filter((shop) => (shop.tariff()?.unit ?? unit) === unit);
    return fitting.length > 0 ? fitting : known;
  }

  function mayTry({ name }: RunningSellerClient, device: string, isBuying: boolean): boolean {
    const scout = scouts.get(name);
    const isFree = scout === undefined || nowMs() - scout.sinceMs > SCOUT_MS;
    if (isFree && isBuying) scouts.set(name, { device, sinceMs: nowMs() });
    return isFree ? isBuying : scout.device === device;
  }

  function cheapest(shops: readonly RunningSellerClient[], present: string | null): RunningSellerClient {
    const priceOf = (shop: RunningSellerClient) =>
      shop.tariff()?.pricePerMillionUnits ?? Number.POSITIVE_INFINITY;
    const best = shops.reduce((low, shop) => (priceOf(shop) < priceOf(low) ? shop : low));
    const held = shops.find((shop) => present !== null && shop.owns(present));
    const isClear = held === undefined || priceOf(best) * 1000 <= priceOf(held) * (1000 - CHEAPER_PERMILLE);
    return isClear ? best : held;
  }

  return {
    shopFor(device, present, isBuying) {
      const ranked = rankedFor(device);
      const selling = ranked.filter(({ standing }) => standing !== "away");
      for (const { name, standing } of selling) if (standing !== "trial") scouts.delete(name);
      for (let left = selling; left.length > 0; ) {
        const best = choose === "order" ? left[0]! : cheapest(left, present);
        if (best.standing !== "trial" || mayTry(best, device.device, isBuying)) return best;
        left = left.filter((shop) => shop !== best);
      }
      // Where nothing else sells, all may try.
      const held = ranked.find((shop) => present !== null && shop.owns(present));
      const heard = ranked.find((shop) => shop.tariff() !== null);
      // Without terms nothing can be offered; the first one tells why.
      return selling[0] ?? held ?? heard ?? ranked[0] ?? null;
    },
    shopOf: ({ seller }) => stalls.find(({ shop }) => shop.owns(seller))?.shop ?? null,
  };
}
