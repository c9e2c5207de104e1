/**
 * Uniform numbers for back-off, from what the board was provisioned with.
 *
 * Promise: never a secret. The boards' own generators start alike on every board, and would march a fleet in
 * step; these start from the device's name.
 */
import type { Random } from "#core/ports";

/** @param device 40 lower-case hex digits */
export function jitterOf(device: string): Random {
  let state = (parseInt(device.slice(0, 7), 16) % 2147483646) + 1;
  return () => {
    // Park and Miller's generator: exact in a double.
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
