/**
 * The two frames of a payment: PAY (99 bytes; 103 for exact and upto, 193 with an approval) and GRANT (42 bytes).
 *
 * Promise: encode and decode are inverse on every valid frame, and decode refuses every other byte
 * string with a reason. Integers are big-endian and below 2^48, so a double holds them. The last 16
 * bytes are the tag (tag.ts); these functions carry it, they do not check it.
 *
 *   PAY    0x11 | flags 1 | channel tag 4 | maxClaimable 6 | register 6 | r 32 | s 32 | v 1 | tag 16
 *   PAY    0x13 | flags 1 | channel tag 4 | maxClaimable 6 | register 6 | valid before 4 | r 32 | s 32 | v 1 | tag 16
 *   PAY    0x14 | as 0x13 up to v | approval 90 (approval-frame.ts) | tag 16
 *   GRANT  0x12 | status 1 | channel tag 4 | charged 6 | granted 6 | price 4 | valid until 4 | tag 16
 */
import type { Grant } from "../core/events.ts";
import { refusalOfStatus, statusOfRefusal } from "../core/refusal.ts";

export const PAY_BYTES = 99;
export const PAY_EXACT_BYTES = 103;
export const PAY_APPROVED_BYTES = 193;
export const GRANT_BYTES = 42;
export const TAG_BYTES = 16;

const PAY = 0x11;
const GRANT = 0x12;
const PAY_EXACT = 0x13;
const PAY_APPROVED = 0x14;

/** Flag bit 0: the rung was published before. Other bits must be zero. */
const FLAG_AGAIN = 0x01;

/** One payment on its way up. `validBeforeSeconds` is 0 for a voucher, and else the authorization's end. */
export interface Pay {
  readonly again: boolean;
  readonly channelTag: number;
  readonly maxClaimable: number;
  readonly register: number;
  readonly validBeforeSeconds: number;
  /** r 32, s 32, v 1 (27 or 28); behind them the 90 bytes of an approval, when one goes with an authorization. */
  readonly signature: Uint8Array;
}

export const SIGNATURE_BYTES = 65;
export const APPROVAL_BYTES = 90;

/** A decoded frame, or in a few words what is wrong with it. */
export type Decoded<Frame> =
  | { readonly frame: Frame; readonly error: null }
  | { readonly frame: null; readonly error: string };

/** The frame without its tag: what the tag is computed over. Throws on a field that does not fit. */
export function encodePay(pay: Pay): Uint8Array {
  const exact = pay.validBeforeSeconds > 0;
  const { length } = pay.signature;
  const approved = exact && length === SIGNATURE_BYTES + APPROVAL_BYTES;
  if (length !== SIGNATURE_BYTES && !approved) {
    throw new Error(`frame field "signature": expected 65 bytes, found ${length}`);
  }
  const bytes = new Uint8Array((exact ? 22 : 18) + length);
  bytes[0] = approved ? PAY_APPROVED : exact ? PAY_EXACT : PAY;
  bytes[1] = pay.again ? FLAG_AGAIN : 0;
  put(bytes, 2, 4, pay.channelTag);
  put(bytes, 6, 6, pay.maxClaimable);
  put(bytes, 12, 6, pay.register);
  if (exact) put(bytes, 18, 4, pay.validBeforeSeconds);
  bytes.set(pay.signature, exact ? 22 : 18);
  return bytes;
}

/** @param bytes the whole frame with its tag */
export function decodePay(bytes: Uint8Array): Decoded<Pay> {
  const approved = bytes[0] === PAY_APPROVED;
  const exact = approved || bytes[0] === PAY_EXACT;
  if (bytes[0] !== PAY && !exact) return wrong(`PAY begins with 0x11, 0x13 or 0x14, found ${first(bytes)}`);
  const length = approved ? PAY_APPROVED_BYTES : exact ? PAY_EXACT_BYTES : PAY_BYTES;
  if (bytes.length !== length) return wrong(`PAY has ${length} bytes, found ${bytes.length}`);
  if ((bytes[1]! & ~FLAG_AGAIN) !== 0) return wrong(`PAY flags may be 0 or 1, found ${bytes[1]}`);
  const signature = bytes.slice(exact ? 22 : 18, length - TAG_BYTES);
  const v = signature[SIGNATURE_BYTES - 1]!;
  if (v !== 27 && v !== 28) return wrong(`PAY v may be 27 or 28, found ${v}`);
  const validBeforeSeconds = exact ? get(bytes, 18, 4) : 0;
  if (exact && validBeforeSeconds === 0) return wrong("an authorization needs a valid-before time, found 0");
  return {
    frame: {
      again: (bytes[1]! & FLAG_AGAIN) !== 0,
      channelTag: get(bytes, 2, 4),
      maxClaimable: get(bytes, 6, 6),
      register: get(bytes, 12, 6),
      validBeforeSeconds,
      signature,
    },
    error: null,
  };
}

/** The frame without its tag. Throws on a field that does not fit. */
export function encodeGrant(grant: Grant): Uint8Array {
  const bytes = new Uint8Array(GRANT_BYTES - TAG_BYTES);
  bytes[0] = GRANT;
  bytes[1] = grant.refusal === null ? 0 : statusOfRefusal(grant.refusal);
  put(bytes, 2, 4, grant.channelTag);
  put(bytes, 6, 6, grant.charged);
  put(bytes, 12, 6, grant.granted);
  put(bytes, 18, 4, grant.pricePerMillionUnits);
  put(bytes, 22, 4, grant.validUntilSeconds);
  return bytes;
}

/** @param bytes the whole frame with its tag */
export function decodeGrant(bytes: Uint8Array): Decoded<Grant> {
  if (bytes[0] !== GRANT) return wrong(`GRANT begins with 0x12, found ${first(bytes)}`);
  if (bytes.length !== GRANT_BYTES) return wrong(`GRANT has 42 bytes, found ${bytes.length}`);
  const status = bytes[1]!;
  const refusal = refusalOfStatus(status);
  if (status !== 0 && refusal === null) return wrong(`GRANT status ${status} is not assigned`);
  return {
    frame: {
      refusal,
      channelTag: get(bytes, 2, 4),
      charged: get(bytes, 6, 6),
      granted: get(bytes, 12, 6),
      pricePerMillionUnits: get(bytes, 18, 4),
      validUntilSeconds: get(bytes, 22, 4),
    },
    error: null,
  };
}

function wrong(error: string): { frame: null; error: string } {
  return { frame: null, error };
}

function first(bytes: Uint8Array): string {
  return bytes.length === 0 ? "no byte" : `0x${bytes[0]!.toString(16)}`;
}

export function put(bytes: Uint8Array, offset: number, width: number, value: number): void {
  if (!(value >= 0) || value >= 2 ** (8 * width) || Math.floor(value) !== value) {
    throw new Error(`frame field at byte ${offset}: expected ${width} bytes unsigned, found ${value}`);
  }
  let rest = value;
  for (let i = offset + width - 1; i >= offset; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

export function get(bytes: Uint8Array, offset: number, width: number): number {
  let value = 0;
  for (let i = offset; i < offset + width; i++) value = value * 256 + bytes[i]!;
  return value;
}
