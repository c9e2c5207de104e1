/**
 * The configuration's section about a broker that others run.
 *
 * Promise: whatever proves the gateway to it is complete, and its files were read, before anything starts.
 */

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { Watt402Error } from "#payment/watt402-error";
import { isDeviceName } from "#protocol/topics";
import { type LoginFiles, type ProbeAccount, readLogin } from "./login-files.ts";

const url = z.string().regex(/^(mqtts?|wss?):\/\//, "expected an mqtt, mqtts, ws or wss URL");

const LOGIN = {
  username: z.string().optional(),
  passwordFile: z.string().optional(),
  caFile: z.string().optional(),
  /** PEM files of a client certificate and its key; read again when they change, for the next connection. */
  certFile: z.string().optional(),
  keyFile: z.string().optional(),
};

export const EXTERNAL = z.strictObject({
  kind: z.literal("external"),
  url,
  /** "auto": MQTT 5, and 3.1.1 (which is 4) where the broker refuses it. */
  version: z.union([z.literal("auto"), z.literal(4), z.literal(5)]).default("auto"),
  ...LOGIN,
  /** Unique at the broker, so one of its own for each of several gateways; absent: a new one at every start. */
  clientId: z.string().optional(),
  /** A device's account, of no device that runs: by it the gateway tests what the broker lets devices read. */
  probe: z.strictObject({ url: url.optional(), ...LOGIN }).optional(),
});

type External = z.infer<typeof EXTERNAL>;

/** What one member of the section asks of another. Throws one line. */
export function checkExternal({ probe, ...broker }: External, source: string): void {
  checkLogin("broker", broker.url, broker, source);
  if (probe !== undefined) checkLogin("broker.probe", probe.url ?? broker.url, probe, source);
}

function checkLogin(section: string, address: string, login: LoginFiles, source: string): void {
  const { certFile, keyFile } = login;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const [there, absent] = certFile === undefined ? ["keyFile", "certFile"] : ["certFile", "keyFile"];
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: ${section}.${absent}: expected a file beside ${there}, found none`,
    );
  }
  if (certFile !== undefined && !/^(mqtts|wss):/.test(address)) {
    throw new Watt402Error(
      "config-invalid",
      `config ${source}: ${section}.certFile: expected an mqtts or wss URL beside it, found ${address}`,
    );
  }
}

/** Reads every file that the section names. Throws one line. */
export function readExternalFiles(broker: External): { readonly probe: ProbeAccount | null } {
  readLogin("broker", broker);
  if (broker.probe === undefined) return { probe: null };
  const { probe } = broker;
  const files = { ...probe, caFile: probe.caFile ?? broker.caFile };
  const login = readLogin("broker.probe", files);
  const device = deviceOf(files);
  if (device === null) {
    throw new Watt402Error(
      "config-invalid",
      "broker.probe: expected a device's name, 40 lower-case hex digits, as username or as the certificate's " +
        `common name, found ${probe.username === undefined ? "none" : `"${probe.username.slice(0, 60)}"`}`,
    );
  }
  return { probe: { url: probe.url ?? broker.url, login, device } };
}

function deviceOf({ username, certFile }: LoginFiles): string | null {
  if (username !== undefined && isDeviceName(username)) return username;
  if (certFile === undefined) return null;
  const { subject } = new X509Certificate(readFileSync(certFile));
  const [, name] = /^CN=(.*)$/m.exec(subject) ?? [];
  return name !== undefined && isDeviceName(name) ? name : null;
}
