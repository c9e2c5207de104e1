/**
 * The end of a run: every counter of device/GLOSSARY.md, from its writer, held against the others.
 *
 * Promise: money is what the chain's events and balances say, charges are what the seller's accounts
 * say, signatures and energy are what the lights did; a difference of one atomic unit is a violation. A light for
 * which no money moved at all bought nothing, and is reported with the cause.
 */

import type { ChainTruth } from "./chain-truth.ts";
import type { SellerAccount } from "./seller-accounts.ts";
import type { Violation } from "./violation.ts";

/** Sums over the fleet, atomic units. */
export interface Amounts {
  readonly deposited: bigint;
  readonly signed: bigint;
  readonly charged: bigint;
  readonly claimed: bigint;
  readonly settled: bigint;
  readonly refunded: bigint;
  readonly sellerBalance: bigint;
}

export interface Reconciliation {
  readonly amounts: Amounts;
  /** By the device's name, units since the beginning and by the seller's account. */
  readonly used: ReadonlyMap<string, { readonly consumed: number; readonly granted: number }>;
  readonly violations: readonly Violation[];
  readonly notBought: readonly NotBought[];
}

/** A light that signed one rung, and whose money stayed where it was: no deposit, no charge, no claim. */
export interface NotBought {
  readonly light: string;
  /** Atomic units. */
  readonly signed: number;
  /** What it was refused with last; null when it heard nothing. */
  readonly cause: string | null;
}

/** What a light and its monitor know at the end. */
export interface LightCounters {
  readonly name: string;
  /** Where seller and chain keep this light's money. */
  accountId(): string;
  /** Units since the beginning, and credited by the seller's answers. */
  consumedUnits(): number;
  grantedUnits(): number;
  /** Why it does not buy, as it was answered last; null when it buys or heard nothing. */
  refusal(): string | null;
  readonly monitor: {
    readonly violations: readonly Violation[];
    /** Rungs answered for, atomic units. */
    readonly madeAtomic: number;
    /** Different rungs it signed and had no answer for. */
    readonly openRungs: number;
    signed(): number;
    unanswered(charged: number): number;
  };
}

/**
 * @param accounts the seller's, by account id
 * @param sellerIsShared true when the seller may have settled for others too: then this fleet's claims only
 *   have to be among its settlements
 */
export function reconcile(
  lights: readonly LightCounters[],
  accounts: ReadonlyMap<string, SellerAccount>,
  chain: ChainTruth,
  sellerIsShared: boolean,
): Reconciliation {
  const violations = lights.flatMap((light) => light.monitor.violations);
  const notBought: NotBought[] = [];
  let signed = 0n;
  let charged = 0n;
  const used = new Map<string, { consumed: number; granted: number }>();
  for (const light of lights) {
    const account = accounts.get(light.accountId());
    const chargedHere = BigInt(account?.charged ?? 0);
    violations.push(...compare(light, account, chain));
    if (boughtNothing(light, account, chain)) {
      notBought.push({ light: light.name, signed: light.monitor.signed(), cause: light.refusal() });
    }
    signed += BigInt(light.monitor.signed());
    charged += chargedHere;
    used.set(light.name, { consumed: light.consumedUnits(), granted: account?.granted ?? 0 });
  }
  const { deposited, claimed, settled, refunded, sellerBalance } = chain;
  const amounts: Amounts = { deposited, signed, charged, claimed, settled, refunded, sellerBalance };
  violations.push(...compareFleet(amounts, sellerIsShared));
  return { amounts, used, violations, notBought };
}

function compare(light: LightCounters, account: SellerAccount | undefined, chain: ChainTruth): Violation[] {
  const found: Violation[] = [];
  const violate = (invariant: Violation["invariant"], expected: string, actual: string) => {
    found.push({ invariant, light: light.name, expected, actual });
  };
  const { monitor } = light;
  const signed = monitor.signed();
  const charged = account?.charged ?? 0;
  const deposited = chain.depositedBy.get(light.accountId()) ?? 0n;
  const paid = chain.paidBy.get(light.accountId()) ?? 0n;
  if (signed < charged) violate("M2", `signed >= charged ${charged}`, `signed ${signed}`);
  if (BigInt(signed) > deposited && !boughtNothing(light, account, chain)) {
    violate("M1", `signed <= deposited ${deposited}`, `signed ${signed}`);
  }
  // The light counts each rung it was answered for once; a rung charged twice shows as a difference.
  if (charged !== monitor.madeAtomic + monitor.unanswered(charged)) {
    violate("M3", `charged = rungs bought ${monitor.madeAtomic}`, `charged ${charged}`);
  }
  if (paid !== BigInt(charged)) violate("M2", `claimed = charged ${charged}`, `claimed ${paid}`);
  if (light.grantedUnits() > (account?.granted ?? 0)) {
    violate(
      "E2",
      `granted by the seller ${account?.granted ?? 0} units`,
      `credited ${light.grantedUnits()} units`,
    );
  }
  return found;
}

/** It signed its first rung, which waits for a deposit that never came: nothing moved, and no party counts anything. */
function boughtNothing(light: LightCounters, account: SellerAccount | undefined, chain: ChainTruth): boolean {
  const { monitor } = light;
  const moved = [chain.depositedBy, chain.paidBy].some((sums) => (sums.get(light.accountId()) ?? 0n) !== 0n);
  const counted = (account?.charged ?? 0) + monitor.madeAtomic + light.grantedUnits();
  return monitor.signed() > 0 && monitor.openRungs === 1 && !moved && counted === 0;
}

function compareFleet({ charged, claimed, settled, sellerBalance }: Amounts, shared: boolean): Violation[] {
  const found: Violation[] = [];
  const violate = (expected: string, actual: string) => {
    found.push({ invariant: "M2", light: "fleet", expected, actual });
  };
  if (claimed !== charged) violate(`claimed = charged ${charged}`, `claimed ${claimed}`);
  if (shared) {
    if (settled < claimed) violate(`settled >= claimed ${claimed}`, `settled ${settled}`);
    return found;
  }
  if (settled !== claimed) violate(`settled = claimed ${claimed}`, `settled ${settled}`);
  if (sellerBalance !== settled) violate(`seller's balance = settled ${settled}`, `balance ${sellerBalance}`);
  return found;
}
