/**
 * Authentication tags: the first 16 bytes of HMAC-SHA256 over leaf name, a zero byte and the payload.
 *
 * Promise: a payload whose tag is right was made by the holder of the tag key for this leaf, byte for
 * byte. Frames carry the tag as their last 16 bytes; JSON messages as their last member,
 * `,"tag":"<32 hex digits>"}`, over the bytes before it, so no peer has to serialise JSON twice alike.
 */
import type { Hmac } from "../core/ports.ts";
import { TAG_BYTES } from "./frames.ts";

const MEMBER = ',"tag":"';
const TAIL_BYTES = MEMBER.length + 2 * TAG_BYTES + 2;

export interface Tagger {
  readonly hmac: Hmac;
  /** 32 bytes, shared by one device and one gateway: payment/tag-key.ts */
  readonly key: Uint8Array;
}

/** The payload with its tag appended. */
export function sealFrame(tagger: Tagger, leaf: string, payload: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(payload.length + TAG_BYTES);
  sealed.set(payload);
  sealed.set(tagOver(tagger, leaf, payload), payload.length);
  return sealed;
}

/** True when the last 16 bytes are the right tag of the bytes before. */
export function isSealedFrame(tagger: Tagger, leaf: string, sealed: Uint8Array): boolean {
  if (sealed.length <= TAG_BYTES) return false;
  const end = sealed.length - TAG_BYTES;
  return sameBytes(tagOver(tagger, leaf, sealed.subarray(0, end)), sealed.subarray(end));
}

/** A JSON object with its tag as last member; characters beyond ASCII are escaped, so bytes are characters. */
export function sealJson(tagger: Tagger, leaf: string, message: object): Uint8Array {
  const text = escaped(JSON.stringify(message));
  const head = asciiBytes(text.slice(0, text.length - 1));
  return joinBytes(head, asciiBytes(`${MEMBER + hexOf(tagOver(tagger, leaf, head))}"}`));
}

/** The tag of an ASCII text alone: 32 hex digits. */
export function tagOfText(tagger: Tagger, leaf: string, text: string): string {
  return hexOf(tagOver(tagger, leaf, asciiBytes(text)));
}

/** The JSON text without its tag, when the tag is right; null otherwise. */
export function openJson(tagger: Tagger, leaf: string, sealed: Uint8Array): string | null {
  const end = sealed.length - TAIL_BYTES;
  if (end < 2) return null;
  const head = sealed.subarray(0, end);
  const expected = asciiBytes(`${MEMBER + hexOf(tagOver(tagger, leaf, head))}"}`);
  if (!sameBytes(expected, sealed.subarray(end))) return null;
  return `${asciiText(head)}}`;
}

/** Text of a sealed message without checking its tag: only to learn whose key to check it with. */
export function peekJson(sealed: Uint8Array): string | null {
  const end = sealed.length - TAIL_BYTES;
  return end < 2 ? null : `${asciiText(sealed.subarray(0, end))}}`;
}

function tagOver(tagger: Tagger, leaf: string, payload: Uint8Array): Uint8Array {
  return tagger.hmac(tagger.key, joinBytes(asciiBytes(`${leaf}\0`), payload)).slice(0, TAG_BYTES);
}

/** Compares in constant time: its duration does not depend on where the first difference is. */
function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  let difference = 0;
  for (let i = 0; i < left.length; i++) difference |= left[i]! ^ right[i]!;
  return difference === 0;
}

function joinBytes(left: Uint8Array, right: Uint8Array): Uint8Array {
  const joined = new Uint8Array(left.length + right.length);
  joined.set(left);
  joined.set(right, left.length);
  return joined;
}

function escaped(json: string): string {
  let at = 0;
  while (at < json.length && json.charCodeAt(at) < 127) at++;
  if (at === json.length) return json;
  let ascii = "";
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    ascii += code < 127 ? json.charAt(i) : `\\u${(`000${code.toString(16)}`).slice(-4)}`;
  }
  return ascii;
}

function asciiBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function asciiText(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]!);
  return text;
}

function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += (bytes[i]! < 16 ? "0" : "") + bytes[i]!.toString(16);
  return text;
}
