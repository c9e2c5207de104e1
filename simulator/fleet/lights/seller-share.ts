/**
 * What one device has to do with one of the sellers that it pays.
 *
 * Promise: what is counted here is of that seller alone: its channel, what was signed and granted on it, and what was used
 * in its region; of a device that pays one seller it is the device itself.
 */

import type { State } from "#core/machine";
import { creditLeft } from "#core/machine";
import { creditElsewhere } from "#host/credit-by-seller";
import type { LightCounters } from "../reconciliation/reconciliation.ts";
import type { Violation } from "../reconciliation/violation.ts";
import type { Light } from "./fleet-light.ts";

export interface SellerShare extends LightCounters {
  readonly site: Light["site"];
  readonly monitor: LightCounters["monitor"] & { readonly made: number };
  /** Granted there and not used: what waits for the return. */
  waitingUnits(): number;
  /** The device is in this seller's region. */
  readonly isHere: boolean;
}

/** A second that was begun on one side of a border may be counted on the other, each time that it is passed. */
const BORDER_UNITS = 1;

/** @param nth of the sellers that the device may pay; null: it never was there */
export function shareOf(light: Light, nth: number): SellerShare | null {
  if (light.usedAt === null) return wholeOf(light);
  const payee = light.payees[nth]!;
  const state = light.state();
  const channelId = state.account?.sellers?.find((one) => one.payee === payee)?.channels[0];
  if (channelId === undefined) return null;
  const granted = grantedOn(state, channelId);
  const waiting = waitingAt(state, payee);
  const book = light.monitor.bookOf(channelId);
  const used = light.usedAt(nth);
  // What the device found out of it is told once.
  const violations = nth === 0 ? [...light.monitor.violations] : [];
  const { name, site } = light;
  const off = Math.abs(granted - waiting - used);
  if (off > BORDER_UNITS * (light.borders + 1))
    violations.push(usedOtherwise(name, nth, granted - waiting, used));
  return {
    name,
    site,
    accountId: () => channelId,
    consumedUnits: () => granted - waiting,
    grantedUnits: () => granted,
    waitingUnits: () => waiting,
    isHere: state.account?.payee === payee,
    refusal: () => light.refusal(),
    monitor: {
      violations,
      made: book.made,
      madeAtomic: book.madeAtomic,
      openRungs: book.openRungs,
      signed: () => book.signed(),
      unanswered: (charged) => book.unanswered(charged),
    },
  };
}

function wholeOf(light: Light): SellerShare {
  const { name, site, monitor } = light;
  return {
    name,
    site,
    monitor,
    accountId: () => light.accountId(),
    consumedUnits: () => light.consumedUnits(),
    grantedUnits: () => light.grantedUnits(),
    waitingUnits: () => light.grantedUnits() - light.consumedUnits(),
    isHere: true,
    refusal: () => light.refusal(),
  };
}

function grantedOn({ channel, former }: State, channelId: string): number {
  if (channel?.id === channelId) return channel.granted;
  return former.find(({ id }) => id === channelId)?.granted ?? 0;
}

function waitingAt(state: State, payee: string): number {
  if (state.account?.payee === payee) return creditLeft(state);
  return creditElsewhere(state.account).find((one) => one.payee === payee)?.units ?? 0;
}

function usedOtherwise(light: string, nth: number, paid: number, used: number): Violation {
  const expected = `${paid} units used of seller ${nth + 1}, as they were paid`;
  return { invariant: "E2", light, expected, actual: `${used.toFixed(3)} units` };
}
