/**
 * What a broker elsewhere wants from a run: an authority for its certificate, and one account for the gateway and
 * all lights.
 *
 * Promise: files are read and checked before anything is started; no password is shown.
 */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { TlsFiles } from "#node/broker-socket";
import type { PasswordLogin } from "#node/mqtt-link";
import { Watt402Error } from "#payment/watt402-error";

interface AccountFlags {
  readonly broker?: string;
  readonly brokerUser?: string;
  readonly brokerPasswordFile?: string;
  readonly brokerCa?: string;
}

export interface BrokerAccount {
  /** Members of the gateway's section [broker]. */
  readonly section: Readonly<Record<string, string>>;
  /** How each light connects. */
  readonly link: { readonly tls: TlsFiles; readonly login?: PasswordLogin };
}

/** Throws one line. */
export function readBrokerAccount(flags: AccountFlags): BrokerAccount {
  const { broker, brokerUser: username, brokerPasswordFile, brokerCa } = flags;
  const isNamed = [username, brokerPasswordFile, brokerCa].some((flag) => flag !== undefined);
  if (isNamed && broker === undefined)
    throw new Watt402Error("config-invalid", "--broker: expected a broker beside its account, found none");
  if ((username === undefined) !== (brokerPasswordFile === undefined)) {
    const [there, absent] =
      username === undefined
        ? ["--broker-password-file", "--broker-user"]
        : ["--broker-user", "--broker-password-file"];
    throw new Watt402Error("config-invalid", `${absent}: expected it beside ${there}, found none`);
  }
  const ca = brokerCa === undefined ? undefined : textOf("--broker-ca", brokerCa);
  const tls: TlsFiles = ca === undefined ? {} : { ca };
  const caFile: Record<string, string> = brokerCa === undefined ? {} : { caFile: resolve(brokerCa) };
  if (username === undefined || brokerPasswordFile === undefined) return { section: caFile, link: { tls } };
  const password = textOf("--broker-password-file", brokerPasswordFile).trim();
  return {
    section: { ...caFile, username, passwordFile: resolve(brokerPasswordFile) },
    link: { tls, login: { username, password } },
  };
}

function textOf(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Watt402Error(
      "file-inaccessible",
      `${flag}: ${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}
