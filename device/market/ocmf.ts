/**
 * What a device's meter showed at the begin and at the end of a span, as an OCMF document that the device signs.
 *
 * Promise: text and signature are OCMF 1.0's (checked against a parser of others); the tariff text carries the hash of the terms.
 * The key is the device's own: it makes no certified meter of it, and whoever reads a document has to know whose key it is.
 * Source: Open Charge Metering Format 1.0, SAFE e.V.; ECDSA-secp256k1-SHA256, DER.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

export interface MeterSpan {
  /** Units of 1 mWh, and Unix seconds. */
  readonly begin: { readonly register: number; readonly atSeconds: number };
  readonly end: { readonly register: number; readonly atSeconds: number };
  readonly termsHash: string;
  /** Of all documents of this device: each number is used once. */
  readonly page: number;
}

export interface MeterIdentity {
  /** Of the device, for people. */
  readonly model: string;
  readonly firmware: string;
  /** 0x and 40 hex digits. */
  readonly device: string;
  readonly meter: string;
}

const MILLIWATT_HOURS_PER_KWH = 1_000_000;

/** @param sign signs a digest of 32 bytes: r, s, and whatever follows */
export function ocmfDocument(
  span: MeterSpan,
  { model, firmware, device, meter }: MeterIdentity,
  sign: (digest: Uint8Array) => Uint8Array,
): string {
  const reading = (reason: "B" | "E", { register, atSeconds }: MeterSpan["begin"]) => ({
    TM: timeText(atSeconds),
    TX: reason,
    RV: register / MILLIWATT_HOURS_PER_KWH,
    RI: "1-b:1.8.0",
    RU: "kWh",
    RT: "AC",
    EF: "",
    ST: "G",
  });
  const said = {
    FV: "1.0",
    GI: model,
    GS: device,
    GV: firmware,
    PG: `T${span.page}`,
    MM: meter,
    MS: device,
    IS: false,
    IL: "NONE",
    IF: [],
    IT: "NONE",
    ID: "",
    TT: `watt402 terms ${span.termsHash}`,
    RD: [reading("B", span.begin), reading("E", span.end)],
  };
  // A bar divides a document: within a text it is written as JSON may write it.
  const payload = JSON.stringify(said).replaceAll("|", "\\u007c");
  const signature = {
    SA: "ECDSA-secp256k1-SHA256",
    SE: "hex",
    SM: "application/x-der",
    SD: bytesToHex(derOf(sign(sha256(utf8ToBytes(payload))))),
  };
  return `OCMF|${payload}|${JSON.stringify(signature)}`;
}

/** The device's clock is not a calibrated one: "I", for information. */
function timeText(atSeconds: number): string {
  return `${new Date(atSeconds * 1000).toISOString().replace(".", ",").replace("Z", "+0000")} I`;
}

function derOf(signature: Uint8Array): Uint8Array {
  const [r, s] = [derInteger(signature.subarray(0, 32)), derInteger(signature.subarray(32, 64))];
  return Uint8Array.of(0x30, r.length + s.length, ...r, ...s);
}

/** Shortest form, and never negative. */
function derInteger(word: Uint8Array): Uint8Array {
  const first = word.findIndex((byte) => byte !== 0);
  const digits = word.subarray(first === -1 ? word.length - 1 : first);
  const sign = digits[0]! >= 0x80 ? [0] : [];
  return Uint8Array.of(0x02, digits.length + sign.length, ...sign, ...digits);
}
