/**
 * What devices that move bought of each seller, used in its region, and left there.
 *
 * Promise: of each seller, granted is used and waiting, to the unit.
 */
import type { Profile } from "../../profiles/profile.ts";

/** A device, as one of its sellers knows it. */
export interface SellersDevice {
  readonly name: string;
  readonly site: { readonly profile: Profile };
  readonly monitor: { readonly made: number };
  /** Units granted there and not used. */
  waitingUnits?(): number;
  readonly isHere?: boolean;
}

export interface MovingPart {
  readonly profile: string;
  readonly unit: string;
  /** Number of the seller on the map, from 1. */
  readonly seller: number;
  /** That ever bought there. */
  readonly devices: number;
  readonly payments: number;
  /** Units: by the seller's accounts, in its region, and what waits for a return. */
  readonly granted: number;
  readonly used: number;
  readonly waiting: number;
  /** The most that one device has left there, that is elsewhere now. */
  readonly waitingMost: number;
}

/** @param books of each seller, in their order */
export function movingOf(
  books: readonly {
    readonly lights: readonly SellersDevice[];
    readonly reconciliation: { readonly used: ReadonlyMap<string, { readonly granted: number }> };
  }[],
): MovingPart[] {
  let seller = 0;
  return books.flatMap(({ lights, reconciliation }) => {
    const moving = lights.filter(({ site }) => site.profile.sellers !== undefined);
    const [first] = moving;
    if (first === undefined) return [];
    seller += 1;
    const { name, goods } = first.site.profile;
    const granted = moving.reduce((sum, device) => sum + reconciliation.used.get(device.name)!.granted, 0);
    const waits = moving.map((device) => device.waitingUnits?.() ?? 0);
    const left = waits.filter((_units, index) => moving[index]!.isHere !== true);
    const waiting = waits.reduce((sum, units) => sum + units, 0);
    return [
      {
        profile: name,
        unit: goods.unit,
        seller,
        devices: moving.length,
        payments: moving.reduce((sum, { monitor }) => sum + monitor.made, 0),
        granted,
        used: granted - waiting,
        waiting,
        waitingMost: Math.max(0, ...left),
      },
    ];
  });
}

export function movingLine({ profile, unit, seller, granted, used, waiting, payments }: MovingPart): string {
  return `seller ${seller}   ${used} ${unit} used of ${granted} granted in ${payments} payments, ${waiting} wait (${profile})`;
}
