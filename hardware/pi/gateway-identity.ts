/**
 * Who the gateway is and how it is reached, from the configuration.
 *
 * Promise: a public key that is no point of the curve and a certificate file that cannot be read are one
 * line each, with the key that names them.
 */
import { readFileSync } from "node:fs";
import type { TlsFiles } from "#node/broker-socket";
import type { DeviceConfig } from "#node/config";
import { fromHex } from "#payment/bytes";
import { addressOf } from "#payment/key";

/** Compressed, 33 bytes. */
export function gatewayKeyOf(config: DeviceConfig): Uint8Array {
  const publicKey = fromHex(config.gateway.publicKey);
  try {
    addressOf(publicKey);
  } catch {
    throw new Error(`gateway.public_key: expected a point of secp256k1, found ${config.gateway.publicKey}`);
  }
  return publicKey;
}

export function tlsOf({ gateway }: DeviceConfig): TlsFiles {
  const { ca, cert, key } = gateway.tlsFiles;
  return {
    ...(ca === undefined ? {} : { ca: pem("gateway.tls.ca_file", ca) }),
    ...(cert === undefined ? {} : { cert: pem("gateway.tls.cert_file", cert) }),
    ...(key === undefined ? {} : { key: pem("gateway.tls.key_file", key) }),
    ...(gateway.servername === null ? {} : { servername: gateway.servername }),
  };
}

function pem(path: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${path}: expected a readable file, found ${code}: ${file}`);
  }
}
