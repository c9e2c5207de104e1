/**
 * What MQTT 5 says beside a payload on its way down: content type, expiry, what it answers.
 *
 * Promise: everything is read off the payload itself, so MQTT 3.1.1 loses nothing; an answer goes to its
 * leaf whatever response topic a device names, for a topic is not for a message to choose.
 */

import type { IClientPublishOptions } from "mqtt";
import { decodeGrant } from "#protocol/frames";
import { parseJson } from "#protocol/nesting";
import { type Leaf, topicOf } from "#protocol/topics";

type PublishProperties = NonNullable<IClientPublishOptions["properties"]>;

/** Where in a PAY or GRANT its correlation is: channel tag and cumulative amount, as devices send it. */
const CORRELATION = [2, 12] as const;

/** An answer of the general transport is waited for no longer; the request is repeated then. */
const ANSWER_LIFE_SECONDS = 300;

/**
 * MQTT 5 section 3.3.2.3.
 * @param payload sealed or not, as it is published
 */
export function publishPropertiesOf(
  leaf: Leaf,
  device: string,
  payload: Uint8Array,
  nowSeconds: number,
): PublishProperties {
  if (leaf === "grant") {
    const validUntilSeconds = decodeGrant(payload).frame?.validUntilSeconds ?? 0;
    return {
      contentType: "application/octet-stream",
      correlationData: Buffer.from(payload.slice(...CORRELATION)),
      ...expiryOf(validUntilSeconds, nowSeconds),
    };
  }
  const contentType = "application/json";
  const { id, validUntilSeconds } = parseJson(Buffer.from(payload).toString("utf8")) as {
    readonly id?: unknown;
    readonly validUntilSeconds?: unknown;
  };
  if (leaf === "offer") return { contentType, ...expiryOf(Number(validUntilSeconds ?? 0), nowSeconds) };
  return {
    contentType,
    ...(leaf === "payment-required" ? { responseTopic: topicOf(device, "payment") } : {}),
    ...(typeof id === "string" ? { correlationData: Buffer.from(id) } : {}),
    messageExpiryInterval: ANSWER_LIFE_SECONDS,
  };
}

/** 0 seconds is not sent: it does not expire. What is over already lives for a second, for it carries counters. */
function expiryOf(
  validUntilSeconds: number,
  nowSeconds: number,
): Pick<PublishProperties, "messageExpiryInterval"> {
  if (validUntilSeconds === 0) return {};
  return { messageExpiryInterval: Math.max(1, Math.ceil(validUntilSeconds - nowSeconds)) };
}
