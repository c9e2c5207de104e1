/**
 * How a device without the time for a signature proves itself to its gateway's broker: by the tag key.
 *
 * Promise: `<unix seconds>.<public key>.<tag>`, the tag over device and time, so that only the holder of the
 * key that the two share can make it, and a token read on the wire is worth nothing a day later. A signature
 * takes a microcontroller ten seconds and more; an HMAC takes it some milliseconds.
 */
import { type Tagger, tagOfText } from "./tag.ts";

/** What the tag covers beside the text; no leaf has this name. */
const LEAF = "login";

/**
 * The password of one connection.
 * @param device 40 lower-case hex digits
 * @param publicKey 0x and 66 lower-case hex digits
 */
export function sealedLogin(tagger: Tagger, device: string, publicKey: string, wallSeconds: number): string {
  const seconds = Math.floor(wallSeconds);
  return `${seconds}.${publicKey}.0x${loginTag(tagger, device, seconds)}`;
}

/** 32 hex digits. */
export function loginTag(tagger: Tagger, device: string, seconds: number): string {
  return tagOfText(tagger, LEAF, `${device} ${seconds}`);
}
