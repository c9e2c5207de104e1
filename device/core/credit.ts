/**
 * What a device may still consume: granted minus consumed.
 *
 * Promise: credit counts every channel's grants once, so changing channel or seller loses none; it is
 * the only thing that keeps the relay closed.
 */
import { msUntilUsed, raiseCounter } from "./units.ts";

export interface Account {
  /** Units granted to this device over all its channels, cumulative. */
  readonly granted: number;
  /** Register when the account was opened, metered units. */
  readonly registerAtOpen: number;
  /** Of a device that moves between sellers: whose credit this is; what waits at the others is not in `granted`. */
  readonly payee?: string;
  /** All whom it bought from, the latest first; host/credit-by-seller.ts keeps them. */
  readonly sellers?: readonly SellerCredit[];
  /** Units that waited at sellers that are forgotten. */
  readonly lost?: number;
}

/** What one seller granted and was not used there. */
export interface SellerCredit {
  readonly payee: string;
  /** Units that wait while the device is elsewhere; below 0: owed. */
  readonly units: number;
  /** Ids of the latest channels with it. */
  readonly channels: readonly string[];
}

/** Units left; negative when the device consumed on credit (policy "dim" or "on"). */
export function creditOf(account: Account, registerTotal: number): number {
  return account.granted - (registerTotal - account.registerAtOpen);
}

/** The account after a channel's cumulative grant rose from one value to another; a lower one changes nothing. */
export function raiseGrant(account: Account, channelFrom: number, channelTo: number): Account {
  if (channelTo <= channelFrom) return account;
  return {
    granted: raiseCounter(account.granted, channelTo - channelFrom),
    registerAtOpen: account.registerAtOpen,
  };
}

/**
 * Milliseconds until credit ends at the given load, rounded up; Infinity without load.
 * @param loadMilliwatts present power (for other units: units per hour)
 */
export function msUntilCreditEnds(creditUnits: number, loadMilliwatts: number): number {
  return msUntilUsed(creditUnits, loadMilliwatts);
}
