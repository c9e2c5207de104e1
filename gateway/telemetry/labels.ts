/**
 * The closed lists that metrics, API and dashboard share.
 *
 * Promise: imports nothing, so that the dashboard's script has the lists and nothing else.
 */

/** Of a light, worst first: the order in which an operator wants to see them. */
export const CONDITIONS = ["starved", "lost", "new", "dark", "lit"] as const;
export type Condition = (typeof CONDITIONS)[number];

/** What readiness is made of. */
export const CHECK_NAMES = ["broker", "seller", "ledger", "clock", "chain", "duty"] as const;
export type CheckName = (typeof CHECK_NAMES)[number];
