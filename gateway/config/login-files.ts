/**
 * How the gateway proves itself to a broker that others run: user and password, a client certificate, or both.
 *
 * Promise: files that do not fit together are reported by member and file before they are used; a private key is
 * read only from a file that its owner alone can read.
 */

import { createSecureContext } from "node:tls";
import type { IClientOptions } from "mqtt";
import { readPrivate } from "#node/journal/private-file";
import { Watt402Error } from "#payment/watt402-error";
import { keepExpiry, pemIn } from "./certificates.ts";
import { readSecret } from "./secret.ts";

export interface LoginFiles {
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  /** PEM file of the authority that signed the broker's certificate. */
  readonly caFile?: string | undefined;
  /** PEM files of the gateway's own certificate and its key, for a broker that asks for them. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export type Login = Pick<IClientOptions, "username" | "password" | "ca" | "cert" | "key">;

/** A device's account, of no device that runs. */
export interface ProbeAccount {
  readonly url: string;
  readonly login: Login;
  /** 40 lower-case hex digits: what its login proves. */
  readonly device: string;
}

const PEM_BYTES_MAX = 65_536;

/** Reads what the files say now. Throws one line. @param section of the configuration, as "broker" */
export function readLogin(section: string, files: LoginFiles): Login {
  const { username, passwordFile, caFile, certFile, keyFile } = files;
  const login: Login = {
    ...(username === undefined ? {} : { username }),
    ...(passwordFile === undefined ? {} : { password: readSecret(`${section}.passwordFile`, passwordFile) }),
    ...(caFile === undefined ? {} : { ca: pemIn(`${section}.caFile`, caFile) }),
  };
  if (certFile === undefined || keyFile === undefined) return login;
  const cert = pemIn(`${section}.certFile`, certFile);
  const key = privateKeyIn(`${section}.keyFile`, keyFile);
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new Watt402Error(
      "config-invalid",
      `${section}: expected a certificate and its key, found ${certFile} and ${keyFile}: ${(error as Error).message}`,
    );
  }
  keepExpiry(certFile, cert);
  return { ...login, cert, key };
}

/** The files behind a login, to be watched. */
export function filesOf({ passwordFile, caFile, certFile, keyFile }: LoginFiles): readonly string[] {
  return [passwordFile, caFile, certFile, keyFile].filter((file) => file !== undefined);
}

function privateKeyIn(member: string, file: string): string {
  let text: string | null;
  try {
    text = readPrivate(
      file,
      "private key",
      PEM_BYTES_MAX,
      "others may have read it: chmod 600, and renew it",
    );
  } catch (error) {
    throw new Watt402Error("config-invalid", `${member}: ${(error as Error).message}`);
  }
  if (text?.includes("PRIVATE KEY-----")) return text;
  throw new Watt402Error(
    "config-invalid",
    `${member}: ${file}: expected a private key in PEM, found ${text === null ? "no file" : "none"}`,
  );
}
