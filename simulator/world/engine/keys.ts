/**
 * The keys of a world: real ones, since identities and tag keys are derived from them, made once for all
 * worlds of a process.
 *
 * Promise: the same index gives the same key; what two keys share is computed once.
 */
import { createHash } from "node:crypto";
import { type Key, openKey } from "#payment/key";

const keys = new Map<string, Key>();
const shared = new Map<string, Uint8Array>();

/** @param name as "light 3", "gateway" */
export function keyOf(name: string): Key {
  let key = keys.get(name);
  if (key === undefined) {
    key = remembering(openKey(createHash("sha256").update(`watt402 world ${name}`).digest()));
    keys.set(name, key);
  }
  return key;
}

/** A point multiplication costs a millisecond, and a world asks for the same ones again and again. */
function remembering(key: Key): Key {
  return {
    address: key.address,
    publicKey: key.publicKey,
    sign: key.sign,
    shareWith(publicKey) {
      const pair = `${key.address} ${Buffer.from(publicKey).toString("hex")}`;
      let secret = shared.get(pair);
      if (secret === undefined) {
        secret = key.shareWith(publicKey);
        shared.set(pair, secret);
      }
      return secret;
    },
  };
}
