/**
 * A device's secret under a passphrase: scrypt (RFC 7914) and AES-256-GCM, as one JSON document.
 *
 * Promise: a wrong passphrase or a single bent bit is an error, never another key; the address stands in
 * the open and is authenticated; no message shows secret or passphrase.
 */

import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import { z } from "zod";
import { fromHex, toHex } from "#payment/bytes";
import { openKey } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import { parseJson } from "#protocol/nesting";

/** 64 MiB, half a second on a small board; a stranger pays it for every guess. */
const COST = { n: 65_536, r: 8, p: 1 } as const;
/** Memory that opening a file may ask for, bytes: 128 x n x r and a little more. */
const MEMORY_MAX_BYTES = 300_000_000;

const KEY_BYTES = 32;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

const hexBytes = (bytes: number) => z.string().regex(new RegExp(`^0x[0-9a-f]{${2 * bytes}}$`));
const SEALED = z.strictObject({
  watt402Key: z.literal(1),
  address: hexBytes(20),
  kdf: z.strictObject({
    name: z.literal("scrypt"),
    n: z.int().min(2).max(262_144),
    r: z.int().min(1).max(8),
    p: z.int().min(1).max(4),
    salt: hexBytes(SALT_BYTES),
  }),
  cipher: z.strictObject({
    name: z.literal("aes-256-gcm"),
    nonce: hexBytes(NONCE_BYTES),
    tag: hexBytes(TAG_BYTES),
  }),
  secret: hexBytes(KEY_BYTES),
});

type Sealed = z.output<typeof SEALED>;

/** True for a text that is meant as a sealed key: it begins like a JSON object. */
export function isSealed(text: string): boolean {
  return text.trimStart().startsWith("{");
}

/** @param secret 32 bytes @param cost of scrypt; the standard one unless a test is in a hurry */
export function sealSecret(
  secret: Uint8Array,
  passphrase: string,
  cost: { n: number; r: number; p: number } = COST,
): string {
  const { address } = openKey(secret);
  const kdf = { name: "scrypt", ...cost, salt: toHex(randomBytes(SALT_BYTES)) } as const;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", derive(passphrase, kdf), nonce);
  cipher.setAAD(headOf(address, kdf));
  const sealed = Buffer.concat([cipher.update(secret), cipher.final()]);
  const document: Sealed = {
    watt402Key: 1,
    address,
    kdf,
    cipher: { name: "aes-256-gcm", nonce: toHex(nonce), tag: toHex(cipher.getAuthTag()) },
    secret: toHex(sealed),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** The secret. Throws in a few words, without the file's name, when the text or the passphrase is wrong. */
export function unsealSecret(text: string, passphrase: string): Uint8Array {
  const { address, kdf, cipher, secret } = readSealed(text);
  const decipher = createDecipheriv("aes-256-gcm", derive(passphrase, kdf), fromHex(cipher.nonce), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(headOf(address, kdf));
  decipher.setAuthTag(fromHex(cipher.tag));
  try {
    return new Uint8Array(Buffer.concat([decipher.update(fromHex(secret)), decipher.final()]));
  } catch {
    throw new Watt402Error(
      "passphrase-wrong",
      "expected the passphrase of this key, found another one, or the file is damaged",
    );
  }
}

/** The address that a sealed key names, not yet proven. */
export function sealedAddress(text: string): string {
  return readSealed(text).address;
}

function readSealed(text: string): Sealed {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch {
    throw new Watt402Error("file-invalid", "expected an encrypted key in JSON, found something else");
  }
  const { data, error } = SEALED.safeParse(value);
  if (data !== undefined) return data;
  const first = error.issues[0]!;
  throw new Watt402Error(
    "file-invalid",
    `expected an encrypted key of version 1, found another at ${first.path.join(".") || "its root"}`,
  );
}

function headOf(address: string, { name, n, r, p, salt }: Sealed["kdf"]): Buffer {
  return Buffer.from(`watt402 key 1|${address}|${name}|${n}|${r}|${p}|${salt}`);
}

function derive(passphrase: string, { n, r, p, salt }: Sealed["kdf"]): Buffer {
  try {
    return scryptSync(passphrase.normalize("NFKC"), fromHex(salt), KEY_BYTES, {
      N: n,
      r,
      p,
      maxmem: MEMORY_MAX_BYTES,
    });
  } catch (error) {
    throw new Watt402Error(
      "file-invalid",
      `expected scrypt with n=${n} r=${r} p=${p} to work, found: ${(error as Error).message}`,
    );
  }
}
