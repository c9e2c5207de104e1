/**
 * One light as it will be written: an installer's fields, checked.
 *
 * Promise: an order is complete and every part of it was checked by what will read it: device.toml by the
 * device, meter and lamp by their drivers; otherwise every fault is reported, each with its field.
 */

import { existsSync, readFileSync } from "node:fs";
import { fromHex } from "#payment/bytes";
import { addressOf } from "#payment/key";
import { Watt402Error } from "#payment/watt402-error";
import { bootLines, usesHeaderUart } from "../card/boot-lines.ts";
import { type Login, type Wifi, wpaKey } from "../card/cloud-init.ts";
import { configFaults, deviceToml } from "./device-toml.ts";
import { type Fault, FIELDS, type FieldName, type Fields } from "./fields.ts";
import { readOwnMap } from "./own-map.ts";
import { type DriverTable, type LampChoice, readLampChoice, readMeterChoice } from "./part-choice.ts";

export interface Order {
  readonly login: Login;
  readonly wifi: Wifi | null;
  readonly deviceToml: string;
  /** PEM of a private authority, or null. */
  readonly gatewayCa: string | null;
  /** The light's password at its broker, or null: its key logs in. */
  readonly brokerPassword: string | null;
  /** JSON of a register map of the installer's own, or null. */
  readonly meterMap: string | null;
  readonly bootLines: readonly string[];
  readonly freeUart: boolean;
}

type OrderOrFaults = { readonly order: Order } | { readonly faults: readonly Fault[] };

/** Checks one light's fields; nothing is written. */
export function readOrder(fields: Fields): OrderOrFaults {
  const faults: Fault[] = [];
  const textOf = (name: FieldName) => (fields.values[name] ?? "").trim();
  /** Runs `read` on a value; its errors become the field's, a line each. */
  const field = <Value>(name: FieldName, read: (text: string) => Value): Value | null => {
    try {
      return read(textOf(name));
    } catch (error) {
      for (const text of (error as Error).message.split("\n")) faults.push({ field: name, text });
      return null;
    }
  };
  for (const { name, fallback } of FIELDS) {
    if (fallback === null && textOf(name) === "")
      faults.push({ field: name, text: "expected a value, found none" });
  }
  const given = <Value>(name: FieldName, read: (text: string) => Value): Value | null =>
    textOf(name) === "" ? null : field(name, read);

  const hostname = given("hostname", readHostname);
  const user = field("user", readUser);
  const sshKey = given("ssh-key", readSshKey);
  const wifi = readWifi(textOf("wifi-ssid"), textOf("wifi-password"), textOf("wifi-country"), faults);
  const gatewayCa = given("gateway-ca", readAuthority);
  const brokerPassword = given("broker-password", readBrokerPassword);
  const own = given("map", readOwnMap);
  // A map that cannot be read is the fault to report, and not that its name is unknown.
  const isMapWrong = own === null && textOf("map") !== "";
  const meter = isMapWrong ? null : given("meter", (text) => readMeterChoice(text, own));
  const lamp = given("lamp", readLampChoice);
  given("gateway-key", readGatewayKey);
  if ((textOf("sun") === "") === (textOf("steps") === "")) {
    faults.push({
      field: "sun",
      text: `expected either sun or steps, found ${textOf("sun") ? "both" : "neither"}`,
    });
  }
  if (faults.length > 0) return { faults };
  const login = { hostname: hostname!, user: user!, sshKey };
  return finish(
    fields,
    { login, wifi, gatewayCa, brokerPassword, meterMap: own?.text ?? null },
    meter!,
    lamp!,
  );
}

function finish(
  fields: Fields,
  parts: Pick<Order, "login" | "wifi" | "gatewayCa" | "brokerPassword" | "meterMap">,
  meter: DriverTable,
  lamp: LampChoice,
): OrderOrFaults {
  const written = deviceToml(fields, meter, lamp.table, {
    authority: parts.gatewayCa !== null,
    brokerPassword: parts.brokerPassword !== null,
  });
  if ("faults" in written) return written;
  const faults = configFaults(written.toml);
  if (faults.length > 0) return { faults };
  return {
    order: {
      ...parts,
      deviceToml: written.toml,
      bootLines: bootLines(meter, lamp),
      freeUart: usesHeaderUart(meter, lamp.table),
    },
  };
}

/** RFC 1123 section 2.1, one label. */
function readHostname(text: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return text;
  throw new Watt402Error(
    "config-invalid",
    `expected 1..63 of a-z, 0-9 and hyphens, none at the ends, found "${text}"`,
  );
}

/** As Debian's adduser takes it. */
function readUser(text: string): string {
  const name = text === "" ? "installer" : text;
  if (name === "root")
    throw new Watt402Error("config-invalid", 'expected an account of its own, found "root"');
  if (/^[a-z_][a-z0-9_-]{0,31}$/.test(name)) return name;
  throw new Watt402Error(
    "config-invalid",
    `expected 1..32 of a-z, 0-9, - and _, a letter first, found "${name}"`,
  );
}

const SSH_TYPES = [
  "ssh-ed25519",
  "ssh-rsa",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ssh-ed25519@openssh.com",
  "sk-ecdsa-sha2-nistp256@openssh.com",
];

/** An OpenSSH public key, or the file that holds it (RFC 4253 section 6.6: the blob begins with its type). */
function readSshKey(text: string): string {
  const line = (SSH_TYPES.some((type) => text.startsWith(`${type} `)) ? text : readText(text)).trim();
  if (line.includes("PRIVATE KEY"))
    throw new Watt402Error("config-invalid", `expected a public key, found a private one; use ${text}.pub`);
  const [type, blob] = line.split(/\s+/);
  const bytes = Buffer.from(blob ?? "", "base64");
  const length = bytes.length >= 4 ? bytes.readUInt32BE(0) : 0;
  const isKey = SSH_TYPES.includes(type!) && bytes.subarray(4, 4 + length).toString("latin1") === type;
  if (!isKey || /[^ -~]/.test(line)) {
    throw new Watt402Error("config-invalid", `expected one OpenSSH public key, found "${line.slice(0, 40)}"`);
  }
  return line;
}

function readAuthority(file: string): string {
  const pem = readText(file);
  if (/-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----/.test(pem)) return pem;
  throw new Watt402Error("config-invalid", `expected a certificate in PEM, found something else in ${file}`);
}

/** MQTT takes up to 65,535 bytes; a typed password needs no more than this. */
function readBrokerPassword(text: string): string {
  if (/^[!-~]{1,255}$/.test(text)) return text;
  throw new Watt402Error(
    "config-invalid",
    `expected 1..255 plain characters without spaces, found ${text.length}`,
  );
}

function readText(file: string): string {
  if (!existsSync(file))
    throw new Watt402Error(
      "file-inaccessible",
      `expected a key or a readable file, found none: ${file.slice(0, 60)}`,
    );
  return readFileSync(file, "utf8");
}

function readGatewayKey(text: string): void {
  const expected = "expected a compressed secp256k1 key, 0x02 or 0x03 and 64 hex digits";
  if (!/^0x0[23][0-9a-fA-F]{64}$/.test(text))
    throw new Watt402Error("config-invalid", `${expected}, found "${text}"`);
  try {
    addressOf(fromHex(text as `0x${string}`));
  } catch {
    throw new Watt402Error("config-invalid", `${expected} that name a point of the curve, found "${text}"`);
  }
}

function readWifi(ssid: string, password: string, country: string, faults: Fault[]): Wifi | null {
  const before = faults.length;
  const fault = (field: FieldName, text: string) => faults.push({ field, text });
  if (ssid === "") {
    if (password !== "") fault("wifi-ssid", "expected the network that the password is for, found none");
    return null;
  }
  const ssidBytes = Buffer.byteLength(ssid);
  // IEEE 802.11: an SSID is 0..32 bytes.
  if (ssidBytes > 32) fault("wifi-ssid", `expected 1..32 bytes, found ${ssidBytes}`);
  const isKey = /^[0-9a-fA-F]{64}$/.test(password);
  if (!isKey && !/^[ -~]{8,63}$/.test(password)) {
    const found = password === "" ? "none" : `${password.length} characters`;
    fault("wifi-password", `expected 8..63 plain characters or a key of 64 hex digits, found ${found}`);
  }
  if (!isCountry(country))
    fault("wifi-country", `expected a country of two letters like DE, found "${country}"`);
  if (faults.length > before) return null;
  return { ssid, derivedKey: isKey ? password.toLowerCase() : wpaKey(ssid, password), country };
}

/** ISO 3166-1 alpha-2: a code that has no name is none. */
function isCountry(code: string): boolean {
  if (!/^[A-Z]{2}$/.test(code)) return false;
  return new Intl.DisplayNames("en", { type: "region", fallback: "none" }).of(code) !== undefined;
}
