/**
 * Which packets of MQTT 3.1.1 a client may send.
 *
 * Promise: flags, length and packet id of each are what the standard's tables 2.1 and 2.2 and the packet's section say;
 * any other packet is a reason in words, the same in both servers, and the end of its connection.
 */
import {
  CONNECT,
  DISCONNECT,
  MALFORMED,
  PINGREQ,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  readConnect,
  readId,
  readPublish,
  readSubscribe,
  SUBSCRIBE,
  UNSUBSCRIBE,
} from "../mqtt-packets.ts";

/** Why a connection is refused by CONNACK's code 1, not closed without an answer. */
export const OTHER_PROTOCOL = "expected MQTT 3.1.1, found another protocol";

/** @returns why the first packet of a connection is not a login; null when nothing is wrong */
export function loginFault(head: number, body: Buffer): string | null {
  if (head !== CONNECT << 4) return "expected a login first, found another packet";
  const login = readConnect(body);
  return login === "version" ? OTHER_PROTOCOL : faultOf(login);
}

/** @returns why a client may not send this packet after its login; null when nothing is wrong */
export function packetFault(head: number, body: Buffer): string | null {
  if (head >> 4 === PUBLISH) return faultOf(readPublish(head, body));
  switch (head) {
    case PUBACK << 4:
    case PUBREC << 4:
    case (PUBREL << 4) | 2:
    case PUBCOMP << 4:
      return readId(body) === 0 ? MALFORMED : null;
    case (SUBSCRIBE << 4) | 2:
      return faultOf(readSubscribe(body, true));
    case (UNSUBSCRIBE << 4) | 2:
      return faultOf(readSubscribe(body, false));
    case PINGREQ << 4:
    case DISCONNECT << 4:
      return body.length === 0 ? null : MALFORMED;
    default:
      return `expected a packet that a client sends, found one beginning with ${head}`;
  }
}

function faultOf(read: object | string): string | null {
  return typeof read === "string" ? read : null;
}
