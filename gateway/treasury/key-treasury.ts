/**
 * A treasury whose key is in this process.
 *
 * Promise: it signs what the ledger intended (purchase/deposit.ts) and shows its secret to nobody.
 */
import type { Key } from "#payment/key";
import type { Treasury } from "../purchase/ports.ts";

export function keyTreasury(key: Key): Treasury {
  return { address: key.address, sign: (digest) => key.sign(digest) };
}
