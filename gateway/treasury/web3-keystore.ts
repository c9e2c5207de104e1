/**
 * A key at rest under a password: Web3 Secret Storage version 3 with scrypt, as Ethereum's wallets write it.
 *
 * Promise: what is written here other wallets open, and the other way round; a wrong password or a bent file
 * is an error, never another key; no message shows secret or password.
 */

import { createCipheriv, createDecipheriv, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { z } from "zod";
import { type Key, openKey } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";

/** scrypt's cost when a keystore is written: about a second and 256 MiB, as geth's standard. */
const COST = { n: 262_144, r: 8, p: 1 } as const;
const KEY_BYTES = 32;
const CIPHER_KEY_BYTES = 16;

/** Memory that opening a keystore may ask for: 128 x n x r bytes, and a little more. */
const MEMORY_MAX_BYTES = 1_100_000_000;

const hex = z.string().regex(/^(0x)?([0-9a-fA-F]{2})+$/, "expected hex digits");
const KEYSTORE = z.object({
  version: z.literal(3),
  crypto: z.object({
    cipher: z.literal("aes-128-ctr"),
    ciphertext: hex,
    cipherparams: z.object({ iv: hex }),
    kdf: z.literal("scrypt"),
    kdfparams: z.object({
      dklen: z.literal(KEY_BYTES),
      n: z.number().int().min(2).max(1_048_576),
      r: z.number().int().min(1).max(32),
      p: z.number().int().min(1).max(16),
      salt: hex,
    }),
    mac: hex,
  }),
});

/** True for a file that is meant as a keystore: it begins like a JSON object. */
export function isKeystore(text: string): boolean {
  return text.trimStart().startsWith("{");
}

/** Opens a keystore. Rejects with one line when it is none of version 3 or the password does not fit. */
export async function openKeystore(text: string, password: string): Promise<Key> {
  const { crypto } = checked(text);
  const { salt, n, r, p } = crypto.kdfparams;
  const derived = await derive(password, bytesOf(salt), { n, r, p });
  const ciphertext = bytesOf(crypto.ciphertext);
  const mac = bytesOf(crypto.mac);
  const expected = macOf(derived, ciphertext);
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) {
    throw new Watt402Error(
      "passphrase-wrong",
      "expected the keystore's password, found another one (or the file is damaged)",
    );
  }
  const iv = bytesOf(crypto.cipherparams.iv);
  const decipher = createDecipheriv("aes-128-ctr", derived.subarray(0, CIPHER_KEY_BYTES), iv);
  return openKey(Buffer.concat([decipher.update(ciphertext), decipher.final()]));
}

/** @param secret 32 bytes @param cost of scrypt; the standard one unless a test is in a hurry */
export async function writeKeystore(
  secret: Uint8Array,
  password: string,
  cost: { readonly n: number; readonly r: number; readonly p: number } = COST,
): Promise<string> {
  const { address } = openKey(secret);
  const [salt, iv] = [randomBytes(32), randomBytes(16)];
  const derived = await derive(password, salt, cost);
  const cipher = createCipheriv("aes-128-ctr", derived.subarray(0, CIPHER_KEY_BYTES), iv);
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
  const keystore = {
    version: 3,
    id: randomUUID(),
    address: address.slice(2),
    crypto: {
      cipher: "aes-128-ctr",
      ciphertext: ciphertext.toString("hex"),
      cipherparams: { iv: iv.toString("hex") },
      kdf: "scrypt",
      kdfparams: { dklen: KEY_BYTES, ...cost, salt: salt.toString("hex") },
      mac: macOf(derived, ciphertext).toString("hex"),
    },
  };
  return `${JSON.stringify(keystore, null, 2)}\n`;
}

function checked(text: string): z.infer<typeof KEYSTORE> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch {
    throw new Watt402Error("file-invalid", "expected a keystore in JSON, found something else");
  }
  const parsed = KEYSTORE.safeParse(inToday(value));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Watt402Error(
    "file-invalid",
    `expected a keystore of version 3 with scrypt: ${issue!.path.join(".") || "file"}: ${issue!.message}`,
  );
}

/** Older wallets write "Crypto". */
function inToday(keystore: unknown): unknown {
  if (typeof keystore !== "object" || keystore === null || !("Crypto" in keystore)) return keystore;
  return { ...keystore, crypto: keystore.Crypto };
}

/** In JavaScript: OpenSSL refuses r = 1 beyond n = 2^15, and other wallets write it. */
async function derive(
  password: string,
  salt: Uint8Array,
  { n, r, p }: { readonly n: number; readonly r: number; readonly p: number },
): Promise<Buffer> {
  try {
    const options = { N: n, r, p, dkLen: KEY_BYTES, maxmem: MEMORY_MAX_BYTES };
    return Buffer.from(await scryptAsync(password, salt, options));
  } catch (error) {
    throw new Watt402Error("file-invalid", `scrypt with n=${n} r=${r} p=${p}: ${(error as Error).message}`);
  }
}

/** The second half of the derived key and the ciphertext, hashed. */
function macOf(derived: Buffer, ciphertext: Uint8Array): Buffer {
  return Buffer.from(keccak_256(Buffer.concat([derived.subarray(CIPHER_KEY_BYTES), ciphertext])));
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text.replace(/^0x/, ""), "hex");
}
