/**
 * Why a login is refused, as MQTT 3.1.1 can say it: the return codes of CONNACK (section 3.2.2.3).
 *
 * Promise: every refusal of a login has one code and one reason, the same in both servers; the
 * codes mean what x402-over-mqtt.md says they mean.
 */
import { CONNACK } from "../mqtt-packets.ts";

export const ACCEPTED = 0;
/** Another protocol, or another version of this one. */
export const UNACCEPTABLE_VERSION = 1;
/** The client id is not the user name. */
export const IDENTIFIER_REJECTED = 2;
/** The login may be right: the client tries again later. */
export const UNAVAILABLE = 3;
/** User name or password authenticate no device. */
export const BAD_CREDENTIALS = 4;
/** The device is authenticated, or its certificate is another's, and it may not log in like this. */
export const NOT_AUTHORISED = 5;

/** The codes by which a login is refused once it was read. */
export type LoginCode =
  | typeof IDENTIFIER_REJECTED
  | typeof UNAVAILABLE
  | typeof BAD_CREDENTIALS
  | typeof NOT_AUTHORISED;

export interface LoginRefusal {
  readonly code: LoginCode;
  /** In a few words, for the log: nothing in it is the client's own. */
  readonly reason: string;
}

/** The whole packet. */
export function connackPacket(code: number): Buffer {
  return Buffer.from([CONNACK << 4, 2, 0, code]);
}
