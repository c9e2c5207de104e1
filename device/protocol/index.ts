/**
 * `watt402/protocol`: topics, frames and messages of x402 over MQTT (x402-over-mqtt.md).
 *
 * Promise: the wire's bytes stay within a major version.
 */
export {
  type Decoded,
  decodeGrant,
  decodePay,
  encodeGrant,
  encodePay,
  GRANT_BYTES,
  PAY_BYTES,
  PAY_EXACT_BYTES,
  type Pay,
} from "./frames.ts";
export {
  type Hello,
  type OfferMessage,
  type Read,
  type ReadingMessage,
  readHello,
  readOffer,
  readPayment,
  readPaymentRequired,
  readReading,
  readRequest,
  readResponse,
  readState,
  type StateMessage,
} from "./messages.ts";
export { isSealedFrame, openJson, sealFrame, sealJson, type Tagger } from "./tag.ts";
export { isDeviceName, isLeaf, LEAVES, type Leaf, readTopic, TOPIC_PREFIX, topicOf } from "./topics.ts";
