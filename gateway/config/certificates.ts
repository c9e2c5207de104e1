/**
 * The broker's certificate, when certificates in use expire, and what a client's certificate says of a device.
 *
 * Promise: files that do not fit together are reported by member and file before they are used; a session is
 * never taken up again without its certificate being looked at. A file that could not be taken over leaves the
 * expiry that is known: it is the one in force.
 */

import { constants, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type PeerCertificate, type TlsOptions } from "node:tls";
import { Watt402Error } from "#payment/watt402-error";
import { isDeviceName } from "#protocol/topics";

export interface TlsListener {
  /** 0 takes any free port. */
  readonly port: number;
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string | null;
  /** "optional": a certificate or a password proves a device; "required": a certificate alone. */
  readonly clientCertificates: "none" | "optional" | "required";
}

/** Reads the files of a listener. Throws one line. */
export function readCertificates(listener: TlsListener): TlsOptions {
  const cert = pemIn("broker.tls.certFile", listener.certFile);
  const key = pemIn("broker.tls.keyFile", listener.keyFile);
  const ca = listener.clientCaFile === null ? null : pemIn("broker.tls.clientCaFile", listener.clientCaFile);
  const options: TlsOptions = {
    cert,
    key,
    ...(ca === null ? {} : { ca }),
    minVersion: "TLSv1.2",
    // A ticket would carry a client past the authorities that are trusted by now.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
  try {
    createSecureContext(options);
  } catch (error) {
    throw new Watt402Error(
      "config-invalid",
      `broker.tls: expected a certificate and its key, found ${listener.certFile} and ${listener.keyFile}: ` +
        (error as Error).message,
    );
  }
  keepExpiry(listener.certFile, cert);
  if (listener.clientCaFile !== null && ca !== null) keepExpiry(listener.clientCaFile, ca);
  return options;
}

/** Unix seconds by file; as many as the configuration names. */
const expiries = new Map<string, number>();

/** When a file that is in use stops to serve; null: none of that name was taken over. */
export function expiryOf(file: string): number | null {
  return expiries.get(file) ?? null;
}

/** Remembers the first expiry in a file: a chain fails with any of its certificates. @param pem taken over from it */
export function keepExpiry(file: string, pem: string): void {
  const certificates = pem.match(CERTIFICATE) ?? [];
  const ends = certificates.map((one) => Date.parse(new X509Certificate(one).validTo) / 1000);
  if (ends.length > 0) expiries.set(file, Math.min(...ends));
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The devices that a checked certificate names, by common name or DNS name: 40 lower-case hex digits each. */
export function devicesIn(certificate: PeerCertificate): readonly string[] {
  const { subject, subjectaltname } = certificate;
  const common = [subject?.CN ?? []].flat();
  const names = (subjectaltname ?? "").split(", ").map((name) => name.replace(/^DNS:/, ""));
  return [...new Set([...common, ...names].filter(isDeviceName))];
}

export function pemIn(member: string, file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `${member}: ${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
  if (text.includes("-----BEGIN ")) return text;
  throw new Watt402Error("config-invalid", `${member}: ${file}: expected PEM, found something else`);
}
