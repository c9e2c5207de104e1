/**
 * Which device buys from which seller.
 *
 * Promise: a device keeps the seller it buys from while that one sells, unless a better one by its order, or a
 * clearly cheaper one, sells, too; a seller that was away gets one device on trial before it gets all; without
 * any that sells, nothing is changed. A device that says what it may pay with is sent to no seller that takes none of
 * it; one that says whom it pays now, to no other; one that signs ahead gets a metered seller only where there is no other.
 */
import { isPaidBy } from "#protocol/payment-token";
import type { DeviceRecord, SellerRouter } from "../purchase/ports.ts";
import type { RunningSellerClient } from "./seller-client.ts";

/** A seller and whom it sells to. */
export interface SellerEntry {
  readonly client: RunningSellerClient;
  /** 40 lower-case hex digits each; null: to all. */
  readonly devices: ReadonlySet<string> | null;
}

/** Another seller's price has to be lower by so many thousandths: every change takes a deposit of its own. */
const CHEAPER_PERMILLE = 50;

/** How long a seller on trial waits for its one device to pay. */
const TRIAL_MS = 60_000;

interface Trial {
  readonly device: string;
  readonly sinceMs: number;
}

/** @param entries in the order of preference  @param nowMs monotonic */
export function openSellerRouter(
  entries: readonly SellerEntry[],
  choose: "order" | "cheapest",
  nowMs: () => number,
): SellerRouter {
  const trials = new Map<string, Trial>();

  /** Those who name a device go before those who sell to all. */
  function rankedFor(
    { device, unit, pays, payee }: DeviceRecord,
    signsAhead: boolean,
  ): RunningSellerClient[] {
    const own = entries.filter(({ devices }) => devices?.has(device));
    const open = [...own, ...entries.filter(({ devices }) => devices === null)].map(({ client }) => client);
    const here = open.filter((client) => payee === "" || client.payee === payee);
    const all = here.filter(({ tokens }) => pays === "" || tokens.some((token) => isPaidBy(pays, token)));
    const fitting = all.filter((client) => (client.tariff()?.unit ?? unit) === unit);
    const known = fitting.length > 0 ? fitting : all;
    const whole = signsAhead ? known.filter((client) => !client.isMetered()) : known;
    // Without another the device refuses it by name.
    return whole.length > 0 ? whole : known;
  }

  function mayTry({ name }: RunningSellerClient, device: string, isBuying: boolean): boolean {
    const trial = trials.get(name);
    const isFree = trial === undefined || nowMs() - trial.sinceMs > TRIAL_MS;
    if (isFree && isBuying) trials.set(name, { device, sinceMs: nowMs() });
    return isFree ? isBuying : trial.device === device;
  }

  function cheapest(clients: readonly RunningSellerClient[], present: string | null): RunningSellerClient {
    const priceOf = (client: RunningSellerClient) =>
      client.tariff()?.pricePerMillionUnits ?? Number.POSITIVE_INFINITY;
    const best = clients.reduce((low, client) => (priceOf(client) < priceOf(low) ? client : low));
    const held = clients.find((client) => present !== null && client.owns(present));
    const isClear = held === undefined || priceOf(best) * 1000 <= priceOf(held) * (1000 - CHEAPER_PERMILLE);
    return isClear ? best : held;
  }

  return {
    clientFor(device, present, isBuying, signsAhead) {
      const ranked = rankedFor(device, signsAhead);
      const selling = ranked.filter(({ health }) => health !== "away");
      for (const { name, health } of selling) if (health !== "trial") trials.delete(name);
      for (let left = selling; left.length > 0; ) {
        const best = choose === "order" ? left[0]! : cheapest(left, present);
        if (best.health !== "trial" || mayTry(best, device.device, isBuying)) return best;
        left = left.filter((client) => client !== best);
      }
      // Where nothing else sells, all may try.
      const held = ranked.find((client) => present !== null && client.owns(present));
      const heard = ranked.find((client) => client.tariff() !== null);
      // Without terms nothing can be offered; the first one's reason is reported.
      return selling[0] ?? held ?? heard ?? ranked[0] ?? null;
    },
    clientOf: ({ seller }) => entries.find(({ client }) => client.owns(seller))?.client ?? null,
  };
}
