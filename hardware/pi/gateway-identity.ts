/**
 * Who the gateway is, how it is reached and how the device logs in, from the configuration.
 *
 * Promise: a public key that is no point of the curve, files that cannot be read and secrets that others can
 * read are one line each, with the key that names them.
 */

import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { TlsFiles } from "#node/broker-socket";
import type { DeviceConfig } from "#node/config/device-config";
import { readPrivate } from "#node/journal/private-file";
import type { PasswordLogin } from "#node/mqtt-link";
import { fromHex } from "#payment/bytes";
import { addressOf } from "#payment/key";
import { at, Watt402Error } from "#payment/watt402-error";

/** Compressed, 33 bytes. */
export function gatewayKeyOf(config: DeviceConfig): Uint8Array {
  const publicKey = fromHex(config.gateway.publicKey);
  try {
    addressOf(publicKey);
  } catch {
    throw new Watt402Error(
      "config-invalid",
      `gateway.public_key: expected a point of secp256k1, found ${config.gateway.publicKey}`,
    );
  }
  return publicKey;
}

export function tlsOf({ gateway }: DeviceConfig): TlsFiles {
  const { ca, cert, key } = gateway.tlsFiles;
  const files = {
    ...(ca === undefined ? {} : { ca: pem("gateway.tls.ca_file", ca) }),
    ...(cert === undefined ? {} : { cert: pem("gateway.tls.cert_file", cert) }),
    ...(key === undefined ? {} : { key: secret("gateway.tls.key_file", key, "private key") }),
  };
  try {
    createSecureContext(files);
  } catch (error) {
    throw new Watt402Error(
      "config-invalid",
      `gateway.tls: expected a certificate and its key, found ${cert} and ${key}: ${(error as Error).message}`,
    );
  }
  return { ...files, ...(gateway.servername === null ? {} : { servername: gateway.servername }) };
}

/** Undefined: the device's key logs in. */
export function loginOf({ gateway: { login } }: DeviceConfig): PasswordLogin | "certificate" | undefined {
  if (login === null) return undefined;
  if (login === "certificate") return login;
  const password = secret("gateway.password_file", login.passwordFile, "password").trim();
  if (password !== "") return { username: login.username, password };
  throw new Watt402Error(
    "passphrase-wrong",
    `gateway.password_file: expected a password, found an empty file: ${login.passwordFile}`,
  );
}

const SECRET_BYTES_MAX = 65_536;

function secret(path: string, file: string, what: string): string {
  let text: string | null;
  try {
    text = readPrivate(file, what, SECRET_BYTES_MAX, `others may have read it: chmod 600, and renew it`);
  } catch (error) {
    throw at(path, error, "config-invalid");
  }
  if (text === null)
    throw new Watt402Error("file-inaccessible", `${path}: expected a readable file, found ENOENT: ${file}`);
  return text;
}

function pem(path: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Watt402Error("file-inaccessible", `${path}: expected a readable file, found ${code}: ${file}`);
  }
}
