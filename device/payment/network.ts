/**
 * CAIP-2 names of EVM networks.
 *
 * Promise: one chain id, one name; parsed by hand, for the boards' regular expressions cannot.
 */

const PREFIX = "eip155:";
const DIGITS_MAX = 15;

/** Chain id of a network of the namespace eip155, 1..10^15-1; null for any other name. */
export function chainIdIn(network: string): number | null {
  if (network.slice(0, PREFIX.length) !== PREFIX) return null;
  const digits = network.slice(PREFIX.length);
  if (digits.length < 1 || digits.length > DIGITS_MAX || digits.charAt(0) === "0") return null;
  for (let i = 0; i < digits.length; i++) if ("0123456789".indexOf(digits.charAt(i)) < 0) return null;
  return Number(digits);
}
