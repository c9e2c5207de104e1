/**
 * The broker's certificate, and what a client's certificate says of a device.
 *
 * Promise: files that do not fit together are told by member and file before they are used; a session is
 * never taken up again without its certificate being looked at.
 */
import { constants } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type PeerCertificate, type TlsOptions } from "node:tls";
import { isDeviceName } from "#protocol/topics";

export interface TlsDoor {
  /** 0 takes any free port. */
  readonly port: number;
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string | null;
  /** "optional": a certificate or a password proves a device; "required": a certificate alone. */
  readonly clientCertificates: "none" | "optional" | "required";
}

/** Reads the files of a door. Throws one line. */
export function readCertificates(door: TlsDoor): TlsOptions {
  const cert = pemIn("broker.tls.certFile", door.certFile);
  const key = pemIn("broker.tls.keyFile", door.keyFile);
  const ca = door.clientCaFile === null ? null : pemIn("broker.tls.clientCaFile", door.clientCaFile);
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
    throw new Error(
      `broker.tls: expected a certificate and its key, found ${door.certFile} and ${door.keyFile}: ` +
        (error as Error).message,
    );
  }
  return options;
}

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
    throw new Error(`${member}: ${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (text.includes("-----BEGIN ")) return text;
  throw new Error(`${member}: ${file}: expected PEM, found something else`);
}
